"""Batches: rows, journals, and what a crash at any point leaves behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from acestep_core.errors import Cancelled, GraphError
from acestep_core.host.client.batch import Journal, Row, run_batch, values_of
from acestep_core.host.graph.workflow import Workflow, parse_workflow
from acestep_core.host.queue.results import Result, RunFailed, WorkerLost
from acestep_core.io.locks import Busy
from acestep_core.io.staging import write_song
from tests.capabilities import needs_kills
from tests.crash_sweep import ROOT, sweep
from tests.host.test_canvas import DEFINITIONS

PROMPT = {"1": {"class_type": "LabWord", "inputs": {"text": "x"}, "_meta": {"title": "Word"}}}


def test_settings_of_the_command_line() -> None:
    assert values_of(["a.b=c=d", "e.f="]) == {"a.b": "c=d", "e.f": ""}
    for wrong in ("a.b", "ab=c", ""):
        with pytest.raises(GraphError):
            values_of([wrong])


class Bench:
    """Runs a batch whose rows write a song and its lyrics each."""

    def __init__(self, tmp_path: Path) -> None:
        self.output = tmp_path / "output"
        self.ran: list[str] = []
        self.rows: list[Row] = []
        self.refused = ""

    async def run(self, workflow: Workflow, folder: Path, prompt_id: str) -> Result:
        text = workflow.prompt["1"]["inputs"]["text"]
        if text == "bad":
            raise RunFailed("bad words.")
        self.ran.append(text)
        (folder / "audio").mkdir(exist_ok=True)
        paths = write_song(folder / "audio", "song", {".txt": text * 10, ".lrc": text}, end="_")
        return Result(prompt_id, {"1": [paths[".txt"]]}, {"1": [text]}, 1.0)

    def check(self, row: Workflow) -> None:
        if row.prompt["1"]["inputs"]["text"] == self.refused:
            raise GraphError("refused.")

    def start(self, *words: str) -> bool:
        self.rows, self.ran = [], []
        workflow = parse_workflow(PROMPT, DEFINITIONS)
        rows: list[dict[str, Any]] = [{"word.text": word} for word in words]
        journal = Journal(self.output / "rows.journal.jsonl")
        return asyncio.run(run_batch(workflow, rows, self.run, self.rows.append, journal, self.check))

    @property
    def contents(self) -> list[str]:
        """The words of the songs, each of which has its lyrics."""
        songs = sorted((self.output / "audio").glob("*.txt"))
        for song in songs:
            assert song.read_text() == song.with_suffix(".lrc").read_text() * 10
        return [song.with_suffix(".lrc").read_text() for song in songs]


def test_every_row_leaves_its_files(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.start("a", "b", "a")
    assert bench.contents == ["a", "b", "a"]
    assert sorted(path.name for path in (bench.output / "audio").iterdir()) == [
        f"song_0000{i}_.{end}" for i in (1, 2, 3) for end in ("lrc", "txt")
    ]
    assert [path.name for path in bench.output.iterdir() if path.is_file()] == ["rows.journal.jsonl"]
    assert not list(bench.output.rglob(".*"))


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.start("a", "b")
    assert bench.start("a", "b", "c")
    assert bench.ran == ["c"]
    assert [row.repeated for row in bench.rows] == [True, True, False]
    assert bench.rows[0].result is not None and bench.rows[0].result["texts"] == {"1": ["a"]}
    assert bench.start("a", "changed", "c") and bench.ran == ["changed"]


def test_rows_are_known_by_what_they_are_not_by_their_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.start("a", "b", "a")
    assert bench.start("new", "a", "a", "b", "a") and bench.ran == ["new", "a"]
    assert bench.start("b", "a") and bench.ran == []


def test_a_batch_may_be_moved_and_lost_files_are_made_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.start("a", "b")
    journal = (bench.output / "rows.journal.jsonl").read_text()
    assert str(tmp_path) not in journal and "\\" not in journal
    bench.output.rename(tmp_path / "elsewhere")
    bench.output = tmp_path / "elsewhere"
    assert bench.start("a", "b") and bench.ran == []
    assert bench.rows[0].result is not None
    (path,) = bench.rows[0].result["files"]["1"]
    assert Path(path) == bench.output / "audio" / "song_00001_.txt"
    Path(path).with_suffix(".lrc").unlink()
    assert bench.start("a", "b") and bench.ran == ["a"]


def test_a_failed_row_does_not_stop_the_others_and_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert not bench.start("a", "bad", "c")
    assert [row.error for row in bench.rows] == [None, "bad words.", None]
    assert bench.contents == ["a", "c"]
    assert not bench.start("a", "bad", "c")
    assert bench.ran == []


def test_what_other_programs_hold_open_stops_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows neither files nor folders of a stage can be deleted then; the next start does it."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "open elsewhere")

    bench = Bench(tmp_path)
    with monkeypatch.context() as windows:
        windows.setattr(os, "unlink", refuse)
        windows.setattr(os, "rmdir", refuse)
        windows.setattr("acestep_core.io.atomic.place", os.rename)
        windows.setattr("acestep_core.io.staging.place", os.rename)
        assert bench.start("a", "bad", "a") is False
    assert bench.contents == ["a", "a"] and list(bench.output.glob(".*.stage"))
    assert not bench.start("a", "bad", "a") and bench.ran == [] and bench.contents == ["a", "a"]
    assert not list(bench.output.glob(".*.stage"))


def test_what_is_wrong_is_found_before_anything_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    workflow = parse_workflow(PROMPT, DEFINITIONS)
    journal = Journal(bench.output / "j.jsonl")
    rows = [{"word.text": "a"}, {"word.colour": "b"}]
    with pytest.raises(GraphError):
        asyncio.run(run_batch(workflow, rows, bench.run, bench.rows.append, journal))
    bench.refused = "b"
    with pytest.raises(GraphError, match="refused"):
        bench.start("a", "b")
    assert bench.ran == []


def test_a_torn_journal_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.start("a", "b")
    journal = bench.output / "rows.journal.jsonl"
    journal.write_text(journal.read_text().rstrip("\n")[:-20])
    assert bench.start("a", "c") and bench.ran == ["c"]
    assert sorted(bench.contents) == ["a", "b", "c"]
    journal.write_text(journal.read_text() + '\n[]\n{"row": []}\n{"row": "x", "made": [], "result": 1}\n')
    assert bench.start("a", "c") and bench.ran == []


RUNNING = """
import sys, time
from pathlib import Path
from acestep_core.host.client.batch import Journal
with Journal(Path(sys.argv[1])).opened():
    print("running", flush=True)
    time.sleep(60)
