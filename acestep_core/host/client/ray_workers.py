"""Workers on Ray: on this machine, or on all those of a cluster that share the folders.

An actor is one `LocalRunner` in a process of its own. It belongs to the driver: when that ends, however it ends, so do
its actors. Ray's own services listen on this machine alone, unless a cluster is named.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_core.errors import HostError
from acestep_core.host.client.pool import Limits, Pool, Worker
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.results import OutOfRoom, Result, WorkerLost

log = logging.getLogger(__name__)

HERE = "local"
"""The address of a Ray that is started for this batch alone, and ends with it."""
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""What Ray reads while it is imported: without clusters its services listen on this machine alone, on any system."""
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
    """

    address: str = HERE
    workers: int | None = None
    gpus: float = 1.0
    threads: int = 1


@asynccontextmanager
async def ray_pool(
    options: RayOptions, folders: Folders, packs: Sequence[Path], metadata: bool, limits: Limits
) -> AsyncIterator[Pool]:
    """A pool of workers on Ray, for the length of a block.

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
        actor = ray.remote(**needs, runtime_env=environment, concurrency_groups={"talk": 2})(_actor(ray))

        async def start() -> Worker:
            return await _started(ray, actor.remote(folders, tuple(packs), metadata))

        pool = Pool(start, count, limits)
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


async def _started(ray: Any, actor: Any) -> Worker:
    """The worker, once its process is there and has read the packs."""
    ready = asyncio.ensure_future(_awaited(ray, actor.silence.remote()))
    try:
        while not (await asyncio.wait([ready], timeout=_PATIENCE))[0]:
            log.warning("A worker waits for a free place; fewer --workers would start at once.")
    except asyncio.CancelledError:
        ready.cancel()
        ray.kill(actor)
        raise
    await ready
    return _RayWorker(ray, actor)


async def _awaited(ray: Any, reference: Any) -> Any:
    """What an actor answers. Its own errors come as they were raised there."""
    try:
        return await reference
    except ray.exceptions.RayTaskError as error:
        cause = error.as_instanceof_cause()
        raise (error.cause if isinstance(error.cause, Exception) else cause) from None
    except ray.exceptions.ActorUnschedulableError as error:
        raise HostError("No machine of the cluster can hold such a worker; ask for less.") from error
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise WorkerLost(f"A worker is gone ({reason}).") from error


class _RayWorker:
    """Implements `pool.Worker`."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor

    async def run(self, workflow: Workflow, folder: Path, prompt_id: str) -> Result:
        try:
            return await _awaited(self._ray, self._actor.run.remote(workflow, folder, prompt_id))
        except OutOfRoom as error:
            raise WorkerLost(f"{error}") from error

    async def silence(self) -> float:
        return float(await _awaited(self._ray, self._actor.silence.remote()))

    def kill(self) -> None:
        self._ray.kill(self._actor)


def _actor(ray: Any) -> type:
    class RowRunner:
        """What runs in a worker's process."""

        def __init__(self, folders: Folders, packs: Sequence[Path], metadata: bool) -> None:
            from acestep_core.host.client.local import LocalRunner

            self._runner = LocalRunner(folders, packs, metadata)
            self._heard: float | None = None

        def run(self, workflow: Workflow, folder: Path, prompt_id: str) -> Result:
            self._hear()
            try:
                return asyncio.run(self._runner.run(workflow, folder, lambda _: self._hear(), prompt_id=prompt_id))
            finally:
                self._heard = None

        @ray.method(concurrency_group="talk")
        def silence(self) -> float:
            heard = self._heard
            return 0.0 if heard is None else time.monotonic() - heard

        def _hear(self) -> None:
            self._heard = time.monotonic()

    return RowRunner
