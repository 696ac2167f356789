"""A processor that pretends to be Apple's GPU, for any test: `pytest --device mps|mps14`, or `pretended_mps` in one.

What that device cannot do, or does wrong, is an error here wherever the library asks for it. A tensor that the library
fetched with `.cpu()`, and what is made of such tensors alone, is in main memory, where everything is allowed; so is
double precision that a test hands in, which no tensor of that device can have. Threads obey, too; another process does
not know, so under `--device` a test that starts Python anew is skipped.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from acestep_core import devices

POLICIES = {"mps": devices.MPS, "mps14": devices.MPS_BEFORE_15_1}
SHIFTS = (
    "__lshift__", "__rshift__", "bitwise_left_shift", "bitwise_right_shift", "__ilshift__", "__irshift__",
)  # fmt: skip
WIDE = (torch.float64, torch.complex64, torch.complex128)
BETWEEN = ("torch", "functools", "contextlib")
"""Packages between the one who asks for an operation and the operation."""
COPYING = ("copy_", "index_put_", "_index_put_impl_")
FEW = 8
"""Queries; fused attention of so few, or fewer, is wrong."""


class Refusing(TorchDispatchMode):
    """Refuses what `limits` do not allow, notes it in `faults`, and counts in `seen` what it saw."""

    def __init__(self, limits: devices.Limits, seen: set[str], faults: list[str]) -> None:
        super().__init__()
        self.limits, self.seen, self.faults = limits, seen, faults

    def again(self) -> Refusing:
        """The same for another thread."""
        return Refusing(self.limits, self.seen, self.faults)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.seen.add(name)
        given, made = _tensors((args, kwargs)), _tensors(out)
        if name == "index":  # which place, a list says, and a list is nowhere
            given = given[:1]
        if self._in_main_memory(name, given):
            for tensor in made:
                _fetched(tensor)
        elif not any(tensor.dtype in WIDE for tensor in given) and (fault := self._fault(name, made)):
            self.refuse(fault)
        return out

    def _in_main_memory(self, name: str, given: list[torch.Tensor]) -> bool:
        """Whether an operation is one of main memory. Its tensors are all in one place, but for numbers, so one of them
        tells; what copies from one place to the other is of the device unless all are.
        """
        known = [hasattr(tensor, "_in_main_memory") for tensor in given if tensor.dim()]
        known = known or [hasattr(tensor, "_in_main_memory") for tensor in given]
        return bool(known) and (all(known) if name in COPYING else any(known))

    def _fault(self, name: str, made: list[torch.Tensor]) -> str:
        for tensor in (tensor for tensor in made if tensor.device.type == "cpu"):
            if name in SHIFTS and not self.limits.shifts and tensor.dtype == torch.int64:
                return "shifts are wrong"
            if tensor.dtype in WIDE and not self.limits.float64:
                return f"{name} makes {tensor.dtype}"
            longest = self.limits.convolution
            if longest and name.startswith("conv") and max(tensor.shape[1:], default=0) > longest:
                return f"a convolution of {list(tensor.shape)}"
        return ""

    def refuse(self, fault: str) -> None:
        """An error if the library is who asked, not a test or a reference it is compared with."""
        caller = sys._getframe(1)
        while caller.f_back and (_module(caller) == __name__ or _module(caller).partition(".")[0] in BETWEEN):
            caller = caller.f_back
        if _module(caller).partition(".")[0] == "acestep_core":
            self.faults.append(f"{fault} in {_module(caller)}, line {caller.f_lineno}")
            raise AssertionError(self.faults[-1])


@contextmanager
def pretended_mps(limits: devices.Limits) -> Iterator[Refusing]:
    """The processor has `limits`; what they do not allow raises an AssertionError inside the block, and at its end."""
    refusing = Refusing(limits, set(), [])
    own, fused, run = devices.limits, F.scaled_dot_product_attention, threading.Thread.run
    cpu, to = torch.Tensor.cpu, torch.Tensor.to

    def limits_of(device: torch.device) -> devices.Limits:
        return limits if device.type == "cpu" else own(device)

    limits_of.cache_clear = getattr(own, "cache_clear", None)  # type: ignore[attr-defined]

    @functools.wraps(fused)
    def attention(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **options: Any
    ) -> torch.Tensor:
        masked = bool(rest) or options.get("attn_mask") is not None
        flags = masked or options.get("is_causal") or options.get("enable_gqa")
        if (
            limits_of(query.device) is limits
            and not limits.fused_attention
            and (flags or query.shape[1] != key.shape[1] or query.shape[2] <= FEW)
        ):
            refusing.refuse("fused attention")
        refusing.seen.add("fused attention")
        return fused(query, key, value, *rest, **options)

    @functools.wraps(run)
    def thread(self: threading.Thread) -> None:
        with refusing.again():
            run(self)

    def fetched(self: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        return _fetched(cpu(self, *rest, **options).view_as(self))

    def sent(self: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        found = to(self, *rest, **options)
        away = any(isinstance(value, str | torch.device | torch.Tensor) for value in (*rest, *options.values()))
        return _sent(found) if away and hasattr(found, "_in_main_memory") else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "limits", limits_of)
        patch.setattr(F, "scaled_dot_product_attention", attention)
        patch.setattr(threading.Thread, "run", thread)
        patch.setattr(torch.Tensor, "cpu", fetched)
        patch.setattr(torch.Tensor, "to", sent)
        with refusing:
            yield refusing
    assert not refusing.faults, refusing.faults[0]


@contextmanager
def pretended_everywhere(limits: devices.Limits) -> Iterator[None]:
    """The same for a whole test, which is skipped once it starts another process of Python."""

    def knows_nothing(start: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(start)
        def wrapped(self: Any, *rest: Any, **options: Any) -> Any:
            program = rest[0] if rest else options.get("args", "")
            program = program if isinstance(program, str) else program[0]
            if isinstance(self, BaseProcess) or Path(program).name.startswith(("python", "acestep")):
                pytest.skip("another process does not know what this one pretends")
            return start(self, *rest, **options)

        return wrapped

    with pytest.MonkeyPatch.context() as patch, pretended_mps(limits):
        patch.setattr(subprocess.Popen, "__init__", knows_nothing(subprocess.Popen.__init__))
        patch.setattr(BaseProcess, "start", knows_nothing(BaseProcess.start))
        yield


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _sent(tensor: torch.Tensor) -> torch.Tensor:
    alias = tensor.view_as(tensor)
    del alias._in_main_memory  # type: ignore[attr-defined]
    return alias


def _fetched(tensor: torch.Tensor) -> torch.Tensor:
    tensor._in_main_memory = True  # type: ignore[attr-defined]
    return tensor
