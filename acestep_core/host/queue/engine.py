"""What runs the jobs of a queue: this process, or others."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from acestep_core.host.queue.executor import Executor
from acestep_core.host.queue.job import Job, Outcome
from acestep_core.host.queue.prompt_queue import Chores

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """Runs jobs, up to `places` at a time. All methods may be called from any thread."""

    @property
    def places(self) -> int: ...

    async def run(self, job: Job, stop: threading.Event) -> Outcome:
        """Runs a job to its end, or until `stop` is set. Failures of nodes are part of the outcome, never raised."""

    def node_of(self, client: str) -> dict[str, Any] | None:
        """What a client that comes back should be told about its running job."""

    def do(self, chores: Chores) -> None:
        """Does what was asked for between two jobs."""

    async def workers(self) -> list[dict[str, Any]]:
        """What there is to say of each process that runs jobs, besides this one."""


class OneProcess:
    """Runs jobs in this process, one after the other. Implements `Engine`."""

    places = 1

    def __init__(self, executor: Executor, free_models: Callable[[], None]) -> None:
        self.executor = executor
        self._free_models = free_models

    async def run(self, job: Job, stop: threading.Event) -> Outcome:
        return await self.executor.run(job, stop)

    def node_of(self, client: str) -> dict[str, Any] | None:
        return self.executor.node_of(client)

    def do(self, chores: Chores) -> None:
        if chores.free_memory:
            self.executor.forget()
        if chores.unload_models or chores.free_memory:
            try:
                self._free_models()
            except Exception:  # foreign code; the next job may run
                _log.exception("Unloading the models failed")
            gc.collect()

    async def workers(self) -> list[dict[str, Any]]:
        return []
