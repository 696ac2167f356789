"""Seeds and the noise they make. One generator per song, always on the CPU in fp32: the same song on every device
and dtype, and item i of a batch equals the single run with seed s + i.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.options import MAX_SEED

MAX_BATCH = 1024
CHANNELS = 64


def random_seed() -> int:
    """A fresh 32-bit seed from the operating system."""
    return secrets.randbits(32)


def item_seeds(seed: int | None, batch: int) -> list[int]:
    """`[seed, seed + 1, ...]`, one per item; None draws the first one. Wraps after 2**64 - 1."""
    if seed is None:
        seed = random_seed()
    check_seed(seed)
    if not 1 <= batch <= MAX_BATCH:
        raise InvalidInput(f"A batch holds 1 to {MAX_BATCH} songs, not {batch}; make more in several runs.")
    return [(seed + i) % (MAX_SEED + 1) for i in range(batch)]


def check_seed(seed: int) -> int:
    """The seed itself. Raises InvalidInput where it is none."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise InvalidInput(f"A seed must be a whole number from 0 to {MAX_SEED}, not {seed!r}.")
    return seed


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One CPU generator per item. Draw the initial noise first, then whatever else the run needs, from the same ones.

    torch's CPU generator uses the low 32 bits of a seed.
    """
    return [torch.Generator().manual_seed(check_seed(seed)) for seed in seeds]


def draw(sources: Sequence[torch.Generator], frames: int) -> Tensor:
    """Standard normal noise, `[B, frames, 64]` fp32 on the CPU; each item is one draw of `[1, frames, 64]`."""
    return torch.cat([torch.randn(1, frames, CHANNELS, generator=source) for source in sources])


def noise(seeds: Sequence[int], frames: int) -> Tensor:
    """The initial noise of a batch, `[B, frames, 64]` fp32 on the CPU. Another length is other noise throughout."""
    return draw(generators(seeds), frames)


def retake(first: Tensor, second: Tensor, variance: float) -> Tensor:
    """Turns noise towards other noise without changing its variance: `cos(v pi/2) * first + sin(v pi/2) * second`.

    Args:
        first: noise of the song's seed, `[B, T, 64]`.
        second: noise of the retake seed, same shape.
        variance: 0 is the same song, 1 another one, in between a variation. (Upstream after April 2026.)
    """
    if not 0 <= variance <= 1:
        raise InvalidInput(f"Retake variance must be between 0 and 1, not {variance}.")
    if variance == 0:
        return first
    angle = variance * math.pi / 2
    return math.cos(angle) * first + math.sin(angle) * second
