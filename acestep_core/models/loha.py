"""Hadamard-product adapters: the change `scale * (a1 @ b1) * (a2 @ b2)` beside a linear layer's weight.

Source: LoHa of LyCORIS, Yeh et al. 2023 (arXiv:2309.14859).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from acestep_core.errors import AdapterError
from acestep_core.models.lokr import product
from acestep_core.models.lora import rows, through

FACTORS = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")


@dataclass(frozen=True, eq=False)
class Hadamard:
    """`(a1 @ b1) * (a2 @ b2)`, factors `[out, r]` and `[r, in]`, the scale folded into `a1`.

    The change is formed for each call: two small products beside the layer's own, and memory for one layer only.
    """

    a1: Tensor
    b1: Tensor
    a2: Tensor
    b2: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.a1.shape[0], self.b1.shape[1]

    def weight(self) -> Tensor:
        return (self.a1.float() @ self.b1.float()) * (self.a2.float() @ self.b2.float())

    def scaled(self, factor: float, like: Tensor) -> Hadamard:
        return Hadamard((factor * self.a1.float()).to(like), self.b1.to(like), self.a2.to(like), self.b2.to(like))

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, (self.a1 @ self.b1) * (self.a2 @ self.b2))


def rank_of(parts: Mapping[str, Tensor]) -> int | None:
    """Rows of the first inner factor."""
    return rows(parts["hada_w1_b"]).shape[0] if "hada_w1_b" in parts else None


def hadamard(parts: Mapping[str, Tensor], scale: float) -> Hadamard:
    """From the tensors of a file; in Tucker form (`hada_t1`, `hada_t2`), as convolutions have it, `hada_w1_a` is
    `[r, out]`.
    """
    missing = [name for name in FACTORS if name not in parts]
    if missing:
        raise AdapterError(f"A LoHa layer lacks {missing[0]}; the file is incomplete, so fetch it again.")
    a1, b1, a2, b2 = (rows(parts[name]).float() for name in FACTORS)
    if "hada_t1" in parts and "hada_t2" in parts:
        a1, b1, a2, b2 = a1.T, through(parts["hada_t1"], b1), a2.T, through(parts["hada_t2"], b2)
    if product(a1, b1).shape != product(a2, b2).shape:
        raise AdapterError("The two products of a LoHa layer differ in shape; fetch the file again.")
    return Hadamard(scale * a1, b1, a2, b2)
