"""Two optional dampers on the predicted velocity, applied after guidance: a norm clamp, then smoothing over steps."""

from __future__ import annotations

import torch
from torch import Tensor


def clamp_velocity(velocity: Tensor, x: Tensor, threshold: float) -> Tensor:
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


def smooth_velocity(velocity: Tensor, previous: Tensor | None, factor: float) -> Tensor:
    """Mixes in the velocity last used: `(1 - factor) * velocity + factor * previous`; upstream suggests 0.1."""
    if factor <= 0 or previous is None:
        return velocity
    return (1 - factor) * velocity + factor * previous
