"""Workers on Ray: on this machine, or on all those of a cluster that share the folders.

An actor is a process of its own. It belongs to the driver: when that ends, however it ends, so do its actors. Ray's own
services listen on this machine alone, unless a cluster is named. What actors do is a class of its own: `ray_rows` for
the rows of a batch, `ray_jobs` for what a host has in its queue.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from warnings import catch_warnings

from acestep_core.errors import HostError
from acestep_core.host.client.pool import Groups, Limits, Pool, Worker
from acestep_core.host.queue.results import WorkerLost

log = logging.getLogger(__name__)

HERE = "local"
"""The address of a Ray that is started for this batch alone, and ends with it."""
FAR = "ray://"
"""What the address of a cluster begins with that this machine is not part of."""
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""What Ray reads while it is imported: without clusters its services listen on this machine alone, on any system."""
TOGETHER = 8
"""Songs of a batch, as many as upstream allows at most."""
INSTALL = "run `pip install acestep-nodes[ray]`"
_TALK = "talk"
"""The group of the methods of an actor that answer while it works."""
_TRIES = 4
"""How often a cluster elsewhere is asked for a place: of the processes that it starts for those outside, some die at
once (ray-project/ray#63202), and each time it starts another.
"""
_PATIENCE = 30.0
"""Seconds after which somebody who waits for a free place is told so."""


@dataclass(frozen=True)
class RayOptions:
    """Where the workers are.

    Attributes:
        address: `local`, `auto` for the cluster that this machine is part of, or anything else that `ray.init` takes.
        workers: how many; None for one for each card, or, where there is none, for each processor.
        gpus: of each worker; a fraction lets workers share a card.
        threads: of each worker that computes on processors.
        together: works that a worker does at once, where that makes the same; None for `TOGETHER` on a card, and 1 on
            processors, which gain nothing from it.
    """

    address: str = HERE
    workers: int | None = None
    gpus: float = 1.0
    threads: int = 1
    together: int | None = None


@asynccontextmanager
async def ray_pool(
    options: RayOptions,
    actor: type,
    arguments: Sequence[Any],
    desk: type[RayWorker],
    limits: Limits,
    grouped: Callable[[int], Groups] | None = None,
) -> AsyncIterator[Pool]:
    """A pool of workers on Ray, for the length of a block.

    Args:
        actor: a class, which is made in each worker's process with `arguments`. Its `TALKS` names the methods that
            answer while it works, `silence` (see `pool.Worker`) among them.
        desk: the driver's side of it.
        grouped: how so many works are done together; None where each is done alone.

    Raises:
        HostError: Ray is not installed, or there is no cluster at the address.
    """
    ray = await asyncio.to_thread(_connected, options)
    try:
        there = ray.cluster_resources()
        needs = {"num_gpus": options.gpus} if there.get("GPU") and options.gpus else {"num_cpus": options.threads}
        places = there["GPU"] / options.gpus if "num_gpus" in needs else there.get("CPU", 1) / options.threads
        count = options.workers or max(1, int(places))
        environment = {"env_vars": {"OMP_NUM_THREADS": str(options.threads)}} if "num_cpus" in needs else {}
        remote = ray.remote(**needs, runtime_env=environment, concurrency_groups={_TALK: 2})(_talking(ray, actor))

        async def start() -> Worker:
            return await _started(ray, remote.remote(*arguments), desk)

        most = options.together or (TOGETHER if "num_gpus" in needs else 1)
        pool = Pool(start, count, limits, *([] if grouped is None else [grouped(most)]))
        try:
            yield pool
        finally:
            await pool.close()
    finally:
        await asyncio.to_thread(ray.shutdown)


