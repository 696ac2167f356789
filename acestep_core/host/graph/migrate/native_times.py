"""When ComfyUI's sampler looks, for a flow model: its schedulers as falling flow times, from 1 (noise) to 0 (music)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SHIFT = 3.0
"""Of ACE-Step 1.5 in ComfyUI, where no node sets one."""
EVEN = ("simple", "sgm_uniform")
"""Schedulers that are ours: even steps, shifted."""
MOST_STEPS = 200
"""That our sampler takes."""
_LONGEST = 10_000
_LEAST = 1 / 1000
"""ComfyUI counts a thousand times; this is the last before music."""


@dataclass(frozen=True)
class Times:
    """What a run looks at.

    Args:
        steps, shift: of the whole schedule, of which the run may take a part.
        values: the times themselves, with the closing 0, where steps and shift do not say them.
        start: the time at which the run begins; 1 is noise.
    """

    steps: int
    shift: float
    values: tuple[float, ...] | None = None
    start: float = 1.0


def native_times(scheduler: str, steps: int, shift: float = SHIFT, denoise: float = 1.0) -> Times | None:
    """What a scheduler of ComfyUI makes of these settings; None for one that is not known.

    Args:
        steps: at most `MOST_STEPS`.
        denoise: the part of the schedule that is run, its end: ComfyUI makes it longer and leaves out the beginning.
    """
    whole = min(max(int(steps / denoise), steps), _LONGEST) if 0 < denoise < 1 else steps
    if scheduler in EVEN:
        start = shifted(steps / whole, shift)
        if whole <= MOST_STEPS:
            return Times(whole, shift, None, start)
        return Times(steps, shift, tuple(shifted(i / whole, shift) for i in range(steps, -1, -1)), start)
    if scheduler not in _SCHEDULERS:
        return None
    values = (*_SCHEDULERS[scheduler](whole, shift), 0.0)
    values = values[-1 - steps :] if whole > MOST_STEPS else values
    return Times(whole, shift, values, values[-1 - steps])


def shifted(time: float, shift: float) -> float:
    return shift * time / (1 + (shift - 1) * time)


def _between(high: float, low: float, count: int) -> list[float]:
    return [high + (low - high) * i / max(count - 1, 1) for i in range(count)]


def _normal(steps: int, shift: float) -> list[float]:
    return [shifted(time, shift) for time in _between(1.0, shifted(_LEAST, shift), steps)]


def _karras(steps: int, shift: float) -> list[float]:
    return [root**7 for root in _between(1.0, shifted(_LEAST, shift) ** (1 / 7), steps)]


def _exponential(steps: int, shift: float) -> list[float]:
    return [math.exp(power) for power in _between(0.0, math.log(shifted(_LEAST, shift)), steps)]


def _kl_optimal(steps: int, shift: float) -> list[float]:
    return [math.tan(angle) for angle in _between(math.pi / 4, math.atan(shifted(_LEAST, shift)), steps)]


def _linear_quadratic(steps: int, shift: float) -> list[float]:
    """Slow at first, up to 0.025 of the way in half the steps, then ever faster; the shift plays no part."""
    if steps == 1:
        return [1.0]
    slow, reach = steps // 2, 0.025
    fast = steps - slow
    bend = (slow - reach * steps) / (slow * fast**2)
    slope = reach / slow - 2 * (slow - reach * steps) / fast**2
    way = [i * reach / slow for i in range(slow)]
    way += [bend * i**2 + slope * i + bend * slow**2 for i in range(slow, steps)]
    return [1 - gone for gone in way]


_SCHEDULERS: Mapping[str, Callable[[int, float], list[float]]] = {
    "normal": _normal,
    "karras": _karras,
    "exponential": _exponential,
    "kl_optimal": _kl_optimal,
    "linear_quadratic": _linear_quadratic,
}
