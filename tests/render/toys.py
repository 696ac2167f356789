"""A decoder small enough to reckon with: every branch is told where its rows end, and points straight there."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from acestep_core.render.conditioned import Branch

FRAMES = 6


class Goals:
    """Where rows are to end, `[B, T, 64]`."""

    def __init__(self, goals: torch.Tensor) -> None:
        self.goals = goals

    def joined(self, other: Goals) -> Goals:
        return Goals(torch.cat([self.goals, other.goals.expand_as(self.goals)]))


class ToyDecoder:
    """Its states are goals `[n, T, 64]`. `calls` holds flow time and rows of each forward, `seen` its latents.

    At time 0 the velocity is what it would be at `bend`: the whole way, with which Heun's second look differs.
    """

    def __init__(self, bend: float = 0.5) -> None:
        self.condition_embedder = torch.nn.Linear(1, 1)
        self.config = SimpleNamespace(is_turbo=False)
        self.calls: list[tuple[float, int]] = []
        self.seen: list[torch.Tensor] = []
        self.bend = bend

    def prepare(self, states, frames: int) -> Goals:
        return Goals(states if isinstance(states, torch.Tensor) else torch.cat(list(states)))

    def __call__(self, x, time, context, prepared: Goals) -> torch.Tensor:
        t = float(time[0])
        self.calls.append((t, len(x)))
        self.seen.append(x)
        return (x - prepared.goals) / (t or self.bend)


def towards(goal: torch.Tensor) -> Branch:
    return Branch((goal,), torch.zeros(len(goal), goal.shape[1], 128))


def latents(seed: int, rows: int = 1) -> torch.Tensor:
    return torch.randn(rows, FRAMES, 64, generator=torch.Generator().manual_seed(seed))
