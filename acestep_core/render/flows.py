"""What the sampling loop integrates: the way from noise to a song, or from a recording to another (flow-edit).

A flow says where a run starts, what happens as each step begins, and where the state moves; how to step along it is the
sampler's. States and velocities are `[B, T, 64]` fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from acestep_core.models.dit import DiT
from acestep_core.options import Guidance
from acestep_core.render.conditioned import Conditioning
from acestep_core.render.flow_edit import pair, window
from acestep_core.render.schedule import Step, switch_step, truncated
from acestep_core.render.velocity import Velocity

Draw = Callable[[], Tensor]
"""New noise `[B, T, 64]` at each call, on the device of the state."""


class SongFlow:
    """From noise, or from a source half hidden in it, to what the conditioning tells."""

    def __init__(self, told: Conditioning, velocity: Velocity, draw: Draw) -> None:
        self.told, self.velocity, self.draw = told, velocity, draw

    def start(self, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """The first state, and the part of `times` `[N + 1]` that is run from there."""
        if self.told.starts_from_noise or self.told.source is None:
            return noise, times
        times = truncated(times, self.told.start_strength)
        level = float(times[0])
        return level * noise + (1 - level) * self.told.source, times

    def enter(self, x: Tensor, step: Step) -> Tensor:
        """The state that a step starts from; called once before each."""
        told = self.told
        alone = told.plain is not None and step.index >= switch_step(step.count, told.cover_strength)
        self.velocity.follow(told.plain if alone and told.plain is not None else told.main)
        return x

    def __call__(self, x: Tensor, t: float, again: bool = False) -> Tensor:
        """The velocity at flow time `t`; `again` for a second look at the same step, see `Velocity`."""
        return self.velocity([x], t, again)


class MorphFlow:
    """From a recording to another: the state is the recording, moved by how much the two descriptions disagree about it
    under the same noise. Once editing ends, that noise stays in the state, and the target is sampled from there.
    """

    def __init__(self, told: Conditioning, away: Velocity, towards: Velocity, draw: Draw) -> None:
        if told.morph is None or told.source is None or told.was is None:
            raise ValueError("a morph needs its source and what it was")
        self.edit, self.source = told.morph, told.source
        self.away, self.towards, self.draw = away, towards, draw
        away.follow(told.was)
        towards.follow(told.main)
        self.free = 0
        self.noises: list[Tensor] = []

    def start(self, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """As `SongFlow.start`; the noise is not used, because each step draws its own."""
        first, free = window(self.edit, len(times) - 1)
        self.free = free - first
        return self.source, times[first:]

    def enter(self, x: Tensor, step: Step) -> Tensor:
        """As `SongFlow.enter`."""
        self.noises = [self.draw() for _ in range(self.edit.average)] if step.index < self.free else []
        return pair(x, self.source, self.draw(), step.now)[1] if step.index == self.free else x

    def __call__(self, x: Tensor, t: float, again: bool = False) -> Tensor:
        """As `SongFlow`. Both looks at a step see the same noise."""
        if not self.noises:
            return self.towards([x], t, again)
        noised, moved = zip(*(pair(x, self.source, noise, t) for noise in self.noises), strict=True)
        return self.towards(moved, t, again) - self.away(noised, t, again)


Flow = SongFlow | MorphFlow


def flow_of(decoder: DiT, told: Conditioning, guidance: Guidance, clamp_at: float, ema: float, draw: Draw) -> Flow:
    """The flow of a conditioning, which lies beside the decoder's weights."""
    velocity = partial(Velocity, decoder, told.null, guidance, clamp_at, ema)
    return SongFlow(told, velocity(), draw) if told.morph is None else MorphFlow(told, velocity(), velocity(), draw)
