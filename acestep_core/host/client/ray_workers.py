"""Workers on Ray: on this machine, or on all those of a cluster that share the folders.

An actor is a process of its own. It belongs to the driver: when that ends, however it ends, so do its actors. Ray's own
services listen on this machine alone, unless a cluster is named. What actors do is a class of its own: `ray_rows` for
the rows of a batch, `ray_jobs` for what a host has in its queue.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from acestep_core.errors import HostError
from acestep_core.host.client.pool import Groups, Limits, Pool, Worker
from acestep_core.host.queue.results import WorkerLost

log = logging.getLogger(__name__)

HERE = "local"
"""The address of a Ray that is started for this batch alone, and ends with it."""
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""What Ray reads while it is imported: without clusters its services listen on this machine alone, on any system."""
TOGETHER = 8
"""Songs of a batch, as many as upstream allows at most."""
_TALK = "talk"
"""The methods of an actor that answer while it works."""
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
        actor: a class, which is made in each worker's process with `arguments`. It has `silence`, see `pool.Worker`.
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
        remote = ray.remote(**needs, runtime_env=environment, concurrency_groups={_TALK: 2})(actor)

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
        raise HostError("The engine ray is not installed; run `pip install acestep-nodes[ray]`.") from None
    alone: dict[str, Any] = {"include_dashboard": False} if options.address == HERE else {}
    try:
        ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR, **alone)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise HostError(f"Ray at {options.address} does not answer ({reason}); start it there.") from error
    return ray


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
        return await self.awaited(getattr(self.actor, method).options(concurrency_group=_TALK).remote(*arguments))

    async def awaited(self, reference: Any) -> Any:
        """What an actor answers. Its own errors come as they were raised there."""
        errors = self._ray.exceptions
        try:
            return await reference
        except errors.RayTaskError as error:
            cause = error.as_instanceof_cause()
            raise (error.cause if isinstance(error.cause, Exception) else cause) from None
        except errors.ActorUnschedulableError as error:
            raise HostError("No machine of the cluster can hold such a worker; ask for less.") from error
        except errors.RayError as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise WorkerLost(f"A worker is gone ({reason}).") from error
