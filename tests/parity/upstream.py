"""What upstream does where ours differs on purpose, so that its recorded results can be told from faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from acestep_core.render.schedule import schedule
from acestep_core.seeds import random_seed
from acestep_core.vocabulary import SAMPLE_RATE

TURBO_SHIFTS = (1.0, 2.0, 3.0)
TURBO_TABLES = {
    1.0: (1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8),
    2.0: (1.0, 14 / 15, 6 / 7, 10 / 13, 2 / 3, 6 / 11, 2 / 5, 2 / 9),
    3.0: (1.0, 21 / 22, 9 / 10, 5 / 6, 3 / 4, 9 / 14, 1 / 2, 3 / 10),
}
"""The eight distilled times of each shift: `shifted(1 - i / 8, shift)`, terminal 0 left out."""
TURBO_TIMES = tuple(sorted({t for table in TURBO_TABLES.values() for t in table}, reverse=True))


def snap_turbo_shift(shift: float) -> float:
    """The distilled shift (1, 2, 3) upstream's turbo code uses instead of `shift`; the smaller of two equally near."""
    return min(TURBO_SHIFTS, key=lambda valid: abs(valid - shift))


def snap_turbo_timesteps(timesteps: Sequence[float]) -> list[float]:
    """Own times as upstream's turbo code changes them: no trailing zeros, 20 at most, each moved to a distilled one."""
    times = torch.tensor(timesteps, dtype=torch.float32).tolist()  # fp32 decides between two equally near
    while times and times[-1] == 0:
        times.pop()
    return [min(TURBO_TIMES, key=lambda valid: abs(valid - t)) for t in times[:20]]


def turbo_schedule(shift: float, timesteps: Sequence[float] | None = None) -> Tensor:
    """The schedule upstream's turbo code (April 2026) runs whatever steps were asked for: `[N + 1]`, ending in 0."""
    times = snap_turbo_timesteps(timesteps or []) or list(TURBO_TABLES[snap_turbo_shift(shift)])
    return torch.tensor([*times, 0.0])


def base_schedule(steps: int, shift: float, timesteps: Sequence[float] | None = None) -> Tensor:
    """The schedule upstream's non-turbo code runs: own times are taken whole, so a last one above 0 leaves noise.

    The 2B base code ignores own times; pass None for it.
    """
    if timesteps is not None:
        return torch.tensor(list(timesteps), dtype=torch.float32)
    return schedule(steps, shift)


def splice(made: Tensor, source: Tensor, start: float, end: float, crossfade: float, rate: int) -> Tensor:
    """Upstream's splice of one item, with fades outside the region and what is longer than the source kept.

    Args:
        made: `[C, S]`; source: `[C, S']`; start, end, crossfade: seconds; rate: samples per second.
    """
    total = min(made.shape[-1], source.shape[-1])
    first = max(0, min(int(start * rate), total))
    last = max(first, min(int(end * rate), total))
    result = made.clone()
    if first == 0 and last == total:
        return result
    m = torch.zeros(total)
    m[first:last] = 1
    width = int(crossfade * rate)
    before, after = m[max(0, first - width) : first], m[last : last + width]
    before.copy_(torch.linspace(0, 1, len(before) + 2)[1:-1])
    after.copy_(torch.linspace(1, 0, len(after) + 2)[1:-1])
    result[:, :total] = m * made[:, :total] + (1 - m) * source[:, :total]
    return result


def silent_samples(seconds: float | None) -> int:
    """Length of the result upstream makes without a source, before its minimum of 128 frames: rounded to 0.1 s."""
    if seconds is None or seconds <= 0:
        seconds = 120.0
    return int(max(0.1, round(seconds, 1)) * SAMPLE_RATE)


def seeds(
    seed: str | float | None, batch: int, use_random_seed: bool = False, draw_seed: Callable[[], int] = random_seed
) -> list[int]:
    """Seeds as upstream reads them: a comma list is taken in order, what is missing, -1 or unreadable is
    random, and a single seed fixes only the first item of a batch."""
    if use_random_seed:
        return [draw_seed() for _ in range(batch)]
    given: list[int | None]
    if isinstance(seed, str):
        given = [_seed(part) for part in seed.split(",")]
    else:
        given = [None if seed is None or seed < 0 else int(seed)]
    given = (given + [None] * batch)[:batch]
    return [draw_seed() if value is None else value for value in given]


def _seed(text: str) -> int | None:
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        return None
    return None if value == -1 else value
