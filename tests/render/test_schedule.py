from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import InvalidInput
from acestep_core.render import schedule as s


@given(steps=st.integers(1, 200), shift=st.floats(0.05, 20))
def test_schedules_fall_from_one_to_zero(steps, shift):
    times = s.schedule(steps, shift)
    assert times.dtype == torch.float32
    assert times.shape == (steps + 1,)
    assert times[0] == 1 and times[-1] == 0
    assert (times.diff() < 0).all(), "a step that does not move wastes a model call"


def test_shift_spends_steps_at_the_noisy_end():
    plain, late = s.schedule(10, 1.0), s.schedule(10, 3.0)
    assert (late[1:-1] > plain[1:-1]).all()


@pytest.mark.parametrize(
    ("steps", "shift"),
    [(0, 3.0), (-1, 3.0), (201, 3.0), (True, 3.0), (8, 0.0), (8, -1.0), (8, float("nan")), (8, float("inf"))],
)
def test_impossible_schedules_are_refused(steps, shift):
    with pytest.raises(InvalidInput):
        s.schedule(steps, shift)


def test_own_times_with_and_without_the_closing_zero():
    assert s.schedule(timesteps=[0.9, 0.5]).tolist() == s.schedule(timesteps=[0.9, 0.5, 0.0]).tolist()
    assert s.schedule(timesteps=[1.0]).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "times", [[], [0.0], [0.5, 0.5], [0.5, 0.9], [1.5, 0.5], [0.5, -0.1], [0.5, 0.0, 0.0], [float("nan")], [0.9] * 3]
)
def test_own_times_that_make_no_schedule_are_refused(times):
    with pytest.raises(InvalidInput):
        s.schedule(timesteps=times)


def test_turbo_takes_fewer_steps_than_base():
    s.check_steps(200, "base")
    s.check_steps(20, "turbo")
    with pytest.raises(InvalidInput, match="20"):
        s.check_steps(21, "turbo")


def test_cover_noise_enters_at_the_nearest_level():
    times = s.schedule(8, 3.0)
    assert s.start_index(times, 0.0) == 0
    assert float(s.truncated(times, 0.5)[0]) == pytest.approx(0.5)
    assert s.truncated(times, 1.0).tolist() == times[-2:].tolist(), "never from the closing 0"
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInput):
            s.start_index(times, bad)


@given(strength=st.floats(0, 1), steps=st.integers(1, 100))
def test_the_switch_lies_within_the_run(strength, steps):
    assert 0 <= s.switch_step(steps, strength) <= steps
    assert s.switch_step(steps, 1.0) == steps


@given(st.lists(st.floats(-1, 2), max_size=40))
def test_snapping_only_gives_distilled_times(times):
    snapped = s.snap_turbo_timesteps(times)
    assert len(snapped) <= 20
    assert set(snapped) <= set(s.TURBO_TIMES)
    assert len(s.TURBO_TIMES) == 20
