"""What the songbook asks the server for, on the embedded host."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.context import Folders
from acestep_core.host.server.security import Policy
from tests.host.lab_site import Site, open_site
from tests.nodes.test_routes import ROOT
from tests.records.test_songbook import put, record

FIRST = {"filename": "song_00000.flac", "subfolder": "acestep", "type": "output"}
CHANGES = ("favourites", "delete", "undelete", "trash/empty")


def visit(tmp_path: Path, scenario: Callable[[Site], Awaitable[None]], **config: Any) -> None:
    """A host with five batches of two songs."""

    async def main() -> None:
        folders = Folders.under(tmp_path / "host")
        for number in range(10):
            seeds = (number // 2, 100)
            song = put(folders.output / "acestep" / f"song_{number:05d}.flac", record(number % 2, seeds), 1000 + number)
            song.with_suffix(".lrc").write_text("la")
        put(folders.temp / "played.flac")
        put(folders.user / "secret.flac")
        async with open_site(tmp_path, folders=folders, packs=(ROOT,), **config) as site:
            await scenario(site)

    asyncio.run(main())


def files(site: Site) -> set[str]:
    found = site.folders.output.rglob("*")
    return {path.name for path in found if path.is_file() and "/." not in path.as_posix()}


def test_songs_come_in_pages(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        for place in ("/acestep/songs", "/api/acestep/songs"):
            status, first = await site.get(place, params={"limit": "3"})
            assert status == 200 and (first["total"], first["all"], first["newest"]) == (10, 10, 5)
        assert [(batch["number"], batch["songs"]) for batch in first["batches"]] == [(n, 2) for n in (5, 4, 3, 2, 1)]
        assert [(song["batch"], song["take"]) for song in first["songs"]] == [(5, 1), (5, 2), (4, 1)]
        assert first["songs"][0]["file"]["filename"] == "song_00008.flac" and first["keys"] == ["A minor"]
        status, second = await site.get("/acestep/songs", params={"offset": "3", "limit": "3"})
        assert [(song["batch"], song["take"]) for song in second["songs"]] == [(4, 2), (3, 1), (3, 2)]
        assert second["revision"] == first["revision"] and "batches" not in second
        status, none = await site.get("/acestep/songs", params={"words": "nothing like it"})
        assert (none["total"], none["all"], none["songs"], none["batches"]) == (0, 10, [], [])
        for bad in ({"offset": "-1"}, {"limit": "many"}, {"slowest": "1e9"}, {"offset": "9" * 30}, {"fastest": "²"}):
            status, refused = await site.get("/acestep/songs", params=bad)
            assert status == 400 and refused["error"].endswith("."), bad
        status, most = await site.get("/acestep/songs", params={"limit": "100000", "slowest": "200"})
        assert status == 200 and most["total"] == 0

    visit(tmp_path, scenario)


def test_details_of_a_song(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        status, facts = await site.get("/acestep/facts", params=FIRST)
        assert status == 200 and (facts["bpm"], facts["variant"], facts["seeds"]) == (88, "turbo", ["0", "100"])
        (site.folders.output / "acestep" / "song_00000.json").write_text("{")
        status, facts = await site.get("/acestep/facts", params=FIRST)
        assert status == 200 and list(facts) == ["lines"], "no record, and still the lyrics beside it"

    visit(tmp_path, scenario)


def test_a_song_is_deleted_and_brought_back(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        before = files(site)
        assert (await site.post("/acestep/favourites", {"files": [FIRST], "favourite": True}))[0] == 200
        assert (await site.get("/acestep/favourites"))[1] == {"names": ["acestep/song_00000.flac"]}
        status, deleted = await site.post("/acestep/delete", {"files": [FIRST]})
        assert status == 200 and deleted["songs"] == 1
        gone = {f"song_00000{suffix}" for suffix in (".flac", ".json", ".lrc")}
        assert before - files(site) == gone
        status, page = await site.get("/acestep/songs")
        assert page["total"] == 9 and page["songs"][-1]["take"] == 2, "a take keeps its number"
        assert (await site.get("/acestep/favourites"))[1] == {"names": []}
        status, waiting = await site.get("/acestep/trash")
        assert waiting["songs"] == 1 and waiting["bytes"] > 0
        status, back = await site.post("/acestep/undelete", {"entry": deleted["entry"]})
        assert status == 200 and back == {"files": [FIRST]} and files(site) == before
        assert (await site.get("/acestep/favourites"))[1] == {"names": ["acestep/song_00000.flac"]}
        assert (await site.post("/acestep/undelete", {"entry": deleted["entry"]}))[0] == 400
        await site.post("/acestep/delete", {"files": [FIRST]})
        assert (await site.post("/acestep/trash/empty", {"sure": True}))[1] == {"songs": 0, "bytes": 0}
        assert files(site) == before - gone

    visit(tmp_path, scenario)


@pytest.mark.parametrize(
    "named",
    [
        {"filename": "gone.flac"},
        {"filename": "secret.flac", "subfolder": "../user"},
        {"filename": "../user/secret.flac"},
        {"filename": "secret.flac", "type": "user"},
        {"filename": "played.flac", "type": "temp"},
        {"filename": "a.flac\0"},
        {"filename": "acestep"},
        {"filename": ".acestep_favourites.json"},
        {},
        "song_00000.flac",
        None,
    ],
)
def test_only_songs_of_the_output_folder(named: Any, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        before = {path for path in tmp_path.rglob("*") if path.is_file()}
        for body in (
            {"files": [FIRST, named]},
            {"files": named},
            {"files": []},
            {"files": [FIRST] * 201},
            {},
            {"entry": named},
        ):
            for change in ("favourites", "delete", "undelete"):
                status, refused = await site.post(f"/acestep/{change}", body)
                assert status == 400 and refused["error"].endswith("."), (body, change)
        assert {path for path in tmp_path.rglob("*") if path.is_file()} == before

    visit(tmp_path, scenario)


def test_nobody_else_may_ask(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        before = files(site)
        token = {"Authorization": "Bearer secret"}
        for place in ("songs", "facts", "favourites", "trash"):
            assert (await site.get(f"/acestep/{place}", params=FIRST))[0] == 401
            assert (await site.get(f"/acestep/{place}", params=FIRST, headers=token))[0] == 200
        elsewhere = token | {"Origin": "http://elsewhere.example"}
        form = token | {"Content-Type": "text/plain"}  # what a page may send without asking first
        for change in CHANGES:
            body = {"files": [FIRST], "entry": "x"}
            assert (await site.post(f"/acestep/{change}", body))[0] == 401
            assert (await site.post(f"/acestep/{change}", body, headers=elsewhere))[0] == 403
            sure = '{"sure": true, "files": [{"filename": "song_00000.flac", "subfolder": "acestep"}]}'
            assert (await site.post(f"/acestep/{change}", data=sure, headers=form))[0] == 400
        assert files(site) == before

    visit(tmp_path, scenario, policy=Policy("127.0.0.1", token="secret"))
