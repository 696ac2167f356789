"""What the trained parts of the built-in model have in common: steps that can be stopped, taken up and repeated.

Every step draws its examples from the seed and its own number, so it does not matter where a run was interrupted, and
the same seed makes the same weights on the same machine.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acestep_core.io.atomic import atomic_write
from acestep_core.monitor import SILENT, Monitor

WARM_UP = 40
SAVE_EVERY = 100


class Kept:
    """Entries of weights that are laid out by hand and stay as they are while the rest is trained.

    Made from a module whose constructed entries hold their values; `restore` puts them back after an optimiser's step.
    """

    def __init__(self, module: nn.Module, masks: Mapping[str, Tensor]) -> None:
        """Args: masks: by name of the parameter, True where an entry is kept."""
        parameters = dict(module.named_parameters())
        self._entries = [
            (parameters[name], mask, parameters[name].detach()[mask].clone()) for name, mask in masks.items()
        ]

    @torch.no_grad()
    def restore(self) -> None:
        for parameter, mask, values in self._entries:
            parameter[mask] = values


class Average:
    """The moving average of a module's weights, which plays better than the weights of any one step."""

    def __init__(self, module: nn.Module, decay: float = 0.998) -> None:
        self._module, self._decay = module, decay
        self.weights = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes the module's weights in; the first steps are soon forgotten."""
        decay = min(self._decay, 1 - 1 / (1 + step / 8))
        torch._foreach_lerp_(list(self.weights.values()), list(self._module.parameters()), 1 - decay)


Loss = Callable[[random.Random, torch.Generator], Tensor]
"""Makes the mean loss of one batch, from random numbers of that step."""


@dataclass(frozen=True)
class Then:
    """What a course goes on with from a step on, when its learning rate has fallen to nothing: another loss, at what is
    left of the rate of a course so long.
    """

    start: int
    loss: Loss


@dataclass(frozen=True)
class Course:
    """One part's training.

    Args:
        name: of the file that holds its state.
        module: what is trained; parameters that want no gradient are left alone.
        loss: what is made smaller.
        kept: what is put back after every step.
        steps: how many there are.
        rate: the highest learning rate.
        then: its end, if that is of another kind.
    """

    name: str
    module: nn.Module
    loss: Loss
    kept: Kept
    steps: int
    rate: float = 2e-3
    decay: float = 0.02
    then: Then | None = None

    def at(self, step: int) -> tuple[Loss, float]:
        """The loss and the learning rate of a step."""
        if self.then is not None and step >= self.then.start:
            return self.then.loss, self.rate * rate_at(step, self.steps)
        return self.loss, self.rate * rate_at(step, self.steps if self.then is None else self.then.start)


@dataclass(frozen=True)
class Progress:
    """How far a course is: averaged weights, steps done of all, processor seconds, losses of every hundredth step."""

    weights: dict[str, Tensor]
    done: int
    steps: int
    seconds: float
    losses: tuple[float, ...]


def rate_at(step: int, steps: int) -> float:
    """The share of the learning rate: a short rise, all of it, and in the second half a straight fall to nothing."""
    return min(1.0, (step + 1) / WARM_UP, 2 * (steps - step) / steps)


def train(course: Course, folder: Path, seed: int, until: float | None = None, monitor: Monitor = SILENT) -> Progress:
    """Takes a course up where `folder` has it, and goes on to its end or to a time.

    Args:
        until: `time.monotonic()` at which to stop.
    """
    trained = [p for p in course.module.parameters() if p.requires_grad]
    matrices, vectors = [p for p in trained if p.dim() > 1], [p for p in trained if p.dim() < 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": course.decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=course.rate,
        betas=(0.9, 0.98),
    )
    average = Average(course.module)
    done, seconds, losses, recent = 0, 0.0, list[float](), list[float]()
    path = folder / f"{course.name}.pt"
    if path.exists():
        state: dict[str, Any] = torch.load(path, weights_only=True)
        course.module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        average.weights.update(state["average"])
        done, seconds, losses, recent = state["done"], state["seconds"], state["losses"], state["recent"]

    def save() -> None:
        state = {
            "module": course.module.state_dict(),
            "optimiser": optimiser.state_dict(),
            "average": average.weights,
            "done": done,
            "seconds": seconds,
            "losses": losses,
            "recent": recent,
        }
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            torch.save(state, temporary)

    start = time.process_time()
    while done < course.steps and (until is None or time.monotonic() < until):
        make_loss, rate = course.at(done)
        for group in optimiser.param_groups:
            group["lr"] = rate
        rng = random.Random(f"{seed} {course.name} {done}")
        loss = make_loss(rng, torch.Generator().manual_seed(rng.getrandbits(60)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        course.kept.restore()
        done += 1
        average.update(done)
        recent.append(loss.item())
        monitor.tick(course.name, done, course.steps)
        if done % SAVE_EVERY == 0:
            now = time.process_time()
            seconds, start = seconds + now - start, now
            losses.append(round(sum(recent) / len(recent), 4))
            recent.clear()
            save()
    seconds += time.process_time() - start
    if done % SAVE_EVERY:
        save()
    return Progress(average.weights, done, course.steps, seconds, tuple(losses))
