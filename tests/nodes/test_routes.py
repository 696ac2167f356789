"""What the scripts of the canvas ask the server for, on the embedded host."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch

from acestep_core.host.graph.context import Folders
from acestep_core.host.server.security import Policy
from acestep_core.io.audio import write_audio
from acestep_core.train.checkpoints import HEAR, STOP, RunFolder
from tests.host.lab_site import Site, open_site

ROOT = Path(__file__).parents[2]
SONG = {"filename": "a.flac", "subfolder": "sub", "type": "temp"}


def visit(tmp_path: Path, scenario: Callable[[Site], Awaitable[None]], **config: Any) -> None:
    async def main() -> None:
        folders = Folders.under(tmp_path / "host")
        async with open_site(tmp_path, folders=folders, packs=(ROOT,), **config) as site:
            for kind in ("temp", "output"):
                (getattr(folders, kind) / "sub").mkdir()
                write_audio(getattr(folders, kind) / "sub" / "a.flac", torch.full((2, 48_000), 0.5))
            (folders.temp / "sub" / "a.lrc").write_text("[00:00.00]la")
            (folders.temp / "sub" / ".hidden.flac").write_bytes(b"")
            (folders.user / "secret.flac").write_bytes(b"")
            await scenario(site)

    asyncio.run(main())


def test_outline_keeping_and_archive(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        for place in ("/acestep/peaks", "/api/acestep/peaks"):
            status, found = await site.get(place, params=SONG)
            assert status == 200 and found["seconds"] == 1.0 and set(found["levels"]) == {128}
        status, kept = await site.post("/acestep/save", SONG)
        assert status == 200
        assert [file["filename"] for file in kept["files"]] == ["song_00001.flac", "song_00001.lrc"]
        assert all((site.folders.output / f["subfolder"] / f["filename"]).is_file() for f in kept["files"])
        status, packed = await site.post("/acestep/zip", {"files": [SONG, kept["files"][0]]})
        assert status == 200 and packed["type"] == "temp"
        with ZipFile(site.folders.temp / packed["filename"]) as archive:
            assert archive.namelist() == ["a.flac", "a.lrc", "song_00001.flac", "song_00001.lrc"]

    visit(tmp_path, scenario)


@pytest.mark.parametrize(
    "named",
    [
        {"filename": "gone.flac"},
        {"filename": "../user/secret.flac"},
        {"filename": "secret.flac", "subfolder": "../user"},
        {"filename": "secret.flac", "type": "user"},
        {"filename": ".hidden.flac", "subfolder": "sub", "type": "temp"},
        {"filename": "a.flac\0", "subfolder": "sub"},
        {"filename": "", "subfolder": "sub"},
        {"filename": "sub"},
        {},
    ],
)
def test_only_files_of_the_hosts_folders(tmp_path: Path, named: dict[str, str]) -> None:
    async def scenario(site: Site) -> None:
        before = set(site.folders.output.rglob("*"))
        answers = [
            await site.get("/acestep/peaks", params=named),
            await site.post("/acestep/save", named),
            await site.post("/acestep/zip", {"files": [named]}),
        ]
        for status, found in answers:
            assert status == 400 and found["error"].endswith("."), found
        assert set(site.folders.output.rglob("*")) == before

    visit(tmp_path, scenario)


def test_nobody_else_may_ask(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        assert (await site.get("/acestep/peaks", params=SONG))[0] == 401
        token = {"Authorization": "Bearer secret"}
        assert (await site.get("/acestep/peaks", params=SONG, headers=token))[0] == 200
        elsewhere = token | {"Origin": "http://elsewhere.example"}
        assert (await site.post("/acestep/save", SONG, headers=elsewhere))[0] == 403
        form = token | {"Content-Type": "text/plain"}  # what a page may send without asking first
        assert (await site.post("/acestep/save", data='{"filename": "a.flac"}', headers=form))[0] == 400
        assert (await site.post("/acestep/zip", {"files": [SONG] * 201}, headers=token))[0] == 400

    visit(tmp_path, scenario, policy=Policy("127.0.0.1", token="secret"))


def test_what_is_known_of_a_recording_that_is_edited(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        status, found = await site.get("/acestep/facts", params=SONG)
        assert status == 200 and found == {"lines": [[0.0, 5.0, "la", []]]}, "of others, with lyrics beside it"
        status, found = await site.get("/acestep/facts", params=SONG | {"filename": "../user/secret.flac"})
        assert status == 400
        for text, start, end in (("0:36.5", 36.5, 36.5), ("12", 12, 12), ("bar 2", 3, 6), ("bars 2-", 3, None)):
            asked = {"text": text, "bpm": "60", "timesignature": "3"}
            assert await site.get("/acestep/times", params=asked) == (200, {"start": start, "end": end})
        status, found = await site.get("/acestep/times", params={"text": "bar 2", "bpm": "0", "timesignature": "auto"})
        assert status == 200 and "tempo is not known" in found["error"]
        asked = {"mode": "balanced", "strength": "0.5"}
        assert await site.get("/acestep/seam", params=asked) == (200, {"inside": 0.025, "outside": 0.0})
        status, found = await site.get("/acestep/seam", params=asked | {"keep_outside": "false"})
        assert found == {"inside": 0.0, "outside": 0.48}
        for wrong in ({"mode": "bold"}, {"mode": "balanced", "strength": "lots"}):
            assert (await site.get("/acestep/seam", params=wrong))[0] == 400


def test_what_is_said_of_lyrics_and_plans(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        asked = {"lyrics": "副歌\nla\n" * 4, "language": "zh", "duration": 10}
        for place in ("/acestep/lyrics", "/api/acestep/lyrics"):
            status, said = await site.post(place, asked)
            assert status == 200 and said["headings"] == 4 and said["read"].startswith("[副歌]\nla")
            assert not said["counted"] and "Chorus" in said["tags"] and said["seconds"] > 1
        status, said = await site.post("/acestep/lyrics", {"lyrics": 3})
        assert status == 400 and said["error"].endswith(".")
        status, said = await site.post("/acestep/lyrics", {"lyrics": "la", "duration": 5, "language": "?"})
        assert status == 200 and said["seconds"] > 0, "what is wrong beside the lyrics is another's to say"
        given = {"bpm": "92", "keyscale": "Am", "duration": "1:30", "timesignature": "4/4", "language": "Deutsch"}
        status, said = await site.post("/acestep/plan", {"fields": given})
        assert (status, said["problems"]) == (200, {})
        assert said["fields"] == {
            "bpm": 92, "duration": 90.0, "keyscale": "A minor", "language": "de", "timesignature": "4"
        }  # fmt: skip
        status, said = await site.post("/acestep/plan", {"fields": {"bpm": "999", "keyscale": "", "tempo": "1"}})
        assert said["fields"] == {} and list(said["problems"]) == ["bpm"] and "30 to 300" in said["problems"]["bpm"]
        assert await site.post("/acestep/plan", {"fields": 3}) == (200, {"fields": {}, "problems": {}})


def test_values_of_recordings_are_read_as_everywhere(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        for name, value, read in (("keyscale", "fis-moll", "F# minor"), ("bpm", "92.5 bpm", 93), ("bpm", "", None),
                                  ("excluded", "yes", True), ("language", "Deutsch", "de")):  # fmt: skip
            assert await site.post("/acestep/field", {"name": name, "value": value}) == (200, {"value": read})
        status, found = await site.post("/acestep/field", {"name": "bpm", "value": "fast"})
        assert status == 200 and found["problem"].endswith(".") and "value" not in found
        assert (await site.post("/acestep/field", {"name": "audio_path", "value": "/etc/passwd"}))[0] == 400

    visit(tmp_path, scenario)


def test_a_run_is_told_and_asked(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        assert await site.get("/acestep/run", params={"run": "mine"}) == (200, {"run": "mine", "records": []})
        assert (await site.post("/acestep/run", {"run": "mine", "wish": "stop"}))[0] == 400
        run = RunFolder(site.folders.output / "acestep" / "runs" / "mine")
        run.begin({})
        song = run.folder / "samples" / "00000001.flac"
        song.parent.mkdir()
        song.write_bytes(b"")
        for step in range(1, 2502):
            run.append({"kind": "step", "step": step, "loss": 1.0})
        run.append({"kind": "sample", "step": 2501, "files": [str(song), "/etc/passwd"]})
        _, told = await site.get("/acestep/run", params={"run": "mine"})
        steps = [record["step"] for record in told["records"] if record["kind"] == "step"]
        assert steps[0] == 1 and steps[-1] == 2501 and 500 <= len(steps) <= 1000
        item = {"filename": song.name, "subfolder": "acestep/runs/mine/samples", "type": "output"}
        assert told["records"][-1] == {"kind": "sample", "step": 2501, "songs": [item]}
        for wish, file in (("stop", STOP), ("hear", HEAR)):
            assert (await site.post("/acestep/run", {"run": "mine", "wish": wish}))[0] == 200
            assert (run.folder / file).is_file()
        for asked in ({"run": "mine", "wish": "run.json"}, {"run": "../..", "wish": "stop"}, {"wish": "stop"}):
            status, found = await site.post("/acestep/run", asked)
            assert status == 400 and found["error"].endswith("."), asked
        assert not (site.folders.output / STOP).exists()

    visit(tmp_path, scenario)
