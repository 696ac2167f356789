"""The execution of one prompt.

Behaviour as in ComfyUI 0.20.1: which nodes run and in what order, what is reused, which events are sent, what history
records. It differs where ComfyUI's own behaviour is a defect: cancelling also ends asynchronous nodes, tracebacks do
not show folders, and inputs that a node does not declare neither reach it nor change its cache key.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from acestep_core.errors import AceStepError, Cancelled, OutOfMemory
from acestep_core.host.graph.context import Execution, ExecutionBlocker, Interrupted, executing
from acestep_core.host.graph.mapping import blocker_in, calls_of, input_lists, map_over_lists, merge_results
from acestep_core.host.graph.nodedef import NodeDef
from acestep_core.host.graph.validation import type_name, where
from acestep_core.host.queue.cache import Entry, node_keys
from acestep_core.host.queue.job import Job, Outcome
from acestep_core.host.queue.meeting import meets
from acestep_core.host.queue.node_progress import Progress
from acestep_core.host.queue.schedule import Schedule

if TYPE_CHECKING:
    from acestep_core.host.queue.executor import Executor

_log = logging.getLogger(__name__)

MAX_SHOWN_INPUT = 2000
"""Characters of an input's text form that an error report shows."""


class _Failed(Exception):
    """A node raised; carries what history records about it."""

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report


