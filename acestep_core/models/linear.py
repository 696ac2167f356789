"""Linear layers without bias, and those that read the same input computed as one product.

Layers of a group keep their names and stay parameters of their own, so checkpoints, adapters, trainers and quantisers
find what upstream has; but their weights lie one after the other in memory, and one matrix product serves them all.

They are laid out whenever they are copied anyway: made new, converted to another number format, or brought to a device.
Weights that are used as they are mapped from a file, in main memory, stay mapped and multiply one by one: joining them
would take memory for most of the model, to save a few calls. Source: fused projections as in gpt-fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def project(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight.T`, for a few rows on a CPU the other way round: its libraries are up to four times faster so."""
    rows = x.numel() // x.shape[-1]
    if 1 < rows <= 8 and x.is_cpu and x.dtype == torch.float32:
        return (weight @ x.reshape(rows, -1).T).T.reshape(*x.shape[:-1], -1)
    return F.linear(x, weight)


class Linear(nn.Linear):
    """A linear layer without bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor, product: Tensor | None = None) -> Tensor:
        """`[..., inputs]` -> `[..., outputs]`; `product` is the result where it is known from a larger one."""
        return project(x, self.weight) if product is None else product


class SideBySide(nn.Module):
    """A module whose linear layers named in `group` read the same input."""

    group: tuple[str, ...]

    def lay_out(self, like: Tensor | None = None) -> None:
        """Brings the weights of the group into one piece of memory, in their order, in format and place of `like`.

        Every weight is written to its place at once, so neither a second copy nor gaps stay behind.
        """
        layers = self._layers()
        if all(map(_is_plain, layers)):
            weights = [layer.weight for layer in layers]
            rows = [len(weight) for weight in weights]
            whole = (weights[0] if like is None else like).new_empty(sum(rows), weights[0].shape[1])
            for weight, part in zip(weights, whole.split(rows), strict=True):
                weight.data = part.copy_(weight.detach())

    def product(self, x: Tensor) -> Tensor:
        """`[..., inputs]` -> the outputs of the whole group, `[..., sum of outputs]`.

        Hooks on a layer see its input and its part of the result, and may change it.
        """
        layers = self._layers()
        weight = joined([layer.weight for layer in layers]) if all(map(_is_plain, layers)) else None
        if weight is None:
            return torch.cat([layer(x) for layer in layers], dim=-1)
        whole = project(x, weight)
        if not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers):
            return whole
        parts = whole.split([layer.out_features for layer in layers], dim=-1)
        results = [layer(x, part) for layer, part in zip(layers, parts, strict=True)]
        unchanged = all(result is part for result, part in zip(results, parts, strict=True))
        return whole if unchanged else torch.cat(results, dim=-1)

    def _layers(self) -> list[Linear]:
        return [self._modules[name] for name in self.group]  # type: ignore[misc]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SideBySide:
        weights = [layer.weight for layer in self._layers() if _is_plain(layer)]
        after = [fn(weight.detach()[:0]) for weight in weights]
        moved = any((a.device, a.dtype) != (b.device, b.dtype) for a, b in zip(weights, after, strict=True))
        virtual = any(tensor.is_meta for tensor in (*weights, *after))
        if moved and not virtual:
            self.lay_out(after[0])
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if moved and virtual:  # to and from the meta device parameters are made anew, not filled
            self.lay_out()
        return self


def joined(weights: Sequence[Tensor]) -> Tensor | None:
    """One tensor `[sum of rows, inputs]` over weights that lie one after the other in memory, without a copy.

    None where they do not, and where a gradient is wanted, which has to reach each of them.
    """
    first = weights[0]
    if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
        return None
    rows, inputs, place, size = 0, first.shape[1], first.data_ptr(), first.element_size()
    for weight in weights:
        if weight.data_ptr() != place + rows * inputs * size or not weight.is_contiguous():
            return None
        rows += weight.shape[0]
    if (first.storage_offset() + rows * inputs) * size > first.untyped_storage().nbytes():
        return None  # neighbours by chance, in memory of their own
    return first.as_strided((rows, inputs), (inputs, 1))


def _is_plain(layer: nn.Module) -> bool:
    """Whether the layer is what it was made as: not wrapped, quantised or parametrised by somebody."""
    return type(layer) is Linear and type(layer.weight) is nn.Parameter
