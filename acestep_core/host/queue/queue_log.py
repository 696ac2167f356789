"""What is queued and what has run, in a file, so that a host that was killed goes on where it was.

The file has one JSON object per line and only grows, until so much of it is outdated that it is written anew. A line
that a crash has torn is passed over.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from acestep_core.errors import StorageError
from acestep_core.host.graph.wire import dumps
from acestep_core.host.queue.job import Job
from acestep_core.io.atomic import atomic_write

_log = logging.getLogger(__name__)

MAX_ENDED = 1000
MAX_ENDED_BYTES = 64 * 2**20
"""The cap on what is kept of jobs that have ended; the oldest go."""

MAX_STARTS = 2
"""A job that was running so many times when the host was killed is not started again: it may be what killed it."""

_SLACK = 2**20
"""Outdated bytes that are never worth a new file."""


@dataclass
class _Kept:
    """The lines of one job that still count, as `(offset, length)` in the file."""

    queued: tuple[int, int]
    starts: list[tuple[int, int]] = field(default_factory=list)
    ended: tuple[int, int] | None = None

    @property
    def lines(self) -> list[tuple[int, int]]:
        return [self.queued, *self.starts, *([self.ended] if self.ended else [])]

    @property
    def size(self) -> int:
        return sum(length for _, length in self.lines)


@dataclass(frozen=True)
class Restored:
    """A job from before. `ended` is what history knows of its end, None if it is to run (again)."""

    job: Job
    starts: int
    ended: dict[str, Any] | None


class QueueLog:
    """Thread-safe. Where the disk fails, it says so once and forgets from then on; the host goes on without."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._waiting: dict[str, _Kept] = {}
        self._ended: dict[str, _Kept] = {}
        self._ended_bytes = 0
        self._file: BinaryIO | None = None
        self._size = 0
        self._live = self._written = 0  # bytes: of what counted when the file was last written anew, and since then

    def open(self) -> list[Restored]:
        """Reads the file and begins to write to it.

        Returns:
            The jobs it knows, in the order in which they were queued; those that have ended, in that of their ends.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        with self._lock:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a+b")
                self._file.seek(0)
                for line in self._file:
                    entry = _entry(line)
                    if entry is not None:
                        self._note(entry, (self._size, len(line)))
                        found.setdefault(entry["id"], []).append(entry)
                    self._size += len(line)
                self._rewrite()
            except (OSError, StorageError) as error:
                self._give_up(error)
        kept = {**self._waiting, **self._ended}
        return [job for job_id in kept for job in _restored(job_id, found[job_id], kept[job_id])]

    def queued(self, job_id: str, text: str) -> None:
        """Args:
        text: JSON of `[number, id, prompt, extra_data, outputs]`.
        """
        self._write(job_id, "queued", text)

    def started(self, job_id: str) -> None:
        self._write(job_id, "started", "true")

    def ended(self, job_id: str, entry: dict[str, Any]) -> None:
        self._write(job_id, "ended", dumps(entry))

    def dropped(self, job_ids: Iterable[str], ended: bool) -> None:
        """Somebody removed these jobs from the queue, or from history if they have `ended`."""
        for job_id in job_ids:
            self._write(job_id, "dropped_ended" if ended else "dropped", "true")

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, job_id: str, event: str, value: str) -> None:
        line = f'{{"id": {json.dumps(job_id)}, "{event}": {value}}}\n'.encode()
        with self._lock:
            if self._file is None:
                return
            try:
                self._file.write(line)
                self._file.flush()
                self._note({"id": job_id, event: None}, (self._size, len(line)))
                self._size += len(line)
                self._written += len(line)
                if self._written > _SLACK + self._live:
                    self._rewrite()
            except (OSError, StorageError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        _log.warning("The queue cannot be kept in %s and will be lost with this process: %s", self._path, error)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _note(self, entry: dict[str, Any], line: tuple[int, int]) -> None:
        """Keeps track of which lines count."""
        job_id = entry["id"]
        waiting = self._waiting.get(job_id)
        if "queued" in entry:
            self._forget(job_id)
            self._waiting[job_id] = _Kept(line)
        elif "started" in entry and waiting is not None:
            waiting.starts.append(line)
        elif "ended" in entry and waiting is not None:
            waiting.ended = line
            self._ended[job_id] = self._waiting.pop(job_id)
            self._ended_bytes += waiting.size
            while len(self._ended) > MAX_ENDED or (self._ended_bytes > MAX_ENDED_BYTES and len(self._ended) > 1):
                self._forget(next(iter(self._ended)))
        elif ("dropped" in entry and waiting is not None) or ("dropped_ended" in entry and waiting is None):
            self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        self._waiting.pop(job_id, None)
        ended = self._ended.pop(job_id, None)
        if ended is not None:
            self._ended_bytes -= ended.size

    def _rewrite(self) -> None:
        """Writes the file anew, with nothing but the lines that count."""
        assert self._file is not None
        size = 0
        moved: dict[str, list[tuple[int, int]]] = {}
        kept = {**self._waiting, **self._ended}
        with atomic_write(self._path) as temporary:
            with temporary.open("wb") as new:
                for job_id, lines in kept.items():
                    for offset, length in lines.lines:
                        self._file.seek(offset)
                        new.write(self._file.read(length))
                        moved.setdefault(job_id, []).append((size, length))
                        size += length
            self._file.close()  # Windows replaces no file that is open
        self._file = self._path.open("a+b")
        self._size = self._live = size
        self._written = 0
        for job_id, lines in kept.items():
            lines.queued, *rest = moved[job_id]
            lines.starts, lines.ended = (rest[:-1], rest[-1]) if lines.ended else (rest, None)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("id"), str) else None


def _restored(job_id: str, entries: list[dict[str, Any]], kept: _Kept) -> Iterator[Restored]:
    queued: Any = next((entry["queued"] for entry in reversed(entries) if "queued" in entry), None)
    ended = next((entry["ended"] for entry in reversed(entries) if "ended" in entry), None) if kept.ended else None
    try:
        number, _, prompt, extra, outputs = queued
        job = Job(number, job_id, prompt, tuple(outputs), extra, extra.get("client_id"))
    except (ValueError, TypeError, AttributeError):
        return  # not written by this version
    yield Restored(job, len(kept.starts), ended)
