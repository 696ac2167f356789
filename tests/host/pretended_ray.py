"""Workers as on Ray, but in this process: the same actors and the same talk with them, without what Ray costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from acestep_core.host.client.pool import Limits, Pool
from acestep_core.host.client.ray_jobs import JobActor, RayEngine, _JobWorker
from acestep_core.host.client.ray_workers import RayOptions, RayWorker
from acestep_core.host.queue.node_progress import Sink
from acestep_core.host.server.host import HostConfig

_END = object()


class RayError(Exception):
    """As `ray.exceptions.RayError`."""


class PretendedRay:
    """What `RayWorker` asks of the module."""

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=type("RayTaskError", (RayError,), {}),
        ActorUnschedulableError=type("ActorUnschedulableError", (RayError,), {}),
    )  # fmt: skip

    @staticmethod
    def kill(actor: Handle) -> None:
        actor.gone.set()


class Handle:
    """Of an actor: its methods answer in a thread of their own, those of a group in another."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.gone = asyncio.Event()
        self._threads = {None: ThreadPoolExecutor(1), "talk": ThreadPoolExecutor(2)}

    def __getattr__(self, name: str) -> _Method:
        group = "talk" if name in self._actor.TALKS else None
        return _Method(self, getattr(self._actor, name), self._threads[group])

    async def unless_gone(self, answer: asyncio.Future[Any]) -> Any:
        """Raises RayError if the actor is killed first."""
        gone = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait([answer, gone], return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise RayError("It was killed.")
            return answer.result()
        finally:
            gone.cancel()


class _Method:
    def __init__(self, handle: Handle, call: Callable[..., Any], thread: Any, **options: Any) -> None:
        self._handle, self._call, self._thread, self._options = handle, call, thread, options

    def options(self, **options: Any) -> _Method:
        return _Method(self._handle, self._call, self._thread, **options)

    def remote(self, *arguments: Any) -> Any:
        in_thread = partial(asyncio.get_running_loop().run_in_executor, self._thread)
        if self._options.get("num_returns") == "streaming":
            return self._stream(in_thread, arguments)
        return asyncio.ensure_future(self._handle.unless_gone(in_thread(self._call, *arguments)))

    async def _stream(self, in_thread: Callable[..., asyncio.Future[Any]], arguments: Any) -> AsyncIterator[Any]:
        stream = iter(self._call(*arguments))
        while True:
            answer = asyncio.ensure_future(self._handle.unless_gone(in_thread(next, stream, _END)))
            await asyncio.wait([answer])
            if answer.exception() is None and answer.result() is _END:
                return
            yield answer
            if answer.exception() is not None:
                return


@asynccontextmanager
async def pretended_pool(
    options: RayOptions, actor: type, arguments: Sequence[Any], desk: type[RayWorker], limits: Limits, *_: Any
) -> AsyncIterator[Pool]:
    """As `ray_workers.ray_pool`."""

    async def start() -> RayWorker:
        return desk(PretendedRay, Handle(await asyncio.to_thread(actor, *arguments)))

    pool = Pool(start, options.workers or 1, replace(limits, beat=0.01))
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def pretended_engine(config: HostConfig, count: int) -> AsyncIterator[Callable[[Sink], RayEngine]]:
    """As `ray_jobs.ray_engine`."""

    async def start() -> _JobWorker:
        return _JobWorker(PretendedRay, Handle(await asyncio.to_thread(JobActor, config, lambda: ["dit tiny"])))

    pool = Pool(start, count, Limits(at_hand=1, beat=0.01))
    try:
        yield partial(RayEngine, pool)
    finally:
        await pool.close()
