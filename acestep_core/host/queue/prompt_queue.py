"""Prompts that wait, and those that run."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from acestep_core.errors import HostError
from acestep_core.host.graph.wire import dumps
from acestep_core.host.queue.job import Job
from acestep_core.host.queue.queue_log import QueueLog


@dataclass(frozen=True, order=True)
class Ticket:
    """A queued job. Tickets sort by the job's number, then by arrival."""

    number: float
    arrival: int
    job: Job = field(compare=False)
    text: str = field(compare=False)
    """JSON of `[number, id, prompt, extra_data, outputs]`, as `/queue` and `/history` show it."""
    stop: threading.Event = field(compare=False, default_factory=threading.Event)


@dataclass(frozen=True)
class Chores:
    """What somebody asked the engine to do between two jobs."""

    unload_models: bool = False
    free_memory: bool = False


def job_text(job: Job) -> str:
    """A job as one JSON list. Taken when it is queued, so that no node can change what history records."""
    number: Any = int(job.number) if float(job.number).is_integer() else job.number
    return dumps([number, job.id, job.prompt, job.extra, list(job.outputs)])


class PromptQueue:
    """Thread-safe; `changed` is called under the lock whenever the number of unfinished jobs may have changed.

    With a `log`, what waits outlives the process.
    """

    def __init__(
        self,
        changed: Callable[[int], None],
        max_pending: int = 10_000,
        max_bytes: int = 512 * 2**20,
        log: QueueLog | None = None,
    ) -> None:
        self._changed = changed
        self._log = log
        self._max_pending = max_pending
        self._max_bytes = max_bytes
        self._bytes = 0
        self._arrivals = 0
        self._condition = threading.Condition()
        self._pending: list[Ticket] = []
        self._running: dict[str, Ticket] = {}
        self._chores = Chores()
        self._closed = False

    def put(self, job: Job, restored: bool = False) -> None:
        """Adds a job; one that was `restored` is in the log already.

        Raises:
            HostError: the queue is full, or holds a job of this id.
        """
        text = job_text(job)
        with self._condition:
            if len(self._pending) >= self._max_pending or self._bytes + len(text) > self._max_bytes:
                raise HostError("The queue is full; wait until some of it is done.")
            if self.find(job.id) is not None:
                raise HostError("A prompt of this id is already queued; choose another prompt_id.")
            if self._log is not None and not restored:
                self._log.queued(job.id, text)
            self._arrivals += 1
            heapq.heappush(self._pending, Ticket(job.number, self._arrivals, job, text))
            self._bytes += len(text)
            self._notify()

    def get(self, timeout: float | None = None) -> Ticket | None:
        """Waits for the next job and marks it as running. None: there are chores, or the queue was closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._pending or self._closed or self._chores != Chores(), timeout)
            if self._closed or not self._pending:
                return None
            ticket = heapq.heappop(self._pending)
            self._running[ticket.job.id] = ticket
            self._bytes -= len(ticket.text)
            if self._log is not None:
                self._log.started(ticket.job.id)
            self._notify()
            return ticket

    def done(self, job_id: str) -> None:
        """A running job has ended and is recorded."""
        with self._condition:
            del self._running[job_id]
            self._notify()

    def remaining(self) -> int:
        with self._condition:
            return self._count()

    def listing(self) -> tuple[list[Ticket], list[Ticket]]:
        """Running and pending jobs, the latter in the order they will run."""
        with self._condition:
            return list(self._running.values()), sorted(self._pending)

    def find(self, job_id: str) -> Ticket | None:
        with self._condition:
            if job_id in self._running:
                return self._running[job_id]
            return next((ticket for ticket in self._pending if ticket.job.id == job_id), None)

    def clear(self) -> None:
        """Drops all pending jobs."""
        with self._condition:
            if self._log is not None:
                self._log.dropped([ticket.job.id for ticket in self._pending], ended=False)
            self._pending = []
            self._bytes = 0
            self._notify()

    def delete(self, job_id: str) -> bool:
        """Drops one pending job."""
        with self._condition:
            kept = [ticket for ticket in self._pending if ticket.job.id != job_id]
            if len(kept) == len(self._pending):
                return False
            if self._log is not None:
                self._log.dropped([job_id], ended=False)
            self._pending = kept
            self._bytes = sum(len(ticket.text) for ticket in kept)
            heapq.heapify(self._pending)
            self._notify()
            return True

    def interrupt(self, job_id: str | None = None) -> bool:
        """Tells a running job to stop; all of them, if none is named. False: no such job runs."""
        with self._condition:
            meant = [ticket for ticket in self._running.values() if job_id in (None, ticket.job.id)]
            for ticket in meant:
                ticket.stop.set()
            return bool(meant)

    def ask(self, unload_models: bool, free_memory: bool) -> None:
        """Leaves chores for the engine; it does them at once if it is idle."""
        with self._condition:
            self._chores = Chores(self._chores.unload_models or unload_models, self._chores.free_memory or free_memory)
            self._condition.notify()

    def take_chores(self) -> Chores:
        with self._condition:
            chores, self._chores = self._chores, Chores()
            return chores

    def close(self) -> None:
        """Ends every wait and stops the running jobs."""
        with self._condition:
            self._closed = True
            for ticket in self._running.values():
                ticket.stop.set()
            self._condition.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def _count(self) -> int:
        return len(self._pending) + len(self._running)

    def _notify(self) -> None:
        self._changed(self._count())
        self._condition.notify()
