"""The models panel's routes: one job at a time, with progress, pause and going on."""

import threading
from pathlib import Path
from typing import Any

import pytest

from acestep_core.checkpoints import download as downloading
from acestep_core.monitor import Monitor
from tests.host.lab_site import Site, eventually
from tests.nodes.test_routes import visit


def fake(steps: threading.Semaphore) -> Any:
    """A download of ten parts, which keeps what it has in a file."""

    def download(name: str, dest: Path, source: str, monitor: Monitor) -> list[Path]:
        dest.mkdir(parents=True, exist_ok=True)
        part = dest / "parts"
        for done in range(int(part.read_text()) if part.exists() else 0, 10):
            steps.acquire()
            monitor.tick(f"downloading {name}", done + 1, 10)
            part.write_text(str(done + 1))
        return [dest / name]

    return download


async def job(site: Site) -> Any:
    return (await site.get("/acestep/models/job"))[1]["job"]


def test_a_download_shows_how_far_it_is_pauses_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = threading.Semaphore(0)
    monkeypatch.setattr(downloading, "download", fake(steps))

    async def scenario(site: Site) -> None:
        assert await job(site) is None
        assert (await site.post("/acestep/models/download", {"name": "turbo"}))[0] == 200
        steps.release(3)

        async def three() -> bool:
            return (await job(site))["done"] == 3

        await eventually(three)
        refused = await site.post("/acestep/models/download", {"name": "base"})
        assert refused[0] == 400 and "turbo" in refused[1]["error"]
        await site.post("/acestep/models/pause", {})
        steps.release(1)

        async def in_state(state: str) -> bool:
            return (await job(site))["state"] == state

        await eventually(lambda: in_state("paused"))
        assert (site.folders.models / "acestep" / "parts").read_text() == "3"
        steps.release(20)
        assert (await site.post("/acestep/models/download", {"name": "turbo"}))[0] == 200
        await eventually(lambda: in_state("done"))
        assert (await job(site))["told"] == "turbo"

    visit(tmp_path, scenario)


def test_what_is_here_and_what_fits(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        status, found = await site.get("/acestep/models")
        assert status == 200 and found["stand_in"] == "toy"
        assert str(site.folders.models) in {place["path"] for place in found["places"]}
        assert found["offers"][0]["name"] == "main" and found["card"]["memory"] > 0
        assert "thread" not in found["card"]["name"], "a name reads the same in every language"

    visit(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("download", {"name": "../../etc"}),
        ("download", {}),
        ("download", {"name": "turbo", "source": "elsewhere"}),
        ("check", {"path": "/etc/passwd"}),
        ("check", {}),
    ],
)
def test_what_is_not_offered_is_refused(path: str, asked: dict[str, str], tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        status, answer = await site.post(f"/acestep/models/{path}", asked)
        assert status == 400 and answer["error"].endswith(".")
        assert await job(site) is None

    visit(tmp_path, scenario)
