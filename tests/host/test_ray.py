"""A batch on Ray: what workers meet with costs no row, and nobody else hears of it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from acestep_core.errors import HostError
from acestep_core.host.client.batch import Journal, Row, run_batch
from acestep_core.host.client.local import LocalRunner
from acestep_core.host.client.pool import Limits
from acestep_core.host.client.ray_jobs import ray_engine
from acestep_core.host.client.ray_rows import row_pool, rows_on
from acestep_core.host.client.ray_workers import RayOptions
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.workflow import parse_workflow
from acestep_core.host.server.host import HostConfig
from acestep_core.host.server.server import running
from tests.host.lab_site import LAB_PACK, Site
from tests.host.test_executor import node

PACK = Path(__file__).parent / "fate_pack"
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def started(before: list[psutil.Process]) -> list[psutil.Process]:
    """What this process started since `before`, and what that started; other tests may have left processes."""
    new = [process for process in psutil.Process().children() if process not in before]
    found = [*new]
    for process in new:
        with suppress(psutil.NoSuchProcess):
            found += process.children(recursive=True)
    return found


def listening(processes: list[psutil.Process]) -> set[str]:
    """The addresses at which these processes and this one listen."""
    found = set()
    for process in (psutil.Process(), *processes):
        with suppress(psutil.NoSuchProcess):
            connections = process.net_connections("inet")
            found |= {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_a_batch_on_ray(tmp_path: Path) -> None:
    folders = Folders.under(tmp_path)
    runner = LocalRunner(folders, [PACK])
    workflow = parse_workflow({"1": {"class_type": "Fate", "inputs": {}}}, runner.registry.definitions())
    texts = ["a", "dies once", "fails", "b", "is too large", "a", *(f"more {n}" for n in range(6))]
    table: list[dict[str, Any]] = [{"fate.text": text, "fate.mark": str(tmp_path / "mark")} for text in texts]
    rows: list[Row] = []
    heard: set[str] = set()
    before, its_own = psutil.Process().children(), []

    async def scene() -> None:
        options, limits = RayOptions(workers=2), Limits(beat=0.5)
        async with row_pool(options, folders, [PACK], metadata=True, limits=limits) as pool:
            journal = Journal(folders.output / "rows.journal.jsonl")
            assert not await run_batch(
                workflow, table, rows_on(pool), rows.append, journal, at_once=pool.room, per_folder=4
            )
            its_own.extend(started(before))
            heard.update(listening(its_own))

    asyncio.run(scene())
    errors = {texts[row.index]: row.error for row in rows if row.error}
    assert sorted(row.index for row in rows) == list(range(len(texts)))
    assert errors.keys() == {"fails", "is too large"}
    assert "as it was told" in errors["fails"]
    assert "no room" in errors["is too large"] and "3 times" in errors["is too large"]
    made = {row.index: Path(path) for row in rows if row.result for path in row.result["files"]["1"]}
    assert all(path.read_text() == texts[index] * 10 for index, path in made.items())
    assert {path.parent.name for path in made.values()} == {"0000000000", "0000000004", "0000000008"}
    assert {path for path in folders.output.rglob("*") if path.is_file()} - {*made.values()} == {
        folders.output / "rows.journal.jsonl"
    }
    assert heard and heard <= set(LOOPBACK)
    assert its_own and not psutil.wait_procs([*its_own, *started(before)], timeout=60)[1]


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_a_host_on_ray(tmp_path: Path) -> None:
    """Two prompts at once, one of which is stopped and one whose worker dies; what workers tell comes through."""
    config = HostConfig(Folders.under(tmp_path).made(), (PACK, LAB_PACK), port=0)
    long = {"1": node("LabAsync", text="", seconds=600), "2": node("LabText", text=["1", 0])}
    dies = {"1": node("Fate", text="dies once", mark=str(tmp_path / "mark"))}

    async def scene() -> None:
        async with (
            ray_engine(RayOptions(workers=2), config, list) as engine,
            running(config, engine) as server,
            aiohttp.ClientSession() as session,
        ):
            site = Site(server, session)
            async with site.listen("a") as events:
                stopped, done = [
                    (await site.post("/prompt", {"prompt": prompt, "client_id": "a"}))[1]["prompt_id"]
                    for prompt in (long, dies)
                ]
                assert (await site.finish(done))["status"]["completed"]
                told = [e["data"] for e in events if e["type"] == "executing"]
                assert {"node": "1", "display_node": "1", "prompt_id": stopped} in told
                assert [item[1] for item in (await site.get("/queue"))[1]["queue_running"]] == [stopped]
                await site.post("/interrupt", {"prompt_id": stopped})
                assert (await site.finish(stopped))["status"]["messages"][-1][0] == "execution_interrupted"
            workers = (await site.get("/system_stats"))[1]["workers"]
            assert workers and psutil.Process().pid not in {worker["pid"] for worker in workers}

    asyncio.run(scene())
    assert (config.folders.output / "dies once.txt").read_text() == "dies once" * 10


def test_without_ray_it_is_said_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    async def scene() -> None:
        async with row_pool(RayOptions(), Folders.under(tmp_path), [PACK], True, Limits()):
            pass

    with pytest.raises(HostError, match=r"pip install acestep-nodes\[ray\]"):
        asyncio.run(scene())
