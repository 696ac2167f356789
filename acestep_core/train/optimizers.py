"""What moves the adapter: optimizers, how fast they go at each step, and their state as plain tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from acestep_core import devices
from acestep_core.errors import InvalidInput
from acestep_core.io.terminal import pip_install
from acestep_core.train.settings import TrainSettings

PACKAGES: Final = {"adamw8bit": "bitsandbytes", "prodigy": "prodigyopt"}
_FLOOR: Final = 0.01
_START: Final = 0.1


def make_optimizer(settings: TrainSettings, parameters: Mapping[str, nn.Parameter]) -> Optimizer:
    """The optimizer of resolved settings.

    Raises:
        InvalidInput: its package is not installed.
    """
    fine, rate = settings.fine, settings.training.learning_rate
    values = list(parameters.values())
    check_package(fine.optimizer)
    if fine.optimizer == "prodigy":
        from prodigyopt import Prodigy

        return Prodigy(values, lr=rate, weight_decay=fine.weight_decay)  # type: ignore[no-any-return]
    if fine.optimizer == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(values, lr=rate, weight_decay=fine.weight_decay)  # type: ignore[no-any-return]
    fused = all(devices.limits(value.device).fused_steps for value in values)
    return torch.optim.AdamW(values, lr=rate, weight_decay=fine.weight_decay, fused=fused)


def check_package(optimizer: str) -> None:
    """Raises InvalidInput where the package of an optimizer is not installed."""
    from importlib.util import find_spec

    package = PACKAGES.get(optimizer)
    if package is not None and find_spec(package) is None:
        raise InvalidInput(
            f"The optimizer {optimizer} needs {package}; install it with `{pip_install(package)}`, or choose adamw."
        )


def skips_by_itself(optimizer: Optimizer) -> bool:
    """Whether it leaves out a step that `found_inf` marks, without the host having to look."""
    return isinstance(optimizer, torch.optim.AdamW) and bool(optimizer.defaults.get("fused"))


def rate_at(step: int, steps: int, settings: TrainSettings) -> float:
    """The learning rate of a step, counted from 0: up from a tenth, then along the schedule to a hundredth.

    A function of nothing else, so it needs no state.
    """
    fine, rate = settings.fine, settings.training.learning_rate
    rise = min(fine.warmup, steps // 10)
    if step < rise:
        return rate * (_START + (1 - _START) * step / rise)
    if fine.schedule == "constant":
        return rate
    done = (step - rise) / max(1, steps - rise)
    share = (1 + math.cos(math.pi * done)) / 2 if fine.schedule == "cosine" else 1 - done
    return rate * (_FLOOR + (1 - _FLOOR) * share)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_state(optimizer: Optimizer, names: list[str]) -> tuple[dict[str, Tensor], str]:
    """Its tensors by parameter and part (`<name>|exp_avg`), and everything else as JSON."""
    values = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, parts in values["state"].items():
        for part, value in _flat(parts):
            if isinstance(value, Tensor):
                tensors[f"{names[index]}|{part}"] = value.detach().cpu().contiguous().clone()
            else:
                plain[f"{names[index]}|{part}"] = value
    groups = [{k: v for k, v in group.items() if k != "params"} for group in values["param_groups"]]
    return tensors, json.dumps({"state": plain, "groups": groups}, default=_number, sort_keys=True)


def load_optimizer(optimizer: Optimizer, names: list[str], tensors: Mapping[str, Tensor], told: str) -> None:
    """Gives an optimizer of the same kind and parameters its state back."""
    values, found = optimizer.state_dict(), json.loads(told)
    state: dict[int, dict[str, Any]] = {}
    places = {name: index for index, name in enumerate(names)}
    for key, value in [*tensors.items(), *found["state"].items()]:
        name, *above, part = key.split("|")
        parts = state.setdefault(places[name], {})
        for step in above:
            parts = parts.setdefault(step, {})
        parts[part] = value
    groups = []
    for group, saved in zip(values["param_groups"], found["groups"], strict=True):
        kept = {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items()}
        groups.append({**group, **kept, "params": group["params"]})
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _flat(parts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Parts of a state, which bitsandbytes puts into one another."""
    for part, value in parts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{part}|")
        else:
            yield f"{above}{part}", value


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else float(value)
