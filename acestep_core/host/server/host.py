"""The host without HTTP: node packs, queue, engine, history, events."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from acestep_core.host.graph import stock_nodes
from acestep_core.host.graph.context import Folders, hosting
from acestep_core.host.graph.packs import Registry, load_pack
from acestep_core.host.graph.validation import Report, validate
from acestep_core.host.graph.wire import MAX_NODES
from acestep_core.host.queue import jobs
from acestep_core.host.queue.engine import Engine, OneProcess
from acestep_core.host.queue.executor import Executor
from acestep_core.host.queue.history import History
from acestep_core.host.queue.job import Job, failed
from acestep_core.host.queue.node_progress import Sink
from acestep_core.host.queue.prompt_queue import Chores, PromptQueue, Ticket
from acestep_core.host.queue.queue_log import MAX_STARTS, QueueLog
from acestep_core.host.server.events import Hub
from acestep_core.host.server.redact import redactor
from acestep_core.host.server.security import LOOPBACK, Policy

_log = logging.getLogger(__name__)
_KILLED = f"The host was killed {MAX_STARTS} times while it ran this; if memory was short, make it smaller."
_Result = TypeVar("_Result")


PATIENCE = 10.0
"""Seconds for a job to end in when nobody is there to hurry a host that stops."""


@dataclass(frozen=True)
class HostConfig:
    """Args:
    folders: where nodes and requests read and write.
    packs: folders of node packs.
    policy: who may talk to the host.
    port: 0 for any free one.
    max_upload, max_json: bytes of an uploaded file, and of any other request.
    max_nodes: nodes of one prompt.
    metadata: whether saved files carry the prompt and workflow that made them.
    free_models: unloads the library's models; called by `/free` and when memory runs out.
    hurry: set when a host that stops shall wait no longer for its job to save; None: it waits for `PATIENCE`.
    """

    folders: Folders
    packs: tuple[Path, ...] = ()
    policy: Policy = LOOPBACK
    port: int = 8188
    max_upload: int = 100 * 2**20
    max_json: int = 16 * 2**20
    max_nodes: int = MAX_NODES
    metadata: bool = True
    free_models: Callable[[], None] = lambda: None
    hurry: asyncio.Event | None = None


def load_registry(packs: Collection[Path]) -> Registry:
    """The stock nodes and those of the given pack folders.

    Raises:
        GraphError: a folder is no pack or cannot be imported.
    """
    return Registry([*stock_nodes.PACKS, *(load_pack(folder) for folder in packs)])


def inference_mode() -> AbstractContextManager[Any]:
    """Nodes run without gradients, as in ComfyUI; a node that trains opens `torch.inference_mode(False)`."""
    import torch

    return torch.inference_mode()


def redactor_of(config: HostConfig, registry: Registry) -> Callable[[str], str]:
    """Names the folders of a host in texts instead of showing them."""
    places = [(getattr(config.folders, name), name) for name in ("input", "output", "temp", "user", "models")]
    return redactor([*places, *((pack.root, pack.name) for pack in registry.packs if pack.root is not None)])


def in_this_process(config: HostConfig, registry: Registry, sink: Sink) -> OneProcess:
    """What runs the jobs of a host here, and tells `sink` of them."""
    executor = Executor(
        registry,
        config.folders,
        sink,
        guard=inference_mode,
        redact=redactor_of(config, registry),
        make_room=config.free_models,
        metadata=config.metadata,
    )
    return OneProcess(executor, config.free_models)


class Host:
    """Owns the queue, the threads that empty it and what they produce. Made inside an event loop by `start`.

    With a `log`, queue and history are what they were when the last host with it ended, however it ended.
    """

    def __init__(
        self, config: HostConfig, log: QueueLog | None = None, engine: Callable[[Sink], Engine] | None = None
    ) -> None:
        """Args:
        engine: makes what runs the jobs and tells the given sink of them; by default they run in this process.
        """
        self.config = config
        self._log = log
        self.folders = config.folders
        with hosting(config.folders):
            self.registry = load_registry(config.packs)
        self.features = {
            "supports_preview_metadata": True,
            "max_upload_size": config.max_upload,
            "node_replacements": True,
            "assets": False,
        }
        self.hub = Hub(self.features)
        self.history = History(log=log)
        self.queue = PromptQueue(lambda remaining: self.hub.send("status", _status(remaining)), log=log)
        self.redact = redactor_of(config, self.registry)
        self.engine: Engine = engine(self.hub) if engine else in_this_process(config, self.registry, self.hub)
        self._counter = 0
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="acestep-validate")
        self._threads = [
            threading.Thread(target=self._work, name=f"acestep-worker-{n}", daemon=True)
            for n in range(self.engine.places)
        ]

    def start(self) -> None:
        """Starts to empty the queue; call it in the event loop that serves the clients."""
        self.hub.start()
        self._restore()
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """Stops the running jobs and all connections."""
        self.queue.close()
        await self.hub.close()
        last, hurry = time.monotonic() + PATIENCE, self.config.hurry
        while any(thread.is_alive() for thread in self._threads):
            if hurry.is_set() if hurry else time.monotonic() >= last:
                break
            await asyncio.sleep(0.02)
        self._checks.shutdown(wait=False, cancel_futures=True)
        if self._log is not None:
            self._log.close()

    async def aside(self, function: Callable[..., _Result], *args: Any) -> _Result:
        """Calls into node classes off the event loop, one call at a time and in order."""
        context = contextvars.copy_context()

        def call() -> _Result:
            with hosting(self.folders):
                return function(*args)

        return await asyncio.get_running_loop().run_in_executor(self._checks, context.run, call)

    # -- prompts -------------------------------------------------------------------------------------------------------

    def next_number(self, front: bool) -> int:
        """The place of a new prompt: after all others, or before them."""
        number = self._counter
        self._counter += 1
        return -number if front else number

    async def check(self, prompt: Any, targets: Collection[str] | None) -> Report:
        return await self.aside(validate, prompt, self.registry, targets, self.config.max_nodes, self.redact)

    def enqueue(self, job: Job) -> None:
        """Queues a validated job.

        Raises:
            HostError: the queue is full or knows this id already.
        """
        self.queue.put(job)

    def status(self) -> dict[str, Any]:
        return _status(self.queue.remaining())["status"]

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs the host remembers, as `/api/jobs` describes them."""
        running, pending = self.queue.listing()
        return [
            *(jobs.waiting(ticket.job, "in_progress") for ticket in running),
            *(jobs.waiting(ticket.job, "pending") for ticket in pending),
            *self.history.summaries(),
        ]

    def job(self, job_id: str) -> dict[str, Any] | None:
        """One job with its results, or None."""
        running, pending = self.queue.listing()
        for tickets, status in ((running, "in_progress"), (pending, "pending")):
            for ticket in tickets:
                if ticket.job.id == job_id:
                    return jobs.waiting(ticket.job, status)
        summary, entry = self.history.summary(job_id), self.history.entry(job_id)
        return None if summary is None or entry is None else jobs.detailed(summary, entry)

    def cancel(self, job_id: str) -> bool:
        """Removes a pending job, stops a running one. False: there is none of this id."""
        return self.queue.delete(job_id) or self.queue.interrupt(job_id)

    def _restore(self) -> None:
        for before in self._log.open() if self._log is not None else ():
            self._counter = max(self._counter, int(before.job.number) + 1)
            if before.ended is not None:
                self.history.restore(before.job, before.ended)
            elif before.starts >= MAX_STARTS:
                self.history.add(before.job, failed(before.job, _KILLED, "Killed"))
            else:
                self.queue.put(before.job, restored=True)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        loop = asyncio.new_event_loop()
        try:
            self._warm_up()
            while not self.queue.closed:
                ticket = self.queue.get()
                if ticket is not None:
                    self._run(loop, ticket)
                if (chores := self.queue.take_chores()) != Chores():
                    self.engine.do(chores)
        finally:
            loop.close()

    def _warm_up(self) -> None:
        """Imports torch now, so that the first prompt does not wait for it."""
        try:
            inference_mode()
        except Exception:  # every prompt will fail and say so; the server itself can still be used
            _log.exception("torch cannot be imported")

    def _run(self, loop: asyncio.AbstractEventLoop, ticket: Ticket) -> None:
        job = ticket.job
        try:
            outcome = loop.run_until_complete(self.engine.run(job, ticket.stop))
        except BaseException as error:  # a defect of ours must not end the worker; clients see the job fail
            _log.exception("The executor failed on prompt %s", job.id)
            outcome = failed(job, "The host failed; its log says why.", type(error).__name__)
        else:
            if (about := outcome.error) and "exception_message" in about:
                _log.error("Node %s failed: %s", about["node_id"], about["exception_message"].strip())
        self.history.add(job, outcome, ticket.text)
        self.queue.done(job.id)
        if job.client is not None:
            self.hub.send("executing", {"node": None, "prompt_id": job.id}, job.client)


def new_id() -> str:
    return str(uuid.uuid4())


def _status(remaining: int) -> dict[str, Any]:
    return {"status": {"exec_info": {"queue_remaining": remaining}}}
