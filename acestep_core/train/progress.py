"""How a run goes: losses that stay on the device until a report is due, their averages, and the time that is left."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from acestep_core.train.objective import Place, numbers

BUCKETS: Final = 10
SMOOTHING: Final = 0.1
REMEMBERED: Final = 200
"""Steps that count as the last ones."""
TIMED: Final = 50
POINTS: Final = 2000
"""Most points of the curve that is shown."""


@dataclass(frozen=True, eq=False)
class StepResult:
    """One step; its tensors are on the device.

    Attributes:
        errors: sum of squared errors of each place, `[places]`.
        count: how many numbers they are over, all together.
        norm: of the gradient, before it was clipped.
    """

    step: int
    places: Sequence[Place]
    errors: Tensor
    count: int
    norm: Tensor
    rate: float


@dataclass
class Average:
    """An exponential average that is right from the first value on."""

    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float) -> None:
        self.total += SMOOTHING * (value - self.total)
        self.weight += SMOOTHING * (1 - self.weight)

    @property
    def value(self) -> float | None:
        return self.total / self.weight if self.weight else None


class Progress:
    """Takes every step, and tells of them when it is asked."""

    def __init__(self, steps: int, epoch_steps: int) -> None:
        """
        Args:
            steps: of the whole run; `epoch_steps` of an epoch.
        """
        self.steps, self.epoch_steps = steps, epoch_steps
        self.epochs = -(-steps // epoch_steps)
        self.waiting: list[tuple[StepResult, Tensor]] = []
        self.average = Average()
        self.buckets = [Average() for _ in range(BUCKETS)]
        self.epoch = [0.0, 0]
        self.ended: list[tuple[int, float | None]] = []
        self.skipped: list[tuple[int, list[str]]] = []
        self.skipped_in_all = 0
        self.last: dict[str, Any] = {}
        self.points: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._since = time.perf_counter()
        self._pace: list[tuple[int, float]] = [(0, 0.0)]

    @property
    def smooth(self) -> float | None:
        return self.average.value

    def add(self, result: StepResult, bad: Tensor) -> None:
        """A step; `bad` is 1 where it was left out."""
        self.waiting.append((result, bad))

    def look(self, record: dict[str, Any]) -> None:
        """Something else to show on the curve."""
        self.points.append(record)

    def drain(self) -> None:
        """Fetches what waits on the device, all at once."""
        if not self.waiting:
            return
        parts = [part.reshape(-1).float() for r, bad in self.waiting for part in (r.errors, r.norm, bad)]
        values = iter(torch.cat(parts).tolist())
        for result, _ in self.waiting:
            errors = [next(values) for _ in result.places]
            norm, bad = next(values), next(values)
            self._take(result, errors, norm, bool(bad))
        self.waiting.clear()
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now

    def _take(self, result: StepResult, errors: Sequence[float], norm: float, bad: bool) -> None:
        ids = [place.id for place in result.places]
        step = result.step + 1
        self.skipped = [(at, names) for at, names in self.skipped if at > step - REMEMBERED]
        loss = sum(errors) / result.count
        if bad:
            self.skipped.append((step, ids))
            self.skipped_in_all += 1
        else:
            self.epoch = [self.epoch[0] + sum(errors), self.epoch[1] + result.count]
            self.average.add(loss)
            for place, error in zip(result.places, errors, strict=True):
                self.buckets[min(BUCKETS - 1, int(float(place.t) * BUCKETS))].add(error / numbers([place]))
        if step % self.epoch_steps == 0:
            total, count = self.epoch
            self.ended.append((step // self.epoch_steps, total / count if count else None))
            self.epoch = [0.0, 0]
        times = [float(place.t) for place in result.places]
        self.last = {
            "step": step,
            "loss": loss if math.isfinite(loss) else None,
            "lr": result.rate,
            "grad_norm": norm if math.isfinite(norm) else None,
            "t_mean": sum(times) / len(times),
            "samples": ids,
        }

    def report(self) -> dict[str, Any]:
        """The record of the last step."""
        self.drain()
        step = self.last["step"]
        while len(self._pace) > 1 and self._pace[0][0] < step - TIMED:
            del self._pace[0]
        first, then = self._pace[0]
        each = (self.seconds - then) / max(1, step - first)
        self._pace.append((step, self.seconds))
        record = {
            "kind": "step",
            "step": step,
            "steps": self.steps,
            "epoch": -(-step // self.epoch_steps),
            "epochs": self.epochs,
            **{name: self.last[name] for name in ("loss", "lr", "grad_norm", "t_mean", "samples")},
            "smooth": self.smooth,
            "buckets": [bucket.value for bucket in self.buckets],
            "skipped": self.skipped_in_all,
            "seconds": round(self.seconds, 2),
            "eta": round(each * (self.steps - step), 1),
        }
        self.points.append(record)
        if len(self.points) > POINTS:
            self.points = self.points[::2]
        return record

    def epochs_ended(self) -> list[dict[str, Any]]:
        """Records of the epochs that have ended since they were last told of: their mean loss, None where every step
        was left out. They bear the step at which they are told, for what a run logs after a checkpoint is told again.
        """
        step, ended = self.last["step"], self.ended
        self.ended = []
        told = {"kind": "epoch", "step": step, "epochs": self.epochs}
        return [{**told, "epoch": epoch, "loss": loss} for epoch, loss in ended]

    def history(self) -> list[dict[str, Any]]:
        """Records for a picture of the curve."""
        return list(self.points)

    def state(self) -> dict[str, Any]:
        """What a run that goes on has to know."""
        return {
            "average": [self.average.total, self.average.weight],
            "buckets": [[bucket.total, bucket.weight] for bucket in self.buckets],
            "epoch": self.epoch,
            "ended": [[epoch, loss] for epoch, loss in self.ended],
            "skipped": [[step, names] for step, names in self.skipped],
            "skipped_in_all": self.skipped_in_all,
            "seconds": round(self.seconds, 2),
        }

    def restore(self, step: int, state: Mapping[str, Any]) -> None:
        self.average = Average(*state["average"])
        self.buckets = [Average(*pair) for pair in state["buckets"]]
        self.epoch = list(state.get("epoch", self.epoch))  # not in runs of the first days
        self.ended = [(epoch, loss) for epoch, loss in state.get("ended", ())]
        self.skipped = [(step, list(names)) for step, names in state["skipped"]]
        self.skipped_in_all, self.seconds = state["skipped_in_all"], state["seconds"]
        self._since = time.perf_counter()
        self._pace = [(step, self.seconds)]
