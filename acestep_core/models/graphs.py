"""Steps of a device that does its work later: recorded and replayed, followed as they are done, and brought home."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from acestep_core.devices import Mark, landing, mark_on, recorder

log = logging.getLogger(__name__)


class Recorded:
    """Calls `step(size)`. Where a device can record, each size is recorded after its first call and replayed from then
    on, without the host's overhead. The recordings share their memory, for one runs at a time.

    `step` must keep all its state in tensors that it changes in place. On other devices, and as far as possible where
    recording fails, it is simply called.
    """

    def __init__(self, step: Callable[[int], None], device: torch.device) -> None:
        self.step = step
        self.record = recorder(device)
        self.graphs: dict[int, Any] = {}

    def __call__(self, size: int) -> None:
        if self.record is not None and size in self.graphs and self.graphs[size] is None:
            try:
                self.graphs[size] = self.record(lambda: self.step(size))
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # while it records, nothing is computed
                log.warning("Steps cannot be recorded on this device, which makes them slower: %s", error)
                self.record = None
        if self.record is None or size not in self.graphs:
            self.graphs[size] = None
            self.step(size)
        else:
            self.graphs[size].replay()


class RunAhead:
    """Keeps the host one step ahead of a device that queues what it is asked for, so that progress and a cancel mean
    what they say: the device always has a step to work on while the host waits for the one before. Elsewhere work is
    done when it is asked for, and there is nothing to wait for.
    """

    def __init__(self, device: torch.device) -> None:
        self.mark = mark_on(device)
        self.begun = False

    def wait(self) -> None:
        """Call once per step, after asking for it."""
        if self.mark is None:
            return
        if self.begun:
            self.mark.wait()
        self.mark.set()
        self.begun = True


class Homeward:
    """Brings results to main memory while the device goes on with what comes next: one is on its way at a time."""

    def __init__(self) -> None:
        self.underway: tuple[Mark, Tensor, Tensor] | None = None

    def bring(self, result: Tensor, target: Tensor) -> None:
        """Writes `result` to `target`, in main memory, at the latest when the next one has been asked for, the last one
        when `arrive` is called.
        """
        landed = landing(result)
        if landed is None:
            target.copy_(result)
            return
        mark = Mark(result.device)
        landed.copy_(result, non_blocking=True)
        mark.set()
        self.arrive()
        self.underway = mark, landed, target

    def arrive(self) -> None:
        """Waits for the last one."""
        if self.underway is not None:
            mark, landed, target = self.underway
            mark.wait()
            target.copy_(landed)
            self.underway = None
