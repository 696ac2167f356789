"""Where one branch moves the state: prediction, guidance, then two optional dampers, a norm clamp and smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from acestep_core.models.dit import DiT, Prepared
from acestep_core.options import Guidance
from acestep_core.render.conditioned import Branch
from acestep_core.render.guidance import Momentum, corrector, guide


@dataclass
class Velocity:
    """The guided velocity of one run, and what it remembers between steps: APG's momentum and the last velocity.

    Attributes:
        null: the learned "nothing" `[1, 1, D]`.
        clamp_at, ema: see `clamp` and `smooth`; 0 for none.
    """

    decoder: DiT
    null: Tensor
    guidance: Guidance
    clamp_at: float = 0.0
    ema: float = 0.0
    branch: Branch | None = None
    memory: Momentum = field(default_factory=Momentum)
    last: Tensor | None = None

    def follow(self, branch: Branch) -> None:
        """Takes keys, values and context of `branch` from here on."""
        if branch is self.branch:
            return
        self.branch, frames = branch, branch.context.shape[1]
        self.alone = (branch.context, self.decoder.prepare(branch.states, frames))
        if self.guidance.enabled:
            # All rows of the null branch attend to equal keys, so one key gives the same result as many.
            null = self.null.to(branch.states[0]).expand(branch.context.shape[0], -1, -1)
            joined = self.alone[1].joined(self.decoder.prepare(null, frames))
            self.both = (torch.cat([branch.context, branch.context]), joined)

    def __call__(self, states: Sequence[Tensor], t: float, again: bool = False) -> Tensor:
        """Velocity `[B, T, 64]` fp32 at flow time `t`.

        Args:
            states: `[B, T, 64]` fp32 each; of several, the mean of their velocities.
            again: a second look at the same step, at its end: what counts then is the mean of both looks.
        """
        guidance = corrector(self.guidance, t) if again else self.guidance
        here = smooth(self._mean(states, t, guidance), self.last, self.ema)
        self.last = (self.last + here) / 2 if again and self.last is not None else here
        return self.last

    def _mean(self, states: Sequence[Tensor], t: float, guidance: Guidance) -> Tensor:
        """Each state sees the same momentum, which then advances to the mean of theirs."""
        before = self.memory.average
        velocities, after = [], []
        for x in states:
            self.memory.average = before
            velocities.append(clamp(self._guided(x, t, guidance), x, self.clamp_at))
            after.append(self.memory.average)
        if after[0] is not None:
            self.memory.average = mean(after)  # type: ignore[arg-type]
        return mean(velocities)

    def _guided(self, x: Tensor, t: float, guidance: Guidance) -> Tensor:
        cond, null = self.predict(x, t, guidance.active(t))
        return cond if null is None else guide(guidance, cond, null, x, t, self.memory)

    def predict(self, x: Tensor, t: float, guided: bool) -> tuple[Tensor, Tensor | None]:
        """Conditional and, if `guided`, null velocity `[B, T, 64]` fp32, both from one forward."""
        if not guided:
            return self._forward(x, t, *self.alone), None
        cond, null = self._forward(torch.cat([x, x]), t, *self.both).chunk(2)
        return cond, null

    def _forward(self, x: Tensor, t: float, context: Tensor, prepared: Prepared) -> Tensor:
        time = torch.full((x.shape[0],), t, dtype=context.dtype, device=context.device)
        return self.decoder(x.to(context.dtype), time, context, prepared).float()


def clamp(velocity: Tensor, x: Tensor, threshold: float) -> Tensor:
    """Shortens the velocity of items whose norm exceeds `threshold` times the norm of the state.

    Args:
        velocity: `[B, T, 64]`.
        x: the state it was predicted for, `[B, T, 64]`.
        threshold: 0 switches it off; upstream suggests 2.
    """
    if threshold <= 0:
        return velocity
    limit = threshold * (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-10)
    norm = torch.linalg.vector_norm(velocity, dim=(1, 2), keepdim=True) + 1e-10
    return velocity * (limit / norm).clamp(max=1.0)


def smooth(velocity: Tensor, previous: Tensor | None, factor: float) -> Tensor:
    """Mixes in the velocity last used: `(1 - factor) * velocity + factor * previous`; upstream suggests 0.1."""
    if factor <= 0 or previous is None:
        return velocity
    return (1 - factor) * velocity + factor * previous


def mean(parts: Sequence[Tensor]) -> Tensor:
    """Of equally shaped tensors; of one, that one."""
    return parts[0] if len(parts) == 1 else torch.stack(list(parts)).mean(0)
