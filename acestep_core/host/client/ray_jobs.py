"""What a host has in its queue, run by workers on Ray: each is an executor with a cache and models of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

import psutil

from acestep_core.errors import AceStepError, HostError
from acestep_core.host.client.batch import ATTEMPTS
from acestep_core.host.client.pool import Limits, Pool
from acestep_core.host.client.ray_workers import FAR, RayOptions, RayWorker, ray_pool
from acestep_core.host.graph.context import hosting
from acestep_core.host.graph.likeness import nodes_of
from acestep_core.host.queue.job import Job, Outcome, failed, interrupted
from acestep_core.host.queue.node_progress import Sink
from acestep_core.host.queue.prompt_queue import Chores
from acestep_core.host.queue.results import WorkerLost
from acestep_core.host.server.host import HostConfig, in_this_process, load_registry
from acestep_core.host.server.security import LOOPBACK

LOOK: Final = 0.1
"""Seconds between two looks at whether a job is to stop."""
ANSWER: Final = 5.0
"""Seconds after which a worker that says nothing of itself is left out of a list."""
LIMITS: Final = Limits(at_hand=1)
"""A job that is handed out runs at once, so that the queue shows what runs and the others can still be moved."""
SEND, PREVIEW, TEXT, END, BROKEN = "send", "preview", "text", "end", "broken"
"""What a worker tells of a job; the first three are calls of a `Sink`."""
News = tuple[str, tuple[Any, ...]]
"""One of these, and its arguments."""
Put = Callable[[News], None]


@asynccontextmanager
async def ray_engine(
    options: RayOptions, config: HostConfig, loaded: Callable[[], list[str]]
) -> AsyncIterator[Callable[[Sink], RayEngine]]:
    """Makes the engine of a host whose workers are ready, or on their way, for the length of a block.

    Args:
        config: the host's; folders are shared with all workers.
        loaded: names the models that a worker holds; called in its process.

    Raises:
        HostError: see `ray_pool`; Ray Client passes no news on.
    """
    if options.address.startswith(FAR):
        raise HostError(
            f"A host cannot hear its workers through {options.address}; run it on a machine of the cluster, with "
            "--address auto."
        )
    told = replace(config, policy=LOOPBACK, hurry=None)  # workers need no token, and end with the pool
    async with ray_pool(options, JobActor, (told, loaded), _JobWorker, LIMITS) as pool:
        yield partial(RayEngine, pool)


@dataclass(eq=False)
class JobWork:
    """A job on its way. Implements `pool.Work`.

    Attributes:
        watched: whether somebody sees pictures of it.
        hear: takes what the worker tells, and the arguments of that.
        begun: whether a worker told anything yet.
    """

    job: Job
    stop: threading.Event
    watched: bool
    hear: Callable[[str, tuple[Any, ...]], None]
    begun: bool = False

    @property
    def likeness(self) -> frozenset[str]:
        return nodes_of(self.job.prompt)


class RayEngine:
    """Runs jobs on the workers of a pool. Implements `queue.engine.Engine`; made in the pool's event loop."""

    def __init__(self, pool: Pool, sink: Sink) -> None:
        self._pool, self._sink = pool, sink
        self._loop = asyncio.get_running_loop()
        self._at: dict[str, tuple[str | None, dict[str, Any]]] = {}

    @property
    def places(self) -> int:
        return self._pool.count

    async def run(self, job: Job, stop: threading.Event) -> Outcome:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._run(job, stop), self._loop))

    def node_of(self, client: str) -> dict[str, Any] | None:
        return next((data for at, data in [*self._at.values()] if at == client), None)

    def do(self, chores: Chores) -> None:
        self._loop.call_soon_threadsafe(self._tell_all, chores)

    async def workers(self) -> list[dict[str, Any]]:
        asked = [asyncio.ensure_future(worker.ask("about")) for worker in self._there]
        if asked:
            await asyncio.wait(asked, timeout=ANSWER)
        for answer in asked:
            answer.cancel()
        return [
            answer.result() for answer in asked if answer.done() and not answer.cancelled() and not answer.exception()
        ]

    @property
    def _there(self) -> list[_JobWorker]:
        return [worker for worker in self._pool.workers if isinstance(worker, _JobWorker)]

    def _tell_all(self, chores: Chores) -> None:
        for worker in self._there:
            worker.actor.do.remote(chores)

    async def _run(self, job: Job, stop: threading.Event) -> Outcome:
        """A job whose worker is lost is run again by another one, `ATTEMPTS` times in all."""
        lost = ""
        try:
            for _ in range(ATTEMPTS):
                work = JobWork(job, stop, self._sink.watching(job.client), partial(self._hear, job))
                try:
                    return await self._through(work)
                except WorkerLost as error:
                    lost = str(error)
                if stop.is_set():
                    return self._told(job, interrupted(job))
            return self._told(job, failed(job, f"{lost} The job was tried {ATTEMPTS} times.", "WorkerLost"))
        except AceStepError as error:  # of the pool; every job after this one will say the same
            return self._told(job, failed(job, str(error), type(error).__name__))
        finally:
            self._at.pop(job.id, None)

    async def _through(self, work: JobWork) -> Outcome:
        """Waits for a worker, unless the job is to stop before it has one."""
        ran = asyncio.ensure_future(self._pool.run(work))
        while not (await asyncio.wait([ran], timeout=LOOK))[0]:
            if work.stop.is_set() and not work.begun and ran.cancel():
                return self._told(work.job, interrupted(work.job))
        return ran.result()

    def _hear(self, job: Job, kind: str, told: tuple[Any, ...]) -> None:
        if kind == SEND and told[0] == "executing":
            self._at[job.id] = (job.client, told[1])
        getattr(self._sink, kind)(*told)

    def _told(self, job: Job, outcome: Outcome) -> Outcome:
        for event, data in outcome.messages:
            self._sink.send(event, data, job.client)
        return outcome


