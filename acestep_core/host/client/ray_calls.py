"""Calls of functions on Ray: for work that is neither rows nor prompts, such as the stages of a dataset."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from acestep_core.errors import HostError, OutOfMemory
from acestep_core.host.client.batch import ATTEMPTS
from acestep_core.host.client.pool import Limits, Pool
from acestep_core.host.client.ray_workers import Hearing, RayOptions, RayWorker, ray_pool
from acestep_core.host.queue.results import WorkerLost

PARTS = 4
"""Of the work of one worker, so that all end at about the same time."""


@dataclass(frozen=True)
class CallWork:
    """A function of a module, and its arguments. It is given one more: what to call whenever it has made progress."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    @property
    def likeness(self) -> frozenset[str]:
        return frozenset()


def parts_of(items: Sequence[Any], workers: int, most: int) -> list[Sequence[Any]]:
    """Neighbours together, at most so many."""
    size = max(1, min(most, len(items) // (workers * PARTS)))
    return [items[start : start + size] for start in range(0, len(items), size)]


def call_on_ray(
    options: RayOptions,
    items: Sequence[Any],
    most: int,
    work: Callable[[Sequence[Any]], CallWork],
    take: Callable[[Any, int], object],
) -> None:
    """Has work done for all items, in parts of at most `most`. A part whose worker is lost is done again, `ATTEMPTS`
    times in all.

    Args:
        take: gets what a part gave, and how many items it had, as soon as it is there.

    Raises:
        HostError: see `ray_pool`; or a part lost every worker.
        AceStepError: as a part raised it.
    """

    async def everything() -> None:
        async with ray_pool(options, CallActor, (), _CallWorker, Limits()) as pool:
            await call_on(pool, parts_of(items, pool.count, most), work, take)

    asyncio.run(everything())


async def call_on(
    pool: Pool,
    parts: Sequence[Sequence[Any]],
    work: Callable[[Sequence[Any]], CallWork],
    take: Callable[[Any, int], object],
) -> None:
    """See `call_on_ray`."""

    async def one(part: Sequence[Any]) -> None:
        lost = ""
        for _ in range(ATTEMPTS):
            try:
                result = await pool.run(work(part))
            except WorkerLost as error:
                lost = str(error)
            else:
                take(result, len(part))
                return
        raise HostError(f"{lost} It was tried {ATTEMPTS} times with {part[0]}; leave that out, or run without Ray.")

    calls = [asyncio.create_task(one(part)) for part in parts]
    try:
        await asyncio.gather(*calls)
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


class CallActor(Hearing):
    """What runs in a worker's process."""

    def run(self, work: CallWork) -> Any:
        with self.working():
            return work.function(*work.arguments, self.hear)


class _CallWorker(RayWorker):
    async def run(self, work: Any) -> Any:
        try:
            return await self.awaited(self.actor.run.remote(work))
        except OutOfMemory as error:
            raise WorkerLost(str(error)) from error
