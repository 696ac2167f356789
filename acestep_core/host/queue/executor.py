"""Runs prompts, one at a time, and keeps what they can share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from acestep_core.host.graph.context import Folders, hosting
from acestep_core.host.graph.packs import Registry
from acestep_core.host.queue.cache import ResultCache
from acestep_core.host.queue.job import Job, Outcome
from acestep_core.host.queue.meeting import Meeting
from acestep_core.host.queue.node_progress import Sink
from acestep_core.host.queue.prompt_run import Run


class Executor:
    """Executes one job after the other, and keeps results and node objects in between. Not for concurrent use."""

    def __init__(
        self,
        registry: Registry,
        folders: Folders,
        sink: Sink,
        guard: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
        redact: Callable[[str], str] = str,
        make_room: Callable[[], None] = lambda: None,
        metadata: bool = True,
        reuse_outputs: bool = True,
        cache: ResultCache | None = None,
        meeting: Meeting | None = None,
    ) -> None:
        """Args:
        guard: entered around each job, for instance `torch.inference_mode`.
        redact: cleans messages of what clients should not see.
        make_room: called after a node ran out of memory; unloads what can be unloaded.
        metadata: whether nodes are given the prompt and workflow, which they write into the files they save.
        reuse_outputs: whether an output node that has run with the same inputs only shows its result again.
            cache: to share with others of the same loop; one of its own by default.
            meeting: of the runs at the same time, see there.
        """
        self.registry = registry
        self.folders = folders
        self.sink = sink
        self.guard = guard
        self.redact = redact
        self.make_room = make_room
        self.metadata = metadata
        self.reuse_outputs = reuse_outputs
        self.cache = ResultCache() if cache is None else cache
        self.meeting = meeting
        self.objects: dict[tuple[str, str], Any] = {}
        self._current: Run | None = None

    async def run(self, job: Job, stop: threading.Event | None = None) -> Outcome:
        """Runs `job` to its end, or until `stop` is set. Failures of nodes are part of the outcome, never raised."""
        run = Run(self, job, stop or threading.Event())
        self._current = run
        try:
            with self.guard(), hosting(self.folders):
                return await run.execute()
        finally:
            self._current = None

    def node_of(self, client: str) -> dict[str, Any] | None:
        """What a client that comes back should be told about its running job."""
        run = self._current
        if run is None or run.job.client != client or run.node_id is None:
            return None
        return {"node": run.node_id, "display_node": run.node_id, "prompt_id": run.job.id}

    def forget(self) -> None:
        """Drops all cached results and node objects."""
        self.cache.clear()
        self.objects.clear()
