"""Training that is interrupted goes on as if it had not been, and leaves alone what is laid out."""

import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from acestep_core.builtin.practice import SAVE_EVERY, Course, Kept, Then, rate_at, train
from acestep_core.errors import Cancelled
from acestep_core.monitor import Monitor

STEPS = SAVE_EVERY + 60


def course() -> Course:
    """Fits a line; of two laid out weights one is in the way."""
    module = nn.Linear(3, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.0, 5.0, 0.0]]))
        module.bias.zero_()

    def loss(rng: random.Random, generator: torch.Generator) -> Tensor:
        x = torch.randn(16, 3, generator=generator)
        return (module(x) - 2 * x[:, :1] - rng.uniform(0.9, 1.1)).pow(2).mean()

    kept = Kept(module, {"weight": torch.tensor([[False, True, False]])})
    return Course("line", module, loss, kept, STEPS, 0.1, 0.0)


def test_it_learns_and_keeps_what_is_laid_out(tmp_path: Path) -> None:
    done = train(course(), tmp_path, 0)
    weight = done.weights["weight"][0]
    assert done.done == STEPS
    assert weight[1] == 5
    assert abs(weight[0] - 2) < 0.2
    assert done.losses[-1] < 40


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(course(), tmp_path / "whole", 0)
    seen: list[int] = []

    def progress(stage: str, done: int, total: int, preview: object = None) -> None:
        assert (stage, total) == ("line", STEPS)
        seen.append(done)

    def stop() -> bool:
        return len(seen) == 7

    with pytest.raises(Cancelled):
        train(course(), tmp_path / "parts", 0, monitor=Monitor(progress, stop))
    assert seen == list(range(1, 8))
    late = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: late if len(seen) == 20 else 0.0)
    assert train(course(), tmp_path / "parts", 0, until=late, monitor=Monitor(progress)).done == 13
    parts = train(course(), tmp_path / "parts", 0)
    assert parts.done == STEPS
    assert parts.losses == whole.losses
    for name, weight in whole.weights.items():
        assert torch.equal(weight, parts.weights[name])


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(step, 1000) for step in (0, 39, 499, 750, 999)]
    assert rates[0] < 0.05 < rates[1] == rates[2] == 1
    assert rates[3] == 0.5
    assert 0 < rates[4] < 0.01


def test_a_course_may_end_with_another_loss_at_what_is_left_of_the_rate(tmp_path: Path) -> None:
    first = course()
    asked: list[str] = []

    def other(rng: random.Random, generator: torch.Generator) -> Tensor:
        asked.append("other")
        return first.loss(rng, generator)

    whole = replace(first, then=Then(STEPS - 40, other))
    assert whole.at(0) == first.at(0)
    assert whole.at(STEPS - 41)[0] is first.loss
    assert whole.at(STEPS - 41)[1] < 0.02 * first.rate < whole.at(STEPS - 40)[1] == first.at(STEPS - 40)[1]
    assert whole.at(STEPS - 1)[1] < 0.02 * first.rate
    assert train(whole, tmp_path, 0).done == STEPS
    assert len(asked) == 40
