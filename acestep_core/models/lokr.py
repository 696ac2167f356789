"""Kronecker-product adapters: the change `scale * kron(w1, w2)` beside a linear layer's weight.

Source: LoKr of LyCORIS, Yeh et al. 2023 (arXiv:2309.14859).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from acestep_core.errors import AdapterError
from acestep_core.models.lora import rows, through


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
            return rows(parts[name]).shape[0]
    return None


def kronecker(parts: Mapping[str, Tensor], scale: float) -> Kronecker:
    """From the tensors of a file: `lokr_w1` or `lokr_w1_a`, `lokr_w1_b`; the same for `lokr_w2`.

    The second factor of a convolution has its kernel in its columns, `[c, d k]`; in Tucker form it is made of
    `lokr_t2 [r, r, k]`, `lokr_w2_a [r, c]` and `lokr_w2_b [r, d]`.
    """
    return Kronecker(scale * _factor(parts, "lokr_w1"), _factor(parts, "lokr_w2", parts.get("lokr_t2")))


def _factor(parts: Mapping[str, Tensor], name: str, core: Tensor | None = None) -> Tensor:
    if name in parts:
        return rows(parts[name]).float()
    if f"{name}_a" not in parts or f"{name}_b" not in parts:
        raise AdapterError(f"A LoKr layer lacks {name}; the file is incomplete, so fetch it again.")
    a, b = rows(parts[f"{name}_a"]).float(), rows(parts[f"{name}_b"]).float()
    return product(a, b) if core is None else product(a.T, through(core, b))


def product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b`. Raises AdapterError where the two do not fit."""
    if a.shape[1] != b.shape[0]:
        raise AdapterError(f"Two factors {list(a.shape)} and {list(b.shape)} do not fit; fetch the file again.")
    return a @ b
