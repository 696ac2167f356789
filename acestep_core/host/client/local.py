"""Running workflows in this process, through the same validator and executor as the server, without the server."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from acestep_core.errors import AceStepError
from acestep_core.host.client.sources import Sources
from acestep_core.host.client.stores import Store
from acestep_core.host.graph.context import Folders, hosting
from acestep_core.host.graph.migrate.migration import load_runnable
from acestep_core.host.graph.paths import annotated
from acestep_core.host.graph.validation import validate
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.cache import ResultCache
from acestep_core.host.queue.executor import Executor
from acestep_core.host.queue.job import Job
from acestep_core.host.queue.meeting import Meeting, meets
from acestep_core.host.queue.results import Result, Update, Watch, check_outcome, refusal, shown_files, shown_texts
from acestep_core.host.server.host import inference_mode, load_registry
from acestep_core.io.staging import keep_copy


@dataclass(frozen=True)
class Wish:
    """One run of several: as the arguments of `LocalRunner.run`."""

    workflow: Workflow
    output: Path | None = None
    prompt_id: str | None = None


class LocalRunner:
    """Holds the node packs and what executors keep between runs. Absent folders are made by the first run."""

    def __init__(self, folders: Folders, packs: Sequence[Path], metadata: bool = True) -> None:
        self.folders = folders
        self._metadata, self._cache = metadata, ResultCache()
        with hosting(folders):
            self.registry = load_registry(packs)
        self._seats = [self._seat()]

    @property
    def meeting(self) -> frozenset[str]:
        """Types of nodes that make several songs at once."""
        return frozenset(name for name in self.registry if meets(self.registry.cls(name)))

    def load(self, path: Path) -> Workflow:
        """A workflow file, read with the node types of the packs."""
        with hosting(self.folders):
            return load_runnable(path, self.registry.definitions())

    def prepare(self, workflow: Workflow, sources: Sources) -> Workflow:
        """Copies the local files that the workflow names to the input folder.

        Args:
            sources: which files the workflow may name.

        Raises:
            GraphError: the workflow names a file that it may not.
        """
        prepared = workflow.with_inputs({})
        for node_id, name, path in sources.of(workflow):
            if not path.is_relative_to(self.folders.input):
                prepared.put(node_id, name, keep_copy(path, self.folders.input, path.name).name)
        return prepared

    async def run(
        self,
        workflow: Workflow,
        output: Path | None = None,
        watch: Watch | None = None,
        stop: threading.Event | None = None,
        prompt_id: str | None = None,
    ) -> Result:
        """Validates and runs a workflow.

        Args:
            workflow: its files are in the input folder, see `prepare`.
            output: where its nodes save; the output folder by default.
            watch: told how it goes.
            stop: set it to cancel.

        Raises:
            RunFailed: the workflow is not valid, or a node failed.
            Cancelled: `stop` was set.
        """
        wish = Wish(workflow, output, prompt_id)
        with inference_mode():
            return await self._run(self._seats[0], wish, watch, stop)

    async def run_stored(self, workflow: Workflow, store: Store, folder: str, **more: Any) -> Result:
        """As `run`, with all files brought to a store, below `folder`."""
        with TemporaryDirectory(prefix="acestep-") as made:
            result = await self.run(workflow, Path(made).resolve(), **more)
            return await asyncio.to_thread(store.keep, result, Path(made).resolve(), folder)

    async def run_together(self, wishes: Sequence[Wish], watch: Watch | None = None) -> list[Result | AceStepError]:
        """Runs several workflows side by side: what nodes can make for all of them at once is made at once.

        Args:
            watch: told how any of them goes.

        Returns:
            For each what `run` gives or raises.
        """
        self._seats += [self._seat() for _ in range(len(wishes) - len(self._seats))]
        meeting = Meeting(len(wishes))

        async def one(seat: _Seat, wish: Wish) -> Result | AceStepError:
            try:
                return await self._run(seat, wish, watch, None, meeting)
            except AceStepError as error:
                return error
            finally:
                meeting.leave()

        with inference_mode():  # here, not around each run: it is of the thread, and they end in any order
            return await asyncio.gather(*(map(one, self._seats, wishes)))

    def _seat(self) -> _Seat:
        """Where one run is at a time."""
        sink = _WatchSink()
        # output nodes always run, so that every run leaves its files
        executor = Executor(
            self.registry, self.folders, sink, metadata=self._metadata, reuse_outputs=False, cache=self._cache
        )
        return _Seat(executor, sink)

    async def _run(
        self,
        seat: _Seat,
        wish: Wish,
        watch: Watch | None,
        stop: threading.Event | None,
        meeting: Meeting | None = None,
    ) -> Result:
        start, workflow = time.perf_counter(), wish.workflow
        folders = self.folders if wish.output is None else replace(self.folders, output=wish.output)
        prompt = workflow.queued()
        with hosting(folders):
            report = validate(prompt, self.registry)
        if report.error is not None or report.node_errors:
            raise refusal(workflow, report.error, report.node_errors)
        folders.made()
        job_id = wish.prompt_id or str(uuid.uuid4())
        job = Job(0, job_id, prompt, tuple(report.outputs), workflow.extra_data, client="local")
        seat.sink.watch = watch
        seat.executor.folders, seat.executor.meeting = folders, meeting
        outcome = await seat.executor.run(job, stop)
        check_outcome(workflow, outcome.messages)
        files: dict[str, list[Path]] = {}
        for node_id, item in shown_files(outcome.outputs):
            subfolder = str(item.get("subfolder") or "")
            path = annotated(folders, f"{subfolder}/{item['filename']}".lstrip("/"), str(item.get("type") or "output"))
            files.setdefault(node_id, []).append(path)
        return Result(job_id, files, shown_texts(outcome.outputs), time.perf_counter() - start)


class _WatchSink:
    """Turns the executor's events into updates. Implements `progress.Sink`."""

    def __init__(self) -> None:
        self.watch: Watch | None = None

    def send(self, event: str, data: dict[str, Any], client: str | None = None) -> None:
        if self.watch is None:
            return
        if event == "executing":
            self.watch(Update("node", data["node"]))
        elif event == "progress":
            self.watch(Update("progress", data["node"], data["value"], data["max"]))
        elif event == "execution_cached":
            self.watch(Update("cached", total=len(data["nodes"])))

    def preview(self, image: Any, about: dict[str, Any], client: str | None) -> None:
        pass

    def text(self, node_id: str, prompt_id: str, text: str, client: str | None) -> None:
        if self.watch is not None:
            self.watch(Update("text", node_id, text=text))

    def watching(self, client: str | None) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class _Seat:
    executor: Executor
    sink: _WatchSink
