"""A processor that pretends to be Apple's GPU: what that cannot do, or does wrong, is an error here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from acestep_core import devices
from acestep_core.planner import sampling

SHIFTS = (
    "__lshift__", "__rshift__", "bitwise_left_shift", "bitwise_right_shift", "__ilshift__", "__irshift__",
)  # fmt: skip
WIDE = (torch.float64, torch.complex64, torch.complex128)


class Refusing(TorchDispatchMode):
    """Refuses long convolutions, double precision, and shifts, and counts what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.seen.add(name)
        assert name not in SHIFTS, "shifts are wrong on MPS"
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                assert tensor.dtype not in WIDE, f"{name} makes {tensor.dtype}"
                assert not name.startswith("conv") or max(tensor.shape[1:]) <= 65_536, (
                    f"a convolution of {tensor.shape}"
                )
        return out


@contextmanager
def pretended_mps(monkeypatch: pytest.MonkeyPatch, limits: devices.Limits) -> Iterator[Refusing]:
    """Every device has `limits`, and what they do not allow raises an AssertionError inside the block."""
    fused = F.scaled_dot_product_attention

    def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
        assert not options.get("is_causal") and not options.get("enable_gqa") and options.get("attn_mask") is None
        assert q.shape[1] == k.shape[1] and q.shape[2] > 8
        refusing.seen.add("fused attention")
        return fused(q, k, v, **options)

    uniform = sampling._uniform

    def on_the_processor(key: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        with _disable_current_modes():  # type: ignore[no-untyped-call]
            return uniform(key, ids)

    refusing = Refusing()
    with monkeypatch.context() as patch:
        patch.setattr(devices, "limits", lambda device: limits)
        patch.setattr(sampling, "_uniform", on_the_processor)  # which does not pretend
        patch.setattr(F, "scaled_dot_product_attention", attention)
        with refusing:
            yield refusing
