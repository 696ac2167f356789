"""Wavelet-domain correction (DCW): after each step, moves the state's slow and fast parts away from the clean estimate.

Source: Yu et al. 2026 (arXiv:2604.16044), as upstream adopted it after April 2026. Off by default here: it changes the
sound that the checkpoints are known for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def corrected(x: Tensor, clean: Tensor, t: float, mode: str, low: float, high: float) -> Tensor:
    """The corrected state after a step.

    Args:
        x: the state, `[B, T, 64]`.
        clean: the clean estimate of that step, `x_t - t * velocity`, same shape.
        t: flow time the step started from.
        mode: `low` corrects slow changes (most at the start), `high` fast ones (most at the end), `double` both, `pix`
            all alike.
        low: strength of the slow part, and of `pix`; upstream uses 0.05, or 0.02 with planned songs.
        high: strength of the fast part; upstream uses 0.02, or 0.06 with planned songs.
    """
    if mode == "pix":
        return x + low * (x - clean)
    low = t * low if mode in ("low", "double") else 0.0
    high = (1 - t) * high if mode in ("high", "double") else 0.0
    # The transform is linear, so correcting the bands of x equals adding the corrected difference.
    slow, fast = haar(x.float() - clean.float())
    return (x.float() + inverse_haar(low * slow, high * fast)[:, : x.shape[1]]).to(x.dtype)


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """Slow and fast half of `[B, T, C]` along T, `[B, ceil(T / 2), C]` each; an odd T is padded with zero."""
    pairs = torch.nn.functional.pad(x, (0, 0, 0, x.shape[1] % 2)).unflatten(1, (-1, 2))
    return (pairs[:, :, 0] + pairs[:, :, 1]) * math.sqrt(0.5), (pairs[:, :, 0] - pairs[:, :, 1]) * math.sqrt(0.5)


def inverse_haar(slow: Tensor, fast: Tensor) -> Tensor:
    """`[B, T, C]` with T even, from the two halves."""
    return torch.stack([slow + fast, slow - fast], dim=2).flatten(1, 2) * math.sqrt(0.5)