class JobActor:
    """What runs in a worker's process."""

    TALKS = ("silence", "about", "stop")

    def __init__(self, config: HostConfig, loaded: Callable[[], list[str]]) -> None:
        self._channel = _Channel()
        with hosting(config.folders):
            self._engine = in_this_process(config, load_registry(config.packs), self._channel)
        self._loaded = loaded
        self._stops: dict[str, threading.Event] = {}
        self._job: str | None = None
        self._done, self._since = 0, time.time()

    def run(self, job: Job, watched: bool) -> Iterator[News]:
        """What happens, as it happens; the outcome comes last."""
        events: SimpleQueue[News] = SimpleQueue()
        stop = self._stops.setdefault(job.id, threading.Event())
        self._channel.open(events.put, watched)
        self._job = job.id
        thread = threading.Thread(target=self._work, args=(job, stop, events.put), name="acestep-worker", daemon=True)
        thread.start()
        kind = SEND
        while kind not in (END, BROKEN):
            kind, told = events.get()
            if kind in (END, BROKEN):
                thread.join()
                self._channel.open(None, False)
                self._stops.pop(job.id, None)
                self._done, self._job = self._done + 1, None
            yield kind, told

    def stop(self, job_id: str) -> None:
        """Has a job end that runs, or is about to."""
        self._stops.setdefault(job_id, threading.Event()).set()

    def do(self, chores: Chores) -> None:
        self._engine.do(chores)

    def silence(self) -> float:
        return 0.0 if self._job is None else time.monotonic() - self._channel.heard

    def about(self) -> dict[str, Any]:
        """For people who look after many workers. Memory in bytes, times in seconds since 1970."""
        from acestep_core import devices

        per_hour = self._done * 3600 / max(1.0, time.time() - self._since)
        return {
            "machine": socket.gethostname(),
            "pid": os.getpid(),
            "device": devices.device_name(devices.pick_device("auto")),
            "models": self._loaded(),
            "memory": psutil.Process().memory_info().rss,
            "job": self._job,
            "jobs_done": self._done,
            "jobs_per_hour": round(per_hour, 1),
            "since": round(self._since, 1),
        }

    def _work(self, job: Job, stop: threading.Event, put: Put) -> None:
        try:
            put((END, (asyncio.run(self._engine.run(job, stop)),)))
        except BaseException as error:  # told to the driver, where the job fails
            put((BROKEN, (f"{type(error).__name__}: {error}",)))


class _Channel:
    """Passes on what nodes tell. Implements `node_progress.Sink`."""

    def __init__(self) -> None:
        self.heard = time.monotonic()
        self._watched = False
        self._put: Put | None = None

    def open(self, put: Put | None, watched: bool) -> None:
        self.heard, self._put, self._watched = time.monotonic(), put, watched

    def send(self, event: str, data: dict[str, Any], client: str | None = None) -> None:
        self._pass(SEND, event, data, client)

    def preview(self, image: Any, about: dict[str, Any], client: str | None) -> None:
        self._pass(PREVIEW, image, about, client)

    def text(self, node_id: str, prompt_id: str, text: str, client: str | None) -> None:
        self._pass(TEXT, node_id, prompt_id, text, client)

    def watching(self, client: str | None) -> bool:
        return self._watched

    def _pass(self, kind: str, *told: Any) -> None:
        self.heard = time.monotonic()
        if self._put is not None:
            self._put((kind, told))


class _JobWorker(RayWorker):
    async def run(self, work: Any) -> Any:
        stream = self.actor.run.options(num_returns="streaming").remote(work.job, work.watched)
        stopping = asyncio.create_task(self._stop_with(work))
        try:
            async for reference in stream:
                kind, told = await self.awaited(reference)
                work.begun = True
                if kind == END:
                    return told[0]
                if kind == BROKEN:
                    raise RuntimeError(f"A worker failed on a job: {told[0]}")
                work.hear(kind, told)
        finally:
            stopping.cancel()
        raise WorkerLost("A worker ended before its job did.")

    async def _stop_with(self, work: JobWork) -> None:
        while not work.stop.is_set():
            await asyncio.sleep(LOOK)
        with suppress(WorkerLost):  # whoever waits for the job hears of that
            await self.ask("stop", work.job.id)