def _connected(options: RayOptions) -> Any:
    """The module `ray`, connected."""
    if options.address == HERE:
        for name, value in _ALONE.items():
            os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise HostError(f"The engine ray is not installed; {INSTALL}.") from None
    far = options.address.startswith(FAR)
    if far and find_spec("grpc") is None:
        raise HostError(f"An address that begins with {FAR} needs more of Ray; {INSTALL}.")
    logging.getLogger("ray").setLevel(logging.ERROR)
    more: dict[str, Any] = {} if far else {"logging_level": logging.ERROR}
    more |= {"include_dashboard": False} if options.address == HERE else {}
    try:
        with catch_warnings(action="ignore") if far else nullcontext():  # that it does not answer is said once
            _begin(ray, options.address, _TRIES if far else 1, more)
    except Exception as error:  # Ray raises of every kind, bare ones too
        reason = _reason(error)
        if options.address == HERE:
            raise HostError(f"Ray does not start here ({reason}); run again, or leave out --engine.") from error
        raise HostError(
            f"Ray at {options.address} does not answer ({reason}); start it there, and have its token here, in "
            "RAY_AUTH_TOKEN or ~/.ray/auth_token."
        ) from error
    return ray


def _begin(ray: Any, address: str, tries: int, more: dict[str, Any]) -> None:
    for left in reversed(range(tries)):
        try:
            ray.init(address=address, log_to_driver=False, **more)
            return
        except ConnectionAbortedError:  # it answered, but the driver's process there is gone
            if not left:
                raise
            log.warning("Ray at %s did not begin; it is asked again.", address)


def _reason(error: Exception) -> str:
    """In a line: the first, or of a traceback that came from elsewhere the last."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1 if any(line.startswith("Traceback") for line in lines) else 0].rstrip(".")


def _talking(ray: Any, actor: type) -> type:
    """An actor's class, whose methods `TALKS` answer while it works. (To calls Ray Client gives no group.)"""

    def marked(name: str) -> Any:
        def method(self: Any, *arguments: Any) -> Any:
            return getattr(actor, name)(self, *arguments)

        return ray.method(concurrency_group=_TALK)(method)

    return type(actor.__name__, (actor,), {name: marked(name) for name in actor.TALKS})  # type: ignore[attr-defined]


async def _started(ray: Any, actor: Any, desk: type[RayWorker]) -> RayWorker:
    """The worker, once its process is there and has read the packs."""
    worker = desk(ray, actor)
    ready = asyncio.ensure_future(worker.silence())
    try:
        while not (await asyncio.wait([ready], timeout=_PATIENCE))[0]:
            log.warning("A worker waits for a free place; fewer --workers would start at once.")
    except asyncio.CancelledError:
        ready.cancel()
        worker.kill()
        raise
    await ready
    return worker


class Hearing:
    """Of an actor that does one work after the other: how long nothing was heard of the present one."""

    TALKS: tuple[str, ...] = ("silence",)

    def __init__(self) -> None:
        self._heard: float | None = None

    def hear(self) -> None:
        self._heard = time.monotonic()

    @contextmanager
    def working(self) -> Iterator[None]:
        self.hear()
        try:
            yield
        finally:
            self._heard = None

    def silence(self) -> float:
        heard = self._heard
        return 0.0 if heard is None else time.monotonic() - heard


class RayWorker:
    """Implements `pool.Worker` but for the work itself."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self.actor = ray, actor

    async def run(self, work: Any) -> Any:
        raise NotImplementedError

    async def silence(self) -> float:
        return float(await self.ask("silence"))

    def kill(self) -> None:
        self._ray.kill(self.actor)

    async def ask(self, method: str, *arguments: Any) -> Any:
        """What a method answers while the worker works. Raises WorkerLost."""
        return await self.awaited(getattr(self.actor, method).remote(*arguments))

    async def awaited(self, reference: Any) -> Any:
        """What an actor answers. Its own errors come as they were raised there."""
        errors = self._ray.exceptions
        answer = asyncio.ensure_future(reference)
        answer.add_done_callback(_heard)
        try:
            return await asyncio.shield(answer)  # Ray Client breaks where somebody goes who waits for an answer
        except errors.RayTaskError as error:
            cause = error.as_instanceof_cause()
            raise (error.cause if isinstance(error.cause, Exception) else cause) from None
        except errors.ActorUnschedulableError as error:
            raise HostError("No machine of the cluster can hold such a worker; ask for less.") from error
        except (errors.RayError, ConnectionError) as error:
            raise WorkerLost(f"A worker is gone ({_reason(error)}).") from error


def _heard(answer: asyncio.Future[Any]) -> None:
    """Of an answer that nobody waits for any more nobody needs to hear that it is an error."""
    if not answer.cancelled():
        answer.exception()
