"""A batch whose files go to a store: by address, whole or not at all, and named with their hashes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from acestep_core.errors import InvalidInput, StorageError
from acestep_core.host.client import stores
from acestep_core.host.client.batch import Journal, Row, run_batch
from acestep_core.host.client.local import LocalRunner
from acestep_core.host.client.ray_rows import GroupWork, RowActor, RowWork
from acestep_core.host.client.stores import Store
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.workflow import parse_workflow
from acestep_core.host.queue.results import Result, RunFailed
from tests.commands.test_run import options_of
from tests.host.test_executor import node

PACK = Path(__file__).parent / "fate_pack"


@pytest.fixture
def memory() -> Iterator[Any]:
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture
def runner(tmp_path: Path) -> LocalRunner:
    return LocalRunner(Folders.under(tmp_path), [PACK])


def batch(runner: LocalRunner, texts: list[str], store: Store) -> list[Row]:
    workflow = parse_workflow({"1": node("Fate", text="", mark="")}, runner.registry.definitions())
    journal, rows = Journal(runner.folders.output / "sheet.journal.jsonl"), []

    async def run(row: Any, folder: Path, prompt_id: str) -> Result:
        return await runner.run_stored(row, store, str(folder), prompt_id=prompt_id)

    table = [{"fate.text": text} for text in texts]
    asyncio.run(run_batch(workflow, table, run, rows.append, journal, per_folder=2, store=store))
    return rows


def test_rows_go_to_a_store_and_are_known_by_name_and_hash(runner: LocalRunner, memory: Any) -> None:
    store = Store("memory://bucket/songs", "r1")
    memory.pipe_file("/bucket/songs/.r1-00ff", b"what a killed worker left")
    memory.pipe_file("/bucket/songs/.r2-00ff", b"of another batch")
    rows = batch(runner, ["a", "fails", "b"], store)
    done = {row.index: row.result for row in rows if row.result}
    assert done.keys() == {0, 2} and "as it was told" in str(rows[1].error)
    for index, folder in ((0, "0000000000"), (2, "0000000002")):
        (uri,) = done[index]["files"]["1"]
        assert uri.startswith(f"memory://bucket/songs/{folder}/") and uri.endswith(("a.txt", "b.txt"))
        with fsspec.open(uri) as file:
            content = file.read()
        assert content == b"ab"[index // 2 : index // 2 + 1] * 10
        assert done[index]["sha256"] == {uri: hashlib.sha256(content).hexdigest()}
    files = memory.find("/bucket")
    assert len(files) == 3 and "/bucket/songs/.r2-00ff" in files
    assert [path.name for path in runner.folders.output.iterdir() if path.is_file()] == ["sheet.journal.jsonl"]
    again = batch(runner, ["a", "b"], store)
    assert all(row.repeated and row.result for row in again) and len(memory.find("/bucket")) == 3


def test_a_row_that_is_made_again_takes_the_same_place(runner: LocalRunner, tmp_path: Path) -> None:
    """As after a worker that died before its row was whole; on a disk, by its address."""
    store = Store((tmp_path / "far" / "songs").as_uri(), "r1")
    (first,) = batch(runner, ["a"], store)
    (runner.folders.output / "sheet.journal.jsonl").unlink()
    (second,) = batch(runner, ["a"], store)
    assert first.result and second.result and first.result["files"] == second.result["files"]
    assert [path.read_text() for path in (tmp_path / "far").rglob("*") if path.is_file()] == ["a" * 10]


def test_workers_bring_files_in_alone_and_together(tmp_path: Path, runner: LocalRunner, memory: Any) -> None:
    actor, store = RowActor(runner.folders, [PACK], metadata=True), Store("memory://bucket", "r1")
    workflow = parse_workflow({"1": node("Fate", text="", mark="")}, runner.registry.definitions())

    def work(text: str) -> RowWork:
        return RowWork(workflow.with_inputs({"fate.text": text}), Path("0000000000"), f"id-{text}", None, store)

    alone = actor.run(work("a"))
    failed, b = actor.run(GroupWork((work("fails"), work("b"))))  # type: ignore[misc]
    assert isinstance(failed, RunFailed)
    assert [file.uri for result in (alone, b) for file in result.stored["1"]] == [
        f"memory://bucket/0000000000/id-{letter}/{letter}.txt" for letter in "ab"
    ]
    assert sorted(memory.find("/")) == [f"/bucket/0000000000/id-{letter}/{letter}.txt" for letter in "ab"]


def test_what_cannot_be_sent_is_tried_again_and_then_said(
    runner: LocalRunner, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "PAUSE", 0.0)
    tried: list[str] = []

    def put_file(self: Any, local: str, remote: str, **more: Any) -> None:
        tried.append(remote)
        memory.pipe_file(remote, b"half")
        if "b.txt" in local or len(tried) == 1:
            raise OSError("The disk there is full.")
        memory.pipe_file(remote, Path(local).read_bytes())

    monkeypatch.setattr(type(memory), "put_file", put_file)
    a, b = batch(runner, ["a", "b"], Store("memory://bucket", "r1"))
    assert a.result and not b.result and "The disk there is full" in str(b.error) and "memory://bucket" in str(b.error)
    assert len(tried) == 2 + stores.TRIES and len(memory.find("/")) == 1  # nothing is left half-way


def test_addresses_that_are_none(runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="nowhere://x cannot be used"):
        Store("nowhere://x", "r1").opened()
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(StorageError, match=r"pip install acestep-nodes\[stores\]"):
        Store("memory://x", "r1").opened()


def test_the_command(tmp_path: Path, memory: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from acestep_core.commands import run

    (tmp_path / "graph.json").write_text(json.dumps({"1": node("Fate", text="", mark="")}))
    (tmp_path / "rows.csv").write_text("fate.text\na\nb\n")

    def call(*more: str) -> int:
        places = ("--pack", str(PACK), "--base-directory", str(tmp_path), "--output", str(tmp_path / "output"))
        return run.run(options_of(run, str(tmp_path / "graph.json"), *places, *more))

    batch = ("--batch", str(tmp_path / "rows.csv"))
    assert call(*batch, "--json", "--store", "memory://songs") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(uri for line in told for uri in line["sha256"]) == sorted(
        f"memory:/{p}" for p in memory.find("/songs")
    )
    with pytest.raises(InvalidInput, match="--output"):
        call(*batch, "--store", "songs")
    with pytest.raises(InvalidInput, match="--batch"):
        call("--store", "memory://songs")
