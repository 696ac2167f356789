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
    assert torch.equal(s.truncated(times, 0.0), times)
    assert float(s.truncated(times, 0.5)[0]) == pytest.approx(0.5)
    assert s.truncated(times, 1.0).tolist() == times[-2:].tolist(), "never from the closing 0"
    assert float(s.truncated(torch.tensor([0.75, 0.25, 0.0]), 0.5)[0]) == 0.75, "the noisier of two"


@given(strength=st.floats(0, 1), steps=st.integers(1, 100))
def test_the_switch_lies_within_the_run(strength, steps):
    assert 0 <= s.switch_step(steps, strength) <= steps
    assert s.switch_step(steps, 1.0) == steps


def test_steps_are_the_spans_between_times():
    steps = s.steps_of(torch.tensor([1.0, 0.5, 0.0]), turbo=True)
    assert steps == [s.Step(0, 2, 1.0, 0.5), s.Step(1, 2, 0.5, 0.0, leaps=True)]
    assert not any(step.leaps for step in s.steps_of(torch.tensor([1.0, 0.5, 0.0]), turbo=False))
    assert s.steps_of(torch.tensor([0.0]), turbo=True) == []


BAD_TIMES = {
    "rising": ([0.0, 0.5, 1.0], "must fall"),
    "standing still": ([1.0, 0.5, 0.5, 0.0], "must fall"),
    "of another model": ([14.6, 7.0, 0.0], "between 0 and 1, not at 14.6"),
    "negative": ([1.0, 0.5, -0.5], "between 0 and 1"),
    "not a number": ([1.0, float("nan"), 0.0], "between 0 and 1"),
    "unfinished": ([1.0, 0.6, 0.3], "end at 0.3"),
    "empty": ([], "no step"),
    "one time": ([0.0], "no step"),
    "two rows": ([[1.0, 0.0]], "no step"),
    "too many": (torch.linspace(1, 0, 202).tolist(), "200"),
}


@pytest.mark.parametrize("from_noise", [True, False])
@pytest.mark.parametrize("case", BAD_TIMES)
def test_times_that_make_no_run_are_refused(case, from_noise):
    times, why = BAD_TIMES[case]
    with pytest.raises(InvalidInput, match=why) as error:
        s.check_times(torch.tensor(times), from_noise)
    assert str(error.value).endswith(".") and str(error.value).count(". ") == 0, "one sentence"


def test_noise_belongs_at_the_beginning():
    late = torch.tensor([0.6, 0.3, 0.0])
    with pytest.raises(InvalidInput, match=r"begin at 0\.6"):
        s.check_times(late, starts_from_noise=True)
    assert torch.equal(s.check_times(late, starts_from_noise=False), late)
    upstream = torch.tensor([0.97, 0.76, 0.615, 0.5, 0.395, 0.28, 0.18, 0.085, 0])
    assert torch.equal(s.check_times(upstream, starts_from_noise=True), upstream), "its own example"


def test_times_of_any_format_become_fp32():
    exact = torch.tensor([1.0, 1 / 3, 0.0], dtype=torch.float64)
    got = s.check_times(exact, True)
    assert got.dtype == torch.float32 and got.tolist() == s.schedule(timesteps=exact.tolist()).tolist()


@given(steps=st.integers(1, 200), shift=st.floats(0.05, 20))
def test_our_own_schedules_pass(steps, shift):
    times = s.schedule(steps, shift)
    assert torch.equal(s.check_times(times, True), times)
