"""When the sampler looks: flow times falling from 1 (noise) to 0 (music), always in fp32.

Upstream keeps the schedule in the model's dtype; in bf16 neighbouring steps collapse (50 steps at shift 3 lose three).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput

MAX_STEPS = {"turbo": 20, "sft": 200, "base": 200}
"""Most steps per checkpoint family; turbo is distilled for 8 and gains nothing beyond 20."""

TURBO_SHIFTS = (1.0, 2.0, 3.0)
TURBO_TABLES = {
    1.0: (1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8),
    2.0: (1.0, 14 / 15, 6 / 7, 10 / 13, 2 / 3, 6 / 11, 2 / 5, 2 / 9),
    3.0: (1.0, 21 / 22, 9 / 10, 5 / 6, 3 / 4, 9 / 14, 1 / 2, 3 / 10),
}
"""The eight distilled times of each shift: `shifted(1 - i / 8, shift)`, terminal 0 left out."""
TURBO_TIMES = tuple(sorted({t for table in TURBO_TABLES.values() for t in table}, reverse=True))


def shifted(u: Tensor, shift: float) -> Tensor:
    """Moves flow times towards the noisy end for `shift` above 1: `shift * u / (1 + (shift - 1) * u)`."""
    return shift * u / (1 + (shift - 1) * u)


def schedule(steps: int = 8, shift: float = 3.0, timesteps: Sequence[float] | None = None) -> Tensor:
    """The times of a run, `[N + 1]` fp32, strictly falling, the last one 0.

    Args:
        steps: N, the number of steps; ignored when `timesteps` are given.
        shift: above 0; ignored when `timesteps` are given.
        timesteps: own times, strictly falling within (0, 1], with or without the closing 0.

    Raises:
        InvalidInput: for a number of steps, a shift or times that make no schedule.
    """
    if timesteps is not None:
        return _custom(timesteps)
    check_steps(steps)
    if not (math.isfinite(shift) and shift > 0):
        raise InvalidInput(f"Shift must be above 0, not {shift}; 3 is usual, 1 leaves the steps evenly spaced.")
    times = shifted(torch.linspace(1, 0, steps + 1), shift)
    times[0] = 1  # rounding
    return times


def check_steps(steps: int, family: str = "base") -> None:
    """Refuses a number of steps the checkpoint `family` (`turbo`, `sft`, `base`) cannot use."""
    most = MAX_STEPS[family]
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= most:
        usual = 8 if family == "turbo" else 50
        raise InvalidInput(f"Steps must be a whole number from 1 to {most} here, not {steps!r}; {usual} is usual.")


def start_index(times: Tensor, cover_noise_strength: float) -> int:
    """Where a run enters `times` `[N + 1]` if it starts from the source at noise level `1 - cover_noise_strength`.

    The step nearest to that level (the noisier one of two equally near), never the closing 0. Strength 0 starts from
    pure noise.
    """
    if not 0 <= cover_noise_strength <= 1:
        raise InvalidInput(f"Cover noise strength must be between 0 and 1, not {cover_noise_strength}.")
    if cover_noise_strength == 0:
        return 0
    level = 1 - cover_noise_strength
    candidates = times[:-1].tolist()
    return min(range(len(candidates)), key=lambda i: abs(candidates[i] - level))


def truncated(times: Tensor, cover_noise_strength: float) -> Tensor:
    """`times` from `start_index` on."""
    return times[start_index(times, cover_noise_strength) :]


def switch_step(steps: int, cover_strength: float) -> int:
    """The first step that no longer sees the source: `int(steps * cover_strength)`; `steps` (never) at strength 1.

    `steps` counts what remains after `truncated`.
    """
    if not 0 <= cover_strength <= 1:
        raise InvalidInput(f"Cover strength must be between 0 and 1, not {cover_strength}.")
    return int(steps * cover_strength)


def snap_turbo_shift(shift: float) -> float:
    """The distilled shift (1, 2, 3) upstream's turbo code uses instead of `shift`; the smaller of two equally near."""
    return min(TURBO_SHIFTS, key=lambda valid: abs(valid - shift))


def snap_turbo_timesteps(timesteps: Sequence[float]) -> list[float]:
    """Own times as upstream's turbo code changes them: no trailing zeros, 20 at most, each moved to a distilled one."""
    times = torch.tensor(timesteps, dtype=torch.float32).tolist()  # fp32 decides between two equally near
    while times and times[-1] == 0:
        times.pop()
    return [min(TURBO_TIMES, key=lambda valid: abs(valid - t)) for t in times[:20]]


def upstream_turbo_schedule(shift: float, timesteps: Sequence[float] | None = None) -> Tensor:
    """The schedule upstream's turbo code (April 2026) runs whatever steps were asked for: `[N + 1]`, ending in 0."""
    times = snap_turbo_timesteps(timesteps or []) or list(TURBO_TABLES[snap_turbo_shift(shift)])
    return torch.tensor([*times, 0.0])


def upstream_base_schedule(steps: int, shift: float, timesteps: Sequence[float] | None = None) -> Tensor:
    """The schedule upstream's non-turbo code runs: own times are taken whole, so a last one above 0 leaves noise.

    The 2B base code ignores own times; pass None for it.
    """
    if timesteps is not None:
        return torch.tensor(list(timesteps), dtype=torch.float32)
    return schedule(steps, shift)


def _custom(timesteps: Sequence[float]) -> Tensor:
    times = [float(t) for t in timesteps]
    if times and times[-1] == 0:
        times.pop()
    if not times:
        raise InvalidInput(
            "Timesteps are empty; give falling times such as 1, 0.75, 0.5, 0.25, or leave the field empty."
        )
    if len(times) > MAX_STEPS["base"]:
        raise InvalidInput(f"There are {len(times)} timesteps; give at most {MAX_STEPS['base']}.")
    if not all(0 < t <= 1 for t in times):
        raise InvalidInput("Timesteps must lie above 0 and not above 1 (a closing 0 is allowed).")
    result = torch.tensor([*times, 0.0])
    if not bool((result.diff() < 0).all()):
        raise InvalidInput("Timesteps must fall from each value to the next, such as 1, 0.75, 0.5, 0.25.")
    return result
