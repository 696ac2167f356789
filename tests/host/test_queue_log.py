"""What waits and what has run outlives the process, within bounds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from acestep_core.host.queue import queue_log
from acestep_core.host.queue.history import History
from acestep_core.host.queue.job import Job, Outcome
from acestep_core.host.queue.prompt_queue import PromptQueue
from acestep_core.host.queue.queue_log import QueueLog, Restored
from tests.capabilities import needs_kills, needs_proc
from tests.crash_sweep import sweep
from tests.pretended_files import windows


def job(name: str, number: float = 0, text: str = "x") -> Job:
    prompt = {"1": {"class_type": "X", "inputs": {"text": text}}}
    return Job(number, name, prompt, ("1",), {"client_id": "me", "create_time": 5}, "me")


class Desk:
    """Queue and history over one log, as a host has them."""

    def __init__(self, path: Path) -> None:
        self.log = QueueLog(path)
        self.queue = PromptQueue(lambda _: None, log=self.log)
        self.history = History(log=self.log)
        self.restored = self.log.open()

    def run(self, outcome: Outcome | None = None) -> None:
        ticket = self.queue.get(0)
        assert ticket is not None
        self.history.add(ticket.job, outcome or Outcome(outputs={"1": {"text": ["done"]}}), ticket.text)
        self.queue.done(ticket.job.id)


def kept(path: Path) -> list[tuple[str, int, bool]]:
    """What a host would find that has nothing left to do."""
    desk = Desk(path)
    desk.log.close()
    return kinds(desk.restored)


def kinds(restored: list[Restored]) -> list[tuple[str, int, bool]]:
    return [(before.job.id, before.starts, before.ended is not None) for before in restored]


def test_jobs_are_restored_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "user/queue.jsonl"
    desk = Desk(path)
    assert desk.restored == []
    for number, name in enumerate(["a", "b", "c", "d", "e"]):
        desk.queue.put(job(name, number))
    desk.run()
    desk.run(Outcome(success=False))
    desk.queue.delete("d")
    desk.queue.get(0)  # c runs, and then the process is gone
    desk.log.close()
    again = Desk(path)
    assert kinds(again.restored) == [("c", 1, False), ("e", 0, False), ("a", 1, True), ("b", 1, True)]
    assert again.restored[0].job == job("c", 2)
    ended = again.restored[2].ended
    assert ended is not None
    again.history.restore(again.restored[2].job, ended)
    assert again.history.entry("a") == desk.history.entry("a")
    assert again.history.summary("a") == desk.history.summary("a")


def test_what_was_removed_does_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "queue.jsonl"
    desk = Desk(path)
    for name in ("a", "b", "c", "d", "e"):
        desk.queue.put(job(name))
    desk.run()
    desk.run()
    desk.history.delete("a")
    desk.queue.clear()
    desk.log.close()
    assert kept(path) == [("b", 1, True)]
    desk = Desk(path)
    desk.history.restore(job("b"), desk.restored[0].ended or {})
    desk.history.clear()
    desk.log.close()
    assert kept(path) == []


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "queue.jsonl"
    desk = Desk(path)
    desk.queue.put(job("a"))
    desk.log.close()
    whole = path.read_bytes()
    junk = [b'{"id": "z", "started": true}', b'{"id": "y", "queued": 3}', b"[]", b"{}", b"\xff\xfe", b'{"id": 3}']
    path.write_bytes(b"\n".join(junk) + b"\n" + whole + whole[:20])
    assert kept(path) == [("a", 0, False)]
    later = Desk(path)  # the torn line does not swallow the next one
    later.queue.put(job("b", 1))
    later.log.close()
    assert kept(path) == [("a", 0, False), ("b", 0, False)]


def test_every_cut_of_the_file_is_a_moment_that_was(tmp_path: Path) -> None:
    path = tmp_path / "queue.jsonl"
    desk = Desk(path)
    desk.queue.put(job("a"))
    desk.queue.put(job("b", 1))
    desk.run()
    desk.log.close()
    whole = path.read_bytes()
    seen = set()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        seen.add(tuple(kept(path)))
    assert seen == {
        (),
        (("a", 0, False),),
        (("a", 0, False), ("b", 0, False)),
        (("a", 1, False), ("b", 0, False)),
        (("b", 0, False), ("a", 1, True)),
    }


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_log, "_SLACK", 10_000)
    monkeypatch.setattr(queue_log, "MAX_ENDED_BYTES", 20_000)
    path = tmp_path / "queue.jsonl"
    desk = Desk(path)
    desk.queue.put(job("last", 10**6))
    for number in range(200):
        desk.queue.put(job(f"j{number}", number, "x" * 1000))
        desk.run()
        assert path.stat().st_size < 10_000 + 3 * 25_000
    desk.log.close()
    found = kept(path)
    assert found[0] == ("last", 0, False)
    assert 5 < len(found) < 20 and found[-1] == ("j199", 1, True)


@needs_proc
def test_it_is_kept_where_open_files_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    windows(monkeypatch, tmp_path)
    desk = Desk(tmp_path / "queue.jsonl")
    desk.queue.put(job("a"))
    desk.log.close()
    assert kept(tmp_path / "queue.jsonl") == [("a", 0, False)] and not caplog.records


def test_a_full_disk_stops_the_log_and_not_the_host(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "queue.jsonl").mkdir()
    desk = Desk(tmp_path / "queue.jsonl")
    desk.queue.put(job("a"))
    desk.run()
    assert desk.history.entry("a") is not None
    assert len(caplog.records) == 1 and "cannot be kept" in caplog.text


class Line:
    """Jobs that come and run, while the log is written anew each time."""

    @staticmethod
    def prepare(folder: Path) -> None:
        Line.write(folder)

    @staticmethod
    def write(folder: Path) -> None:
        queue_log._SLACK = 0
        desk = Desk(folder / "queue.jsonl")
        for before in desk.restored:
            if before.ended is None:
                desk.queue.put(before.job)
        round_ = len(list(folder.glob("told*")))
        with (folder / f"told{round_}").open("a", buffering=1) as told:
            for number in range(2):
                desk.queue.put(job(f"{round_}-{number}", number))
                os.write(told.fileno(), f"queued {round_}-{number}\n".encode())
            ticket = desk.queue.get(0)
            assert ticket is not None
            desk.history.add(ticket.job, Outcome(outputs={}), ticket.text)
            desk.queue.done(ticket.job.id)
            os.write(told.fileno(), f"ended {ticket.job.id}\n".encode())

    @staticmethod
    def killed(folder: Path) -> None:
        copy = folder / "copy.jsonl"
        shutil.copy(folder / "queue.jsonl", copy)
        known = {before.job.id: before.ended for before in Desk(copy).restored}
        for told in folder.glob("told*"):
            for line in told.read_text().splitlines():
                event, name = line.split()
                assert name in known and (event == "queued" or known[name] is not None), line

    @staticmethod
    def restarted(folder: Path) -> None:
        Line.killed(folder)


@needs_kills
def test_killed_before_every_operation(tmp_path: Path) -> None:
    assert sweep(__name__, "Line", tmp_path) > 15
