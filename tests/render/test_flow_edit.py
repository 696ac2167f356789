from __future__ import annotations

import pytest
import torch

from acestep_core.errors import Cancelled, InvalidInput
from acestep_core.monitor import Monitor
from acestep_core.render.flow_edit import Branch, FlowEdit, flow_edit
from acestep_core.render.guidance import OFF, Guidance
from acestep_core.render.schedule import schedule
from acestep_core.seeds import draw, generators

SOURCE = torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(1))
TIMES = schedule(6, 2.0)


def towards(goal, calls=None):
    """Velocities of a model that knows only `goal`."""

    def predict(x, t, guided):
        if calls is not None:
            calls.append(t)
        velocity = (x - goal) / t
        return velocity, velocity * 0.5 if guided else None

    return predict


def run(settings, source_goal, target_goal, guidance=OFF, calls=None, monitor=None):
    sources = generators([5])
    return flow_edit(
        SOURCE,
        TIMES,
        settings,
        Branch(towards(source_goal, calls), guidance),
        Branch(towards(target_goal, calls), guidance),
        lambda: draw(sources, 6),
        monitor or Monitor(),
    )


def test_the_same_description_changes_nothing():
    torch.testing.assert_close(run(FlowEdit(), SOURCE, SOURCE), SOURCE)


def test_another_description_leads_there():
    goal = torch.ones_like(SOURCE)
    torch.testing.assert_close(run(FlowEdit(), SOURCE, goal), goal, rtol=1e-4, atol=1e-4)


def test_free_sampling_after_the_window_ends_at_the_target():
    goal = torch.ones_like(SOURCE)
    torch.testing.assert_close(run(FlowEdit(end=0.5), SOURCE, goal), goal, rtol=1e-4, atol=1e-4)


def test_a_late_start_skips_steps_and_draws_cost_calls():
    calls: list[float] = []
    run(FlowEdit(start=0.5), SOURCE, SOURCE + 1, calls=calls)
    assert len(calls) == 2 * 3 and max(calls) == TIMES[3]
    calls.clear()
    run(FlowEdit(average=3), SOURCE, SOURCE + 1, calls=calls)
    assert len(calls) == 2 * 3 * 6


def test_draws_of_one_step_share_the_momentum():
    guidance = Guidance(scale=3.0)
    branch = Branch(towards(SOURCE), guidance)
    states = [SOURCE + 1, SOURCE + 2]
    branch.velocity(states, 0.5)
    expected = torch.stack([(x - SOURCE) / 0.5 * 0.5 for x in states]).mean(0)
    torch.testing.assert_close(branch.memory.average, expected)


def test_a_cancel_stops_within_a_step():
    calls: list[float] = []
    with pytest.raises(Cancelled):
        run(FlowEdit(), SOURCE, SOURCE, calls=calls, monitor=Monitor(cancelled=lambda: len(calls) >= 4))
    assert len(calls) == 4


@pytest.mark.parametrize("bad", [{"start": 0.6, "end": 0.5}, {"end": 1.1}, {"average": 0}, {"start": float("nan")}])
def test_settings_are_checked(bad):
    with pytest.raises(InvalidInput):
        FlowEdit(**bad)
