"""Batches: rows, journals, and what a crash at any point leaves behind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from acestep_core.errors import GraphError
from acestep_core.host.client import batch
from acestep_core.host.client.batch import Journal, Row, read_rows, run_batch, values_of
from acestep_core.host.graph.workflow import Workflow, parse_workflow
from acestep_core.host.queue.results import Result, RunFailed
from tests.host.test_canvas import DEFINITIONS

PROMPT = {"1": {"class_type": "LabWord", "inputs": {"text": "x"}, "_meta": {"title": "Word"}}}


def test_csv_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('song.caption,song.seed\n"lo-fi, slow",1\njazz,\n', encoding="utf-8-sig")
    assert read_rows(file) == [{"song.caption": "lo-fi, slow", "song.seed": "1"}, {"song.caption": "jazz"}]
    file.write_text('song.lyrics\n"[verse]\nla la\n"\n')
    assert read_rows(file) == [{"song.lyrics": "[verse]\nla la\n"}]


def test_json_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"song.caption": "a", "song.bpm": 90}\n\n{"song.caption": ""}\n')
    assert read_rows(file) == [{"song.caption": "a", "song.bpm": 90}, {"song.caption": ""}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a.b,c.d\n1\n", "Row 1"),
        ("a.csv", "a.b\n1,2\n", "Row 1"),
        ("a.jsonl", "{}\n[]\n", "Line 2"),
        ("a.jsonl", "{\n", "Line 1"),
    ],
)
def test_malformed_rows_are_named(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(GraphError, match=message):
        read_rows(tmp_path / name)


def test_settings_of_the_command_line() -> None:
    assert values_of(["a.b=c=d", "e.f="]) == {"a.b": "c=d", "e.f": ""}
    for wrong in ("a.b", "ab=c", ""):
        with pytest.raises(GraphError):
            values_of([wrong])


class Crash(BaseException):
    """Stands for the end of the process."""


class Bench:
    """Runs a batch whose rows write one file each, and can crash anywhere."""

    def __init__(self, tmp_path: Path) -> None:
        self.output = tmp_path / "output"
        self.ran: list[str] = []
        self.rows: list[Row] = []
        self.crash_at: int | None = None

    async def run(self, workflow: Workflow, folder: Path, prompt_id: str) -> Result:
        text = workflow.prompt["1"]["inputs"]["text"]
        if text == "bad":
            raise RunFailed("bad words.")
        self.ran.append(text)
        (folder / "audio").mkdir(exist_ok=True)
        path = folder / "audio" / "song_00001_.txt"
        path.write_text(text)
        return Result(prompt_id, {"1": [path]}, {"1": [text]}, 1.0)

    def start(self, *words: str) -> bool:
        self.rows = []
        workflow = parse_workflow(PROMPT, DEFINITIONS)
        rows: list[dict[str, Any]] = [{"word.text": word} for word in words]
        journal = Journal(self.output / "rows.journal.jsonl")
        return asyncio.run(run_batch(workflow, rows, self.output, self.run, self.rows.append, journal))

    @property
    def contents(self) -> list[str]:
        return [path.read_text() for path in sorted((self.output / "audio").glob("*"))]


def test_every_row_leaves_its_files(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.start("a", "b", "a")
    assert bench.contents == ["a", "b", "a"]
    assert [path.name for path in sorted((bench.output / "audio").iterdir())] == [
        f"song_0000{i}_.txt" for i in (1, 2, 3)
    ]
    assert not list(bench.output.glob(".row-*"))
    assert all(Path(row.result["files"]["1"][0]).is_file() for row in bench.rows if row.result)


def test_done_rows_are_not_done_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.start("a", "b")
    bench.ran.clear()
    assert bench.start("a", "b", "c")
    assert bench.ran == ["c"]
    assert [row.repeated for row in bench.rows] == [True, True, False]
    assert bench.rows[0].result is not None and bench.rows[0].result["texts"] == {"1": ["a"]}
    bench.start("a", "changed", "c")
    assert bench.ran == ["c", "changed"]


def test_a_failed_row_does_not_stop_the_others_and_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert not bench.start("a", "bad", "c")
    assert [row.error for row in bench.rows] == [None, "bad words.", None]
    assert bench.contents == ["a", "c"]
    bench.ran.clear()
    assert not bench.start("a", "bad", "c")
    assert bench.ran == []


def test_unknown_names_are_found_before_anything_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    workflow = parse_workflow(PROMPT, DEFINITIONS)
    journal = Journal(bench.output / "j.jsonl")
    rows = [{"word.text": "a"}, {"word.colour": "b"}]
    with pytest.raises(GraphError):
        asyncio.run(run_batch(workflow, rows, bench.output, bench.run, bench.rows.append, journal))
    assert bench.ran == []


POINTS = [("run", False)] + [
    (step, after) for step in ("write-moving", "move", "write-done") for after in (False, True)
]


@pytest.mark.parametrize(("step", "after"), POINTS)
def test_a_crash_at_any_point(step: str, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second row crashes before or after one of its steps; the next start completes everything exactly once."""
    bench = Bench(tmp_path)
    crash = {"armed": True}

    def crashing(original: Any, matches: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            mine = matches(*args) and len(bench.ran) == 2 and crash["armed"]
            if mine and not after:
                crash["armed"] = False
                raise Crash
            result = original(*args, **kwargs)
            if mine:
                crash["armed"] = False
                raise Crash
            return result

        return call

    monkeypatch.setattr(Journal, "write", crashing(Journal.write, lambda *args: step == f"write-{args[2]}"))
    monkeypatch.setattr(batch, "_move", crashing(batch._move, lambda *args: step == "move"))
    monkeypatch.setattr(batch, "_keep", crashing(batch._keep, lambda *args: step == "run"))
    with pytest.raises(Crash):
        bench.start("a", "b", "c")
    assert bench.start("a", "b", "c")
    assert sorted(bench.contents) == ["a", "b", "c"]
    assert bench.ran.count("b") == (2 if (step, after) in [("run", False), ("write-moving", False)] else 1)
    assert not list(bench.output.glob(".row-*"))
    assert len(bench.rows) == 3 and all(row.result for row in bench.rows)


def test_a_torn_journal_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.start("a", "b")
    journal = bench.output / "rows.journal.jsonl"
    lines = journal.read_text().rstrip("\n")
    journal.write_text(lines[:-20])
    bench.ran.clear()
    assert bench.start("a", "b", "c")
    assert bench.ran == ["c"]  # row b was recorded as moving, with its result
    assert sorted(bench.contents) == ["a", "b", "c"]
    assert bench.start("a", "b", "c") and bench.ran == ["c"]
    for line in journal.read_text().splitlines():
        assert not line or line.startswith("{")
    json.loads(journal.read_text().splitlines()[-1])
