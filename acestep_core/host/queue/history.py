"""What has run, as JSON texts: compact, immutable, and with a cap on their total size."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

from acestep_core.host.graph.wire import dumps
from acestep_core.host.queue import jobs
from acestep_core.host.queue.job import Job, Outcome
from acestep_core.host.queue.prompt_queue import job_text
from acestep_core.host.queue.queue_log import MAX_ENDED, MAX_ENDED_BYTES, QueueLog


@dataclass(frozen=True)
class Item:
    """One ended job: its history entry, and its line in the list of jobs."""

    text: str
    summary: dict[str, Any]
    size: int


class History:
    """Thread-safe. Iteration order is the order in which jobs ended. With a `log`, it outlives the process.

    The oldest entries go once there are more than `max_items`, or once they take more than `max_bytes` together.
    """

    def __init__(
        self, max_items: int = MAX_ENDED, max_bytes: int = MAX_ENDED_BYTES, log: QueueLog | None = None
    ) -> None:
        self._log = log
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._items: dict[str, Item] = {}
        self._bytes = 0

    def add(self, job: Job, outcome: Outcome, text: str | None = None) -> None:
        """Records how a job ended. `text` is that of its ticket, if it has one."""
        status = {
            "status_str": "success" if outcome.success else "error",
            "completed": outcome.success,
            "messages": outcome.messages,
        }
        fields = {"outputs": outcome.outputs, "status": status, "meta": outcome.meta}
        ended = {"fields": fields, "summary": jobs.ended(job, outcome)}
        if self._log is not None:
            self._log.ended(job.id, ended)
        self.restore(job, ended, text)

    def restore(self, job: Job, ended: dict[str, Any], text: str | None = None) -> None:
        """Adds an entry that the log has."""
        summary = ended["summary"]
        text = '{"prompt": ' + (text or job_text(job)) + ", " + dumps(ended["fields"])[1:]
        item = Item(text, summary, len(text) + len(dumps(summary)))
        with self._lock:
            self._forget(job.id)
            self._items[job.id] = item
            self._bytes += item.size
            while len(self._items) > 1 and (len(self._items) > self._max_items or self._bytes > self._max_bytes):
                self._forget(next(iter(self._items)))

    def text(self, job_id: str | None = None, max_items: int | None = None, offset: int = -1) -> str:
        """`/history` as JSON: one entry, or `max_items` entries from `offset` on, the latest ones by default."""
        with self._lock:
            if job_id is not None:
                ids = [job_id] if job_id in self._items else []
            else:
                ids = list(self._items)
                if max_items is not None:
                    start = offset if offset >= 0 else max(0, len(ids) - max_items)
                    ids = ids[start : start + max_items]
                elif offset > 0:
                    ids = ids[offset:]
            return "{" + ", ".join(f"{json.dumps(i)}: {self._items[i].text}" for i in ids) + "}"

    def entry(self, job_id: str) -> dict[str, Any] | None:
        """One entry, parsed."""
        with self._lock:
            item = self._items.get(job_id)
        return None if item is None else json.loads(item.text)

    def summaries(self) -> list[dict[str, Any]]:
        with self._lock:
            return [item.summary for item in self._items.values()]

    def summary(self, job_id: str) -> dict[str, Any] | None:
        with self._lock:
            item = self._items.get(job_id)
            return None if item is None else item.summary

    def clear(self) -> None:
        with self._lock:
            self._drop(list(self._items))

    def delete(self, job_id: str) -> None:
        with self._lock:
            self._drop([job_id] if job_id in self._items else [])

    @property
    def size(self) -> int:
        """Bytes held, as counted against the cap."""
        return self._bytes

    def _drop(self, job_ids: list[str]) -> None:
        if self._log is not None:
            self._log.dropped(job_ids, ended=True)
        for job_id in job_ids:
            self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        item = self._items.pop(job_id, None)
        if item is not None:
            self._bytes -= item.size
