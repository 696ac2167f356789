"""Rows of a batch on Ray: each worker is a `LocalRunner`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_core.host.client.batch import Run
from acestep_core.host.client.local import LocalRunner
from acestep_core.host.client.pool import Limits, Pool
from acestep_core.host.client.ray_workers import RayOptions, RayWorker, ray_pool
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.likeness import weights_of
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.results import OutOfRoom, Result, WorkerLost


@dataclass(frozen=True)
class RowWork:
    """A prepared workflow, where its files go, and what its run is called. Implements `pool.Work`."""

    workflow: Workflow
    folder: Path
    prompt_id: str

    @property
    def likeness(self) -> frozenset[str]:
        return weights_of(self.workflow)


def row_pool(
    options: RayOptions, folders: Folders, packs: Sequence[Path], metadata: bool, limits: Limits
) -> AbstractAsyncContextManager[Pool]:
    """A pool whose workers take `RowWork` and give its `Result`, or raise as `LocalRunner.run` does.

    Raises:
        HostError: see `ray_pool`.
    """
    return ray_pool(options, RowActor, (folders, tuple(packs), metadata), _RowWorker, limits)


def rows_on(pool: Pool) -> Run:
    """How a batch has its rows run by a pool."""

    async def run(workflow: Workflow, folder: Path, prompt_id: str) -> Result:
        return await pool.run(RowWork(workflow, folder, prompt_id))

    return run


class RowActor:
    """What runs in a worker's process."""

    def __init__(self, folders: Folders, packs: Sequence[Path], metadata: bool) -> None:
        self._runner = LocalRunner(folders, packs, metadata)
        self._heard: float | None = None

    def run(self, work: RowWork) -> Result:
        self._hear()
        try:
            run = self._runner.run(work.workflow, work.folder, lambda _: self._hear(), prompt_id=work.prompt_id)
            return asyncio.run(run)
        finally:
            self._heard = None

    def silence(self) -> float:
        heard = self._heard
        return 0.0 if heard is None else time.monotonic() - heard

    def _hear(self) -> None:
        self._heard = time.monotonic()


class _RowWorker(RayWorker):
    async def run(self, work: Any) -> Any:
        try:
            return await self.awaited(self.actor.run.remote(work))
        except OutOfRoom as error:
            raise WorkerLost(f"{error}") from error
