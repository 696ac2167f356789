"""Rows of a batch on Ray: each worker is a `LocalRunner`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from acestep_core.errors import AceStepError
from acestep_core.host.client.batch import Run
from acestep_core.host.client.local import LocalRunner, Wish
from acestep_core.host.client.pool import Groups, Limits, Pool
from acestep_core.host.client.ray_workers import Hearing, RayOptions, RayWorker, ray_pool
from acestep_core.host.client.stores import Store
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.likeness import mold_of, weights_of
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.results import OutOfRoom, Result, WorkerLost


@dataclass(frozen=True)
class RowWork:
    """A prepared workflow, where its files go, and what its run is called. Implements `pool.Work`.

    Attributes:
        mold: what rows share that are made together; None for one that is made alone.
        store: where its files go, below `folder`; None where that is a folder all workers see.
    """

    workflow: Workflow
    folder: Path
    prompt_id: str
    mold: str | None = None
    store: Store | None = None

    @property
    def likeness(self) -> frozenset[str]:
        return weights_of(self.workflow)


@dataclass(frozen=True)
class GroupWork:
    """Rows that are made together. Gives for each its `Result`, or its error. Implements `pool.Work`."""

    rows: tuple[RowWork, ...]

    @property
    def likeness(self) -> frozenset[str]:
        return self.rows[0].likeness


def row_pool(
    options: RayOptions, folders: Folders, packs: Sequence[Path], metadata: bool, limits: Limits
) -> AbstractAsyncContextManager[Pool]:
    """A pool whose workers take `RowWork` and give its `Result`, or raise as `LocalRunner.run` does.

    Raises:
        HostError: see `ray_pool`.
    """
    return ray_pool(options, RowActor, (folders, tuple(packs), metadata), _RowWorker, limits, grouped)


def grouped(most: int) -> Groups:
    """Up to so many rows of one mold together."""
    return Groups(most, lambda work: work.mold, lambda works: GroupWork(tuple(works)))


def rows_on(pool: Pool, meeting: Collection[str] = (), store: Store | None = None) -> Run:
    """How a batch has its rows run by a pool. A row whose worker was lost is made alone from then on.

    Args:
        meeting: types of nodes that make several songs at once; rows without one of them gain nothing from others.
        store: where files go; see `batch.run_batch`.
    """
    lost: set[str] = set()

    async def run(workflow: Workflow, folder: Path, prompt_id: str) -> Result:
        meets = any(node["class_type"] in meeting for node in workflow.prompt.values())
        mold = mold_of(workflow) if meets and prompt_id not in lost else None
        try:
            return await pool.run(RowWork(workflow, folder, prompt_id, mold, store))
        except WorkerLost:
            lost.add(prompt_id)
            raise

    return run


class RowActor(Hearing):
    """What runs in a worker's process. It has no coroutines, or Ray would run all of it in a loop of its own."""

    def __init__(self, folders: Folders, packs: Sequence[Path], metadata: bool) -> None:
        super().__init__()
        self._runner = LocalRunner(folders, packs, metadata)

    def run(self, work: RowWork | GroupWork) -> Result | list[Result | AceStepError]:
        rows = (work,) if isinstance(work, RowWork) else work.rows
        with self.working():
            found = asyncio.run(_made(self._runner, rows, self.hear))
        if isinstance(work, GroupWork):
            return found
        if isinstance(found[0], AceStepError):
            raise found[0]
        return found[0]


async def _made(runner: LocalRunner, rows: Sequence[RowWork], hear: Callable[[], None]) -> list[Result | AceStepError]:
    with TemporaryDirectory(prefix="acestep-", ignore_cleanup_errors=True) as own:
        stores = [row.store for row in rows]
        folders = [
            row.folder if row.store is None else Path(own).resolve() / str(place) for place, row in enumerate(rows)
        ]
        wishes = [Wish(row.workflow, folder, row.prompt_id) for row, folder in zip(rows, folders, strict=True)]
        found = await runner.run_together(wishes, lambda update: hear())
        for place, (row, store) in enumerate(zip(rows, stores, strict=True)):
            result = found[place]
            if store is not None and isinstance(result, Result):
                hear()
                found[place] = await asyncio.to_thread(_kept, store, result, folders[place], str(row.folder))
        return found


def _kept(store: Store, result: Result, made: Path, folder: str) -> Result | AceStepError:
    try:
        return store.keep(result, made, folder)
    except AceStepError as error:
        return error


class _RowWorker(RayWorker):
    async def run(self, work: Any) -> Any:
        try:
            found = await self.awaited(self.actor.run.remote(work))
        except OutOfRoom as error:
            raise _elsewhere(error) from error
        if isinstance(found, Result):
            return found
        return [_elsewhere(result) if isinstance(result, OutOfRoom) else result for result in found]


def _elsewhere(error: OutOfRoom) -> WorkerLost:
    """Where there is more memory, or nothing beside it, the row may run."""
    return WorkerLost(f"{error}")
