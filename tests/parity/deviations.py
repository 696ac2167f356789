"""Where upstream's complete runs are wrong: the rule that finds such a case, the reason, and what we do instead.

Rules read a case's settings, not its name, so they hold for another set of reference data, too. A case that a rule
finds is still run; the test checks that our result is finite and differs, so that a rule cannot outlive its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

OWN_LEVELS = (
    "after a step, upstream's non-turbo SDE re-noises to 1 - (i + 1) / steps, whatever the schedule; "
    "we use the schedule's own next time"
)


def deviation(settings: Mapping[str, Any], times: Tensor) -> str | None:
    """Why our result for a case differs on purpose, or None where it must be equal.

    Args:
        settings: of the case.
        times: the flow times that are really run, `[N + 1]`.
    """
    if settings["generate_audio_kwargs"].get("infer_method") != "sde" or "turbo" in settings["model_code"]:
        return None
    steps = len(times) - 1
    levels = [1 - (i + 1) / steps for i in range(steps)]
    same = all(abs(level - time) < 1e-5 for level, time in zip(levels, times[1:].tolist(), strict=True))
    return None if same else OWN_LEVELS