"""


def test_the_same_batch_twice_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    other = subprocess.Popen(
        [sys.executable, "-c", RUNNING, str(bench.output / "rows.journal.jsonl")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None and other.stdout.readline() == b"running\n"
    with pytest.raises(Busy, match=rf"running \(pid {other.pid}\)"):
        bench.start("a")
    other.kill()
    other.wait()
    assert bench.start("a")


class TwoRows:
    """A batch of two rows, of which the second was done before."""

    @staticmethod
    def prepare(folder: Path) -> None:
        Bench(folder).start("a")

    @staticmethod
    def write(folder: Path) -> None:
        bench = Bench(folder)
        assert bench.start("b", "a") and "a" not in bench.ran
        for row in bench.rows:
            assert row.result is not None and all(Path(path).is_file() for path in row.result["files"]["1"])

    @staticmethod
    def killed(folder: Path) -> None:
        songs = list((folder / "output" / "audio").glob("*.txt"))
        assert all(song.read_text() == song.with_suffix(".lrc").read_text() * 10 for song in songs)
        # a copy of the folder, taken now, can be continued too
        shutil.copytree(folder / "output", folder / "copy" / "output")

    @staticmethod
    def restarted(folder: Path) -> None:
        assert sorted(Bench(folder).contents) == ["a", "b"]
        assert len(list((folder / "output").rglob("*"))) == 6  # with the journal, and the folder of the songs
        TwoRows.write(folder / "copy")
        assert sorted(Bench(folder / "copy").contents) == ["a", "b"]


@needs_kills
def test_killed_before_every_operation(tmp_path: Path) -> None:
    assert sweep(__name__, "TwoRows", tmp_path) > 35


def test_a_batch_that_is_stopped_lets_what_has_begun_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    stopped = asyncio.Event()

    async def run(workflow: Workflow, folder: Path, prompt_id: str) -> Result:
        if workflow.prompt["1"]["inputs"]["text"] != "a":
            stopped.set()
            raise Cancelled("Stopped.")
        await stopped.wait()
        return await bench.run(workflow, folder, prompt_id)

    workflow = parse_workflow(PROMPT, DEFINITIONS)
    journal = Journal(bench.output / "rows.journal.jsonl")
    rows = [{"word.text": word} for word in "abcd"]
    with pytest.raises(Cancelled):
        asyncio.run(run_batch(workflow, rows, run, bench.rows.append, journal, at_once=4))
    assert bench.contents == ["a"] and [row.index for row in bench.rows] == [0]
    assert not [record for record in caplog.records if "never retrieved" in record.message]


def test_rows_of_a_lost_worker_are_run_again_on_a_clean_stage(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    losses = {"a": 2, "b": 9}

    async def run(workflow: Workflow, folder: Path, prompt_id: str) -> Result:
        text = workflow.prompt["1"]["inputs"]["text"]
        losses[text] = losses.get(text, 0) - 1
        if losses[text] >= 0:
            folder.mkdir(exist_ok=True)
            (folder / "half.txt").touch()
            raise WorkerLost("It is gone.")
        return await bench.run(workflow, folder, prompt_id)

    workflow = parse_workflow(PROMPT, DEFINITIONS)
    journal = Journal(bench.output / "rows.journal.jsonl")
    rows = [{"word.text": word} for word in "abc"]
    assert not asyncio.run(run_batch(workflow, rows, run, bench.rows.append, journal, at_once=2))
    assert sorted(bench.contents) == ["a", "c"] and not list(bench.output.rglob("half*"))
    assert {row.index: row.error for row in bench.rows if row.error} == {1: "It is gone. The row was tried 3 times."}
