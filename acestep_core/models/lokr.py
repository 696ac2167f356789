"""Kronecker-product adapters: the change `scale * kron(w1, w2)` beside a linear layer's weight.

Source: LoKr of LyCORIS, Yeh et al. 2023 (arXiv:2309.14859).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from acestep_core.errors import AdapterError


@dataclass(frozen=True, eq=False)
class Kronecker:
    """`kron(w1 [a, b], w2 [c, d])`, a change of `[a c, b d]`, the scale folded into `w1`."""

    w1: Tensor
    w2: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.w1.shape[0] * self.w2.shape[0], self.w1.shape[1] * self.w2.shape[1]

    def weight(self) -> Tensor:
        return torch.kron(self.w1.float(), self.w2.float())

    def scaled(self, factor: float, like: Tensor) -> Kronecker:
        return Kronecker((factor * self.w1.float()).to(like), self.w2.to(like))

    def __call__(self, x: Tensor) -> Tensor:
        # kron(w1, w2) x, with x as a matrix [b, d], is w1 X w2^T: never larger than the activations.
        blocks = x.unflatten(-1, (self.w1.shape[1], self.w2.shape[1])) @ self.w2.mT
        return (self.w1 @ blocks).flatten(-2)


def rank_of(parts: Mapping[str, Tensor]) -> int | None:
    """The rank of a factor that is stored as a product; None if both are whole."""
    for name in ("lokr_w2_b", "lokr_w1_b"):
        if name in parts:
            return parts[name].shape[0]
    return None


def kronecker(parts: Mapping[str, Tensor], scale: float) -> Kronecker:
    """From the tensors of a file: `lokr_w1` or `lokr_w1_a`, `lokr_w1_b`; the same for `lokr_w2`."""
    if "lokr_t2" in parts:
        raise AdapterError("This LoKr changes convolutions (Tucker form), which the DiT's adapted layers do not have.")
    w1, w2 = _factor(parts, "lokr_w1"), _factor(parts, "lokr_w2")
    return Kronecker(scale * float(parts.get("scalar", torch.ones(()))) * w1, w2)


def _factor(parts: Mapping[str, Tensor], name: str) -> Tensor:
    if name in parts:
        factor = parts[name].float()
    elif f"{name}_a" in parts and f"{name}_b" in parts:
        factor = parts[f"{name}_a"].float() @ parts[f"{name}_b"].float()
    else:
        raise AdapterError(f"A LoKr layer lacks {name}; the file is incomplete, so fetch it again.")
    if factor.ndim != 2:
        raise AdapterError("This LoKr changes convolutions, which cannot be adapted; use one for linear layers.")
    return factor