class Run:
    """The execution of one job."""

    def __init__(self, executor: Executor, job: Job, stop: threading.Event) -> None:
        self.host = executor
        self.job = job
        self.read = executor.registry.reader()
        self.nodes = {node_id: node for node_id, node in job.prompt.items() if self._is_sound(node)}
        self.schedule = Schedule(self.nodes, self.read, lambda node_id: self._cached(node_id) is not None)
        self.progress = Progress(job.id, job.client, executor.sink)
        self.stop = stop
        self.node_id: str | None = None
        self.outcome = Outcome()
        self.keys: dict[str, str | None] = {}
        self.results: dict[str, Entry] = {}
        self.requested: set[tuple[str, str]] = set()
        self.executed: list[str] = []
        self.awaiting: dict[asyncio.Task[Any], str] = {}

    def _is_sound(self, node: Mapping[str, Any]) -> bool:
        """Validation looks only at what the outputs need; the rest of the prompt may be anything."""
        try:
            self.read(node["class_type"])
        except Exception:  # the class is foreign code
            return False
        return isinstance(node.get("inputs"), dict)

    async def execute(self) -> Outcome:
        self._record("execution_start", {"prompt_id": self.job.id})
        try:
            await self._prepare_cache()
            cached = [node_id for node_id in self.nodes if self._cached(node_id) is not None]
            self._record("execution_cached", {"nodes": cached, "prompt_id": self.job.id})
            for node_id in self.job.outputs:
                self.schedule.add(node_id)
            await self._drain()
        except (Interrupted, Cancelled):
            self._fail("execution_interrupted", {})
        except _Failed as failure:
            details = {**failure.report, "current_outputs": list(self.job.prompt)}
            self._fail("execution_error", details)
        else:
            self._resend_intermediate()
            self._record("execution_success", {"prompt_id": self.job.id})
        finally:
            await self._cancel_tasks()
            # The schedule refers back to the run, so songs would lie about until a collector comes by.
            self.results.clear()
        return self.outcome

    async def _drain(self) -> None:
        while self.schedule:
            node_id = self.schedule.next()
            if node_id is None:
                await self._wait_for_task()
                continue
            self.node_id = node_id
            if await self._stage(node_id):
                self.schedule.done(node_id)

    # -- cache ---------------------------------------------------------------------------------------------------------

    async def _prepare_cache(self) -> None:
        changed = {}
        for node_id, node in self.nodes.items():
            definition = self.read(node["class_type"])
            if hasattr(definition.cls, "IS_CHANGED"):
                changed[node_id] = await self._is_changed(node_id, node["inputs"], definition)
        self.keys = node_keys(self.nodes, self.read, changed)
        if not self.host.reuse_outputs:
            self.keys.update((i, None) for i, node in self.nodes.items() if self.read(node["class_type"]).is_output)
        self.host.cache.keep_only(set(self.keys.values()))
        kept = {(node_id, node["class_type"]) for node_id, node in self.nodes.items()}
        self.host.objects = {key: node for key, node in self.host.objects.items() if key in kept}

    async def _is_changed(self, node_id: str, inputs: Mapping[str, Any], definition: NodeDef) -> Any:
        lists = input_lists(inputs, definition, node_id)
        with self._context(node_id, 0):
            try:
                answers = map_over_lists(definition.cls.IS_CHANGED, lists, definition)
                return [await answer if inspect.isawaitable(answer) else answer for answer in answers]
            except Exception as error:  # the node is foreign code; it simply runs again
                _log.warning("IS_CHANGED of node %s (%s) failed: %s", node_id, definition.id, error)
                return float("nan")

    def _cached(self, node_id: str) -> Entry | None:
        return self.results.get(node_id) or self.host.cache.get(self.keys.get(node_id))

    # -- one node ------------------------------------------------------------------------------------------------------

    async def _stage(self, node_id: str) -> bool:
        """Runs a node as far as it goes now. False: it waits for lazy inputs or for its own coroutine."""
        cached = self._cached(node_id)
        if cached is not None:
            self.results[node_id] = cached
            shown = None if cached.ui is None else cached.ui["output"]
            self._show(node_id, cached.ui, {"output": shown})
            self.progress.finish(node_id)
            return True
        node = self.nodes[node_id]
        definition = self.read(node["class_type"])
        self.progress.start(node_id)
        event = {"node": node_id, "display_node": node_id, "prompt_id": self.job.id}
        self._tell("executing", event)
        lists: dict[str, Sequence[Any]] = {}
        try:
            lists = self._inputs(node_id, node["inputs"], definition)
            instance = self._object(node_id, definition)
            if await self._ask_lazy(node_id, instance, lists, definition):
                self.schedule.put_back(node_id)
                return False
            returned = self._call(node_id, instance, lists, definition)
            if any(isinstance(value, asyncio.Task) for value in returned):
                # give the coroutines a chance to finish right away
                await asyncio.sleep(0)
                if not all(value.done() for value in returned if isinstance(value, asyncio.Task)):
                    task = asyncio.create_task(_gather(returned))
                    self.awaiting[task] = node_id
                    return False
            self._finish(node_id, definition, [_result(value) for value in returned])
        except (Interrupted, Cancelled):
            raise
        except (Exception, SystemExit) as error:
            raise self._failure(node_id, error, lists) from error
        return True

    def _inputs(self, node_id: str, inputs: Mapping[str, Any], definition: NodeDef) -> dict[str, Sequence[Any]]:
        known = definition.given(inputs)

        def resolve(name: str, link: Any) -> Sequence[Any] | None:
            if known[name].lazy and (node_id, name) not in self.requested:
                return None
            source, slot = link
            entry = self.results.get(source) or self._cached(source)
            if entry is None or slot >= len(entry.outputs):
                return None
            return entry.outputs[slot]

        prompt, extra = (self.job.prompt, self.job.extra) if self.host.metadata else (None, None)
        return input_lists(inputs, definition, node_id, resolve, prompt, extra)

    def _object(self, node_id: str, definition: NodeDef) -> Any:
        key = (node_id, definition.id)
        if key not in self.host.objects:
            self.host.objects[key] = definition.cls()
        return self.host.objects[key]

    async def _ask_lazy(self, node_id: str, instance: Any, lists: dict[str, Any], definition: NodeDef) -> bool:
        """Asks the node which of its lazy inputs it needs now; True if it named new ones."""
        function = getattr(instance, "check_lazy_status", None)
        if function is None:
            return False
        with self._context(node_id, 0):
            answers = map_over_lists(function, lists, definition)
            answers = [await answer if inspect.isawaitable(answer) else answer for answer in answers]
        inputs = self.nodes[node_id]["inputs"]
        needed = {
            name
            for answer in answers
            if isinstance(answer, list)
            for name in answer
            if name in inputs and name in definition.inputs and definition.inputs[name].lazy
        }
        new = [name for name in sorted(needed) if (node_id, name) not in self.requested and _links(inputs[name])]
        for name in new:
            self.requested.add((node_id, name))
            self.schedule.require(node_id, name)
        return bool(new)

    def _call(self, node_id: str, instance: Any, lists: dict[str, Any], definition: NodeDef) -> list[Any]:
        function = getattr(instance, definition.function)
        returned: list[Any] = []
        for index, arguments in enumerate(calls_of(lists, definition)):
            self._check_stop()
            blocker = blocker_in(arguments, definition.input_is_list)
            if blocker is not None:
                returned.append(self._blocked(node_id, definition, blocker))
                continue
            with self._context(node_id, index):
                value = self._value(node_id, definition, function, arguments)
                returned.append(asyncio.create_task(_contained(value)) if inspect.isawaitable(value) else value)
        return returned

    def _value(self, node_id: str, definition: NodeDef, function: Any, arguments: dict[str, Any]) -> Any:
        """What a call gives, or something to await for it: what others of the group ask of the node is made with it."""
        if self.host.meeting is None or not meets(definition.cls):
            return function(**arguments)
        return self.host.meeting.ask(self, node_id, definition.cls, arguments)

    def _finish(self, node_id: str, definition: NodeDef, returned: list[Any]) -> None:
        outputs, shown = merge_results(returned, definition)
        ui = None
        if shown:
            meta = {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}
            ui = {"output": shown, "meta": meta}
            self._show(node_id, ui, {"output": shown})
        entry = Entry(outputs, ui)
        self.results[node_id] = entry
        self.host.cache.put(self.keys.get(node_id), entry)
        self.progress.finish(node_id)
        self.executed.append(node_id)

    def _show(self, node_id: str, ui: dict[str, Any] | None, data: dict[str, Any]) -> None:
        if ui is not None:
            self.outcome.outputs[node_id] = ui["output"]
            self.outcome.meta[node_id] = ui["meta"]
        self._tell("executed", {"node": node_id, "display_node": node_id, **data, "prompt_id": self.job.id})

    def _resend_intermediate(self) -> None:
        """Cached nodes that show something without being outputs show it again."""
        for node_id, node in self.nodes.items():
            if node_id in self.results or not getattr(
                self.read(node["class_type"]).cls, "HAS_INTERMEDIATE_OUTPUT", False
            ):
                continue
            cached = self._cached(node_id)
            if cached is not None and cached.ui is not None:
                self._show(node_id, cached.ui, {"output": cached.ui["output"]})

    # -- asynchronous nodes --------------------------------------------------------------------------------------------

    async def _wait_for_task(self) -> None:
        """Waits until an asynchronous node is finished, looking for a cancel meanwhile."""
        done: set[asyncio.Task[Any]] = set()
        while not done:
            self._check_stop()
            if not self.awaiting:
                raise RuntimeError("nodes are left that wait for each other")
            done, _ = await asyncio.wait(self.awaiting, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            node_id = self.awaiting.pop(task)
            self.node_id = node_id
            node = self.nodes[node_id]
            definition = self.read(node["class_type"])
            try:
                self._finish(node_id, definition, task.result())
            except (Interrupted, Cancelled):
                raise
            except (Exception, SystemExit) as error:
                raise self._failure(node_id, error, self._inputs(node_id, node["inputs"], definition)) from error
            self.schedule.done(node_id)

    async def _cancel_tasks(self) -> None:
        for task in self.awaiting:
            task.cancel()
        if self.awaiting:
            await asyncio.gather(*self.awaiting, return_exceptions=True)

    # -- reporting -----------------------------------------------------------------------------------------------------

    def _context(self, node_id: str, index: int) -> AbstractContextManager[Execution]:
        execution = Execution(self.host.folders, self.job.id, node_id, index, self.progress, self.stop.is_set)
        return executing(execution)

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Interrupted

    def _tell(self, event: str, data: dict[str, Any]) -> None:
        if self.job.client is not None:
            self.host.sink.send(event, data, self.job.client)

    def _record(self, event: str, data: dict[str, Any]) -> None:
        data = {**data, "timestamp": int(time.time() * 1000)}
        self.outcome.messages.append([event, data])
        if self.job.client is not None or event == "execution_interrupted":
            self.host.sink.send(event, data, self.job.client)

    def _fail(self, event: str, details: dict[str, Any]) -> None:
        node_id = self.node_id or self.job.outputs[0]
        self.outcome.success = False
        data = {
            "prompt_id": self.job.id,
            "node_id": node_id,
            "node_type": self.nodes[node_id]["class_type"],
            "executed": self.executed,
            **details,
        }
        self._record(event, data)

    def _failure(self, node_id: str, error: BaseException, lists: Mapping[str, Sequence[Any]]) -> _Failed:
        self.node_id = node_id
        if not isinstance(error, AceStepError):  # what no user can mend: a defect, and its traceback is wanted
            _log.error("Node %s (%s) failed:", node_id, self.nodes[node_id]["class_type"], exc_info=error)
        if isinstance(error, MemoryError | OutOfMemory) or type(error).__name__ == "OutOfMemoryError":
            self.host.make_room()
        return _Failed(
            {
                "exception_message": f"{self.host.redact(str(error))}\n",
                "exception_type": type_name(error),
                "traceback": where(error),
                "current_inputs": {name: [self._shown(value) for value in values] for name, values in lists.items()},
            }
        )

    def _shown(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        try:
            text = str(value)
        except Exception:  # the object is foreign, and the report of its node's failure must not fail
            text = type(value).__name__
        return self.host.redact(text[:MAX_SHOWN_INPUT])

    def _blocked(self, node_id: str, definition: NodeDef, blocker: ExecutionBlocker) -> ExecutionBlocker:
        if blocker.message is None:
            return blocker
        data = {
            "prompt_id": self.job.id,
            "node_id": node_id,
            "node_type": definition.id,
            "executed": self.executed,
            "exception_message": f"Execution Blocked: {blocker.message}",
            "exception_type": "ExecutionBlocked",
            "traceback": [],
            "current_inputs": [],
            "current_outputs": [],
        }
        self._tell("execution_error", data)
        return ExecutionBlocker(None)


async def _contained(awaitable: Any) -> Any:
    """Awaits a node's coroutine; one that tries to end the process fails like any other node."""
    try:
        return await awaitable
    except SystemExit as error:
        raise RuntimeError(f"the node tried to end the process: {error}") from error


def _links(value: Any) -> bool:
    return isinstance(value, list)


def _result(value: Any) -> Any:
    return value.result() if isinstance(value, asyncio.Task) else value


async def _gather(returned: Sequence[Any]) -> list[Any]:
    """Awaits the calls of one node; the first failure ends the others."""
    tasks = [value for value in returned if isinstance(value, asyncio.Task)]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    return [_result(value) for value in returned]
