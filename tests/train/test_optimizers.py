"""Optimizers, made for the device that they will run on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from acestep_core import devices
from acestep_core.train.optimizers import make_optimizer
from acestep_core.train.settings import TrainSettings


@pytest.mark.parametrize("able", [True, False])
def test_a_step_is_one_kernel_where_the_device_has_it(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "limits", lambda device: devices.Limits(fused_steps=able))
    weight = nn.Parameter(torch.ones(3))
    optimizer = make_optimizer(TrainSettings.of(learning_rate=0.01), {"a": weight})
    assert bool(optimizer.defaults["fused"]) == able
    weight.grad = torch.ones(3)
    optimizer.step()
    assert (weight < 1).all()
