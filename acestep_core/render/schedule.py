"""When the sampler looks: flow times falling from 1 (noise) to 0 (music), always in fp32.

Upstream keeps the schedule in the model's dtype; in bf16 neighbouring steps collapse (50 steps at shift 3 lose three).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.options import Start

MAX_STEPS = {"turbo": 20, "sft": 200, "base": 200}
"""Most steps per checkpoint family; turbo is distilled for 8 and gains nothing beyond 20."""
NOISIEST = 0.95
"""From here on pure noise may stand for the state: upstream's own example of timesteps begins at 0.97."""


def shifted(u: Tensor, shift: float) -> Tensor:
    """Moves flow times towards the noisy end for `shift` above 1: `shift * u / (1 + (shift - 1) * u)`."""
    return shift * u / (1 + (shift - 1) * u)


def schedule(
    steps: int = 8,
    shift: float = 3.0,
    timesteps: Sequence[float] | None = None,
    *,
    start: Start = Start(),  # noqa: B008
) -> Tensor:
    """The times of a whole schedule, `[N + 1]` fp32, strictly falling, the last one 0. See `passage` for what is run.

    Args:
        steps: how many steps are run; with a `start.denoise` below 1 the schedule has as many more as are left out.
            Ignored when `timesteps` are given.
        shift: above 0; ignored when `timesteps` are given.
        timesteps: own times, strictly falling within (0, 1], with or without the closing 0.
        start: whether noise is to be left, so that own times may end above 0.

    Raises:
        InvalidInput: for a number of steps, a shift or times that make no schedule.
    """
    if timesteps is not None:
        times = torch.tensor([float(t) for t in timesteps])
        closed = len(times) > 0 and (times[-1] == 0 or start.leave_noise)
        times = times if closed else torch.cat([times, torch.zeros(1)])
        return check_times(times, starts_from_noise=False, leaves_noise=start.leave_noise)
    check_steps(steps)
    if not (math.isfinite(shift) and shift > 0):
        raise InvalidInput(f"Shift must be above 0, not {shift}; 3 is usual, 1 leaves the steps evenly spaced.")
    whole = steps if start.denoise == 1 else int(steps / start.denoise)  # as ComfyUI's KSampler counts
    times = shifted(torch.linspace(1, 0, whole + 1), shift)
    times[0] = 1  # rounding
    return times


def passage(times: Tensor, start: Start) -> Tensor:
    """The part of a whole schedule `[N + 1]` that is run: its last steps, as many as the share `start.denoise`, and of
    these those from `start_step` to `end_step`. The last of them goes to 0, unless noise is to be left.

    Raises:
        InvalidInput: no step is in it.
    """
    count = len(times) - 1
    times = times[count - math.ceil(count * start.denoise - 1e-6) :]
    left = len(times) - 1
    last = left if start.end_step is None else min(start.end_step, left)
    if start.start_step >= last:
        raise InvalidInput(
            f"Sampling would begin after step {start.start_step} and end after step {last}; let it begin earlier."
        )
    times = times[start.start_step : last + 1].clone()
    if last < left and not start.leave_noise:
        times[-1] = 0
    return times


def check_steps(steps: int, family: str = "base") -> None:
    """Refuses a number of steps the checkpoint `family` (`turbo`, `sft`, `base`) cannot use."""
    most = MAX_STEPS[family]
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= most:
        usual = 8 if family == "turbo" else 50
        raise InvalidInput(f"Steps must be a whole number from 1 to {most} here, not {steps!r}; {usual} is usual.")


def check_times(times: Tensor, starts_from_noise: bool, leaves_noise: bool = False) -> Tensor:
    """The flow times of a run, `[N + 1]` fp32 in main memory.

    Args:
        times: of any origin.
        starts_from_noise: whether the first state is pure noise, which is what lies at flow time 1; a run that starts
            from a source may enter anywhere.
        leaves_noise: whether they may end above 0.

    Raises:
        InvalidInput: the times do not fall from within (0, 1] to 0, are too many, or begin where noise does not belong.
    """
    if times.ndim != 1 or len(times) < 2:
        raise InvalidInput("The flow times hold no step; give falling times such as 1, 0.75, 0.5, 0.25, 0.")
    times = times.detach().to("cpu", torch.float32)
    steps = len(times) - 1
    if steps > MAX_STEPS["base"]:
        raise InvalidInput(f"There are flow times for {steps} steps; give at most {MAX_STEPS['base']}.")
    values = times.tolist()
    if not all(0 <= t <= 1 for t in values):
        wrong = next(t for t in values if not 0 <= t <= 1)
        raise InvalidInput(f"The flow times must lie between 0 and 1, not at {wrong:g}; 1 is noise and 0 is music.")
    for now, then in pairwise(values):
        if now <= then:
            raise InvalidInput(
                f"The flow times must fall from each to the next, not go from {now:g} to {then:g}; put them in order, "
                "such as 1, 0.75, 0.5, 0.25, 0."
            )
    if values[-1] != 0 and not leaves_noise:
        raise InvalidInput(f"The flow times end at {values[-1]:g}, where noise is left; let them end at 0.")
    if starts_from_noise and values[0] < NOISIEST:
        raise InvalidInput(
            f"The flow times begin at {values[0]:g}, but this song begins with pure noise; let them begin at 1, give "
            "a latent to start from, or make a cover with noise strength."
        )
    return times


@dataclass(frozen=True)
class Step:
    """One step of a run, number `index` of `count`, from flow time `now` to `then`.

    Attributes:
        leaps: whether the decoder jumps to the clean estimate here, as turbo does in its last step: no second look
            there, and the source is not put back.
    """

    index: int
    count: int
    now: float
    then: float
    leaps: bool = False


def steps_of(times: Tensor, turbo: bool) -> list[Step]:
    """The steps between `times` `[N + 1]`."""
    count = len(times) - 1
    spans = enumerate(pairwise(times.tolist()))
    return [Step(i, count, now, then, turbo and then == 0) for i, (now, then) in spans]


def truncated(times: Tensor, cover_noise_strength: float) -> Tensor:
    """The part of `times` `[N + 1]` that a run takes if it starts from the source at level `1 - cover_noise_strength`.

    It enters at the time nearest to that level (the noisier one of two equally near), never at the closing 0. Strength
    0 starts from pure noise, so with all times.
    """
    if cover_noise_strength == 0:
        return times
    level = 1 - cover_noise_strength
    candidates = times[:-1].tolist()
    return times[min(range(len(candidates)), key=lambda i: abs(candidates[i] - level)) :]


def switch_step(steps: int, cover_strength: float) -> int:
    """The first step that no longer sees the source: `int(steps * cover_strength)`; `steps` (never) at strength 1.

    `steps` counts what remains after `truncated`.
    """
    return int(steps * cover_strength)
