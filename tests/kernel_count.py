"""Counts what a device would have to launch, on the meta device: nothing is computed, so models may have any size."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = {"_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "masked_select"}
"""Operations whose result the host has to wait for."""


class KernelCount(TorchDispatchMode):
    """Counts operations that make or change memory, views left out, and those that make the host wait.

    In inference mode, a norm, an attention or a linear layer is one operation, as it is one kernel on a card.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITS:
            self.waits[name] += 1
        out = func(*args, **(kwargs or {}))
        given, made = _memory((args, kwargs)), _memory(out)
        if func._schema.is_mutable or made - given:
            self.kernels[name] += 1
        return out

    @property
    def total(self) -> int:
        return self.kernels.total()


def _memory(values: Any) -> set[int]:
    return {t.untyped_storage()._cdata for t in tree_leaves(values) if isinstance(t, Tensor)}


def count_kernels(work: Any) -> KernelCount:
    """What `work()` launches."""
    with torch.inference_mode(), KernelCount() as count:
        work()
    return count
