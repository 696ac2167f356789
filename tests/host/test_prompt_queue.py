"""The queue alone: order, room, deletion and whom an interruption reaches."""

from __future__ import annotations

import pytest

from acestep_core.errors import HostError
from acestep_core.host.queue.job import Job
from acestep_core.host.queue.prompt_queue import PromptQueue, job_text


def job(number: float) -> Job:
    return Job(number, f"job {number:g}", {"1": {"class_type": "X", "inputs": {}}}, ("1",))


def taken(queue: PromptQueue) -> list[float]:
    found = []
    while (ticket := queue.get(0)) is not None:
        found.append(ticket.number)
    return found


@pytest.mark.parametrize("deleted", range(6))
def test_the_order_survives_a_deletion(deleted: int) -> None:
    queue = PromptQueue(lambda _: None)
    for number in (5, 0, 4, 2, 1, 3):
        queue.put(job(number))
    assert queue.delete(f"job {deleted}") and not queue.delete("nobody")
    assert taken(queue) == sorted(set(range(6)) - {deleted})


def test_what_has_left_makes_room() -> None:
    size = len(job_text(job(1)))
    queue = PromptQueue(lambda _: None, max_bytes=2 * size)
    for number in range(1, 9):
        queue.put(job(number))
        assert queue.get(0) is not None
        queue.done(f"job {number}")
    queue.put(job(1))
    queue.put(job(2))
    with pytest.raises(HostError, match="full"):
        queue.put(job(3))
    queue.delete("job 2")
    queue.put(job(3))


def test_only_the_running_job_is_interrupted() -> None:
    queue = PromptQueue(lambda _: None)
    queue.put(job(1))
    queue.put(job(2))
    assert not queue.interrupt()
    running = queue.get(0)
    assert running is not None
    assert not queue.interrupt("job 2") and not running.stop.is_set()
    assert queue.interrupt("job 1") and running.stop.is_set()


def test_several_run_at_once() -> None:
    told: list[int] = []
    queue = PromptQueue(told.append)
    for number in (1, 2, 3):
        queue.put(job(number))
    first, second = queue.get(0), queue.get(0)
    assert first is not None and second is not None
    running, pending = queue.listing()
    assert [ticket.job.number for ticket in running] == [1, 2] and [t.job.number for t in pending] == [3]
    assert queue.find("job 2") is second and queue.remaining() == 3
    with pytest.raises(HostError, match="already"):
        queue.put(job(1))
    assert queue.interrupt("job 2") and second.stop.is_set() and not first.stop.is_set()
    queue.done("job 2")
    assert queue.listing()[0] == [first] and told[-1] == 2
    assert queue.interrupt() and first.stop.is_set(), "without a name, all are meant"
