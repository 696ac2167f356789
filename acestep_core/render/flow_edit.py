"""Flow-edit: morphs a recording from one description towards another, without inverting it to noise.

Source: FlowEdit, Kulikov et al. 2024 (arXiv:2412.08629), as upstream adopted it after April 2026 for base and sft
checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.monitor import SILENT, Monitor
from acestep_core.render.guidance import Guidance, Momentum, guide
from acestep_core.render.velocity import clamp_velocity, smooth_velocity

Predict = Callable[[Tensor, float, bool], tuple[Tensor, Tensor | None]]
"""`predict(x, t, guided)`: conditional and (if guided) null velocity, `[B, T, 64]` each."""


@dataclass(frozen=True)
class FlowEdit:
    """What the recording is, and how far to leave it.

    Attributes:
        source_caption, source_lyrics: describe the recording as it is.
        start, end: share of the steps at which editing begins and ends. Before `start` nothing happens, which keeps
            more of the recording; after `end` the target is sampled freely, which keeps less.
        average: draws of noise per step; more is steadier and slower.
    """

    source_caption: str = ""
    source_lyrics: str = ""
    start: float = 0.0
    end: float = 1.0
    average: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= 1:
            raise InvalidInput(f"The editing window must rise within 0 to 1, not go from {self.start} to {self.end}.")
        if not 1 <= self.average <= 16:
            raise InvalidInput(f"Draws per step must be from 1 to 16, not {self.average}.")

    def steps(self, count: int) -> tuple[int, int]:
        """First step that edits and first that samples freely, of `count`."""
        return int(count * self.start), int(count * self.end)


@dataclass
class Branch:
    """One side, source or target: its predictions and the state of its guidance."""

    predict: Predict
    guidance: Guidance
    norm_threshold: float = 0.0
    ema_factor: float = 0.0
    memory: Momentum = field(default_factory=Momentum)
    last: Tensor | None = None

    def velocity(self, states: list[Tensor], t: float) -> Tensor:
        """Mean guided velocity over draws. Each sees the same momentum, which then advances by the mean difference."""
        guided = self.guidance.active(t)
        velocities, differences = [], []
        for x in states:
            cond, uncond = self.predict(x, t, guided)
            if guided and uncond is not None:
                differences.append(cond - uncond)
                cond = guide(self.guidance, cond, uncond, x, t, Momentum(self.memory.average))
            velocities.append(clamp_velocity(cond, x, self.norm_threshold))
        if differences:
            self.memory.update(torch.stack(differences).mean(0), self.guidance.momentum)
        self.last = smooth_velocity(torch.stack(velocities).mean(0), self.last, self.ema_factor)
        return self.last


def pair(edited: Tensor, source: Tensor, noise: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """The source noised to `t`, and the edited recording moved by as much, `[B, T, 64]` each."""
    noised = (1 - t) * source + t * noise
    return noised, edited + noised - source


def flow_edit(
    source: Tensor,
    times: Tensor,
    settings: FlowEdit,
    source_branch: Branch,
    target_branch: Branch,
    draw: Callable[[], Tensor],
    monitor: Monitor = SILENT,
) -> Tensor:
    """The edited latents, `[B, T, 64]`.

    Args:
        source: latents of the recording, `[B, T, 64]`.
        times: the schedule, `[N + 1]` falling from 1 to 0.
        source_branch, target_branch: predictions for the two descriptions; fresh for each run.
        draw: standard normal noise of the source's shape, new at each call.
    """
    schedule = times.tolist()
    steps = len(schedule) - 1
    first, free = settings.steps(steps)
    edited, x = source, None
    for step in range(first, steps):
        monitor.tick("sample", step, steps)
        t, t_next = schedule[step], schedule[step + 1]
        if step < free:
            pairs = [pair(edited, source, draw(), t) for _ in range(settings.average)]
            away = source_branch.velocity([noised for noised, _ in pairs], t)
            towards = target_branch.velocity([moved for _, moved in pairs], t)
            edited = edited - (t - t_next) * (towards - away)
        else:
            if x is None:
                x = pair(edited, source, draw(), t)[1]
            x = x - (t - t_next) * target_branch.velocity([x], t)
    monitor.tick("sample", steps, steps)
    return edited if x is None else x
