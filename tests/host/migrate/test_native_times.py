"""ComfyUI's schedulers as flow times. The right values are those of its `calculate_sigmas`."""

from __future__ import annotations

import pytest

from acestep_core.host.graph.migrate.native_times import native_times, shifted


@pytest.mark.parametrize(
    ("scheduler", "right"),
    [
        ("normal", [1.0, 0.8577, 0.6022, 0.0089, 0.0]),
        ("karras", [1.0, 0.2327, 0.0368, 0.003, 0.0]),
        ("exponential", [1.0, 0.1441, 0.0208, 0.003, 0.0]),
        ("kl_optimal", [1.0, 0.5787, 0.2701, 0.003, 0.0]),
        ("linear_quadratic", [1.0, 0.9875, 0.975, 0.725, 0.0]),
    ],
)
def test_times_that_steps_and_shift_do_not_say(scheduler: str, right: list[float]) -> None:
    times = native_times(scheduler, 4, 3.0)
    assert times is not None and times.values == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize("scheduler", ["simple", "sgm_uniform"])
def test_even_steps_are_steps_and_shift(scheduler: str) -> None:
    times = native_times(scheduler, 8, 3.0)
    assert times is not None and (times.steps, times.shift, times.values, times.start) == (8, 3.0, None, 1.0)


@pytest.mark.parametrize(
    ("denoise", "whole", "start"), [(1.0, 8, 1.0), (0.5, 16, 0.75), (0.25, 32, 0.5), (0.8, 10, 12 / 13)]
)
def test_a_part_of_the_steps_is_the_end_of_a_longer_schedule(denoise: float, whole: int, start: float) -> None:
    times = native_times("simple", 8, 3.0, denoise)
    assert times is not None and times.steps == whole and times.start == pytest.approx(start)


def test_a_schedule_longer_than_ours_is_written_out() -> None:
    times = native_times("simple", 50, 3.0, 0.1)
    assert times is not None and times.values is not None
    assert len(times.values) == 51 and times.values[0] == pytest.approx(shifted(0.1, 3.0)) and times.values[-1] == 0
    assert native_times("simple", 8, 3.0, 1e-9) is not None


def test_what_is_not_known_is_said() -> None:
    assert native_times("beta", 8) is None
