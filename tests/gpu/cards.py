"""The device that is asked, and work that must not wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import pytest
import torch
from torch import nn

from acestep_core import devices
from acestep_core.monitor import Monitor

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Card:
    """A device, and the sizes of networks and songs for it."""

    device: torch.device

    @property
    def real(self) -> bool:
        return not devices.is_host(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """As models are held there."""
        return devices.dtype_for("dit", self.device) if self.real else torch.float32

    def pick(self, real: str, small: str) -> str:
        return real if self.real else small

    def needs(self, gigabytes: float) -> None:
        """Skips what is too much for this card."""
        if self.real and devices.total_memory(self.device) < gigabytes * 1e9:
            pytest.skip(f"takes {gigabytes:g} GB")

    def frames(self, seconds: int) -> int:
        return 25 * (seconds if self.real else 8)


def lively(module: Module) -> Module:
    """The same with weights of a size at which every layer counts: one that does nothing would be noticed."""
    draws = torch.Generator().manual_seed(4)
    for part in module.modules():
        weight = getattr(part, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.dim() == 1:  # a norm
            weight.data.fill_(1)
        elif isinstance(weight, torch.Tensor):
            weight.data.copy_(torch.randn(weight.shape, generator=draws) / weight[0].numel() ** 0.5)
    return module


def unwaiting(device: torch.device, first: int = 1) -> Monitor:
    """A monitor during whose ticks, from number `first` to the one before the last, a card refuses to be waited for."""

    def progress(stage: str, done: int, total: int, preview: object = None) -> None:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("error" if first <= done < total else "default")

    return Monitor(progress)
