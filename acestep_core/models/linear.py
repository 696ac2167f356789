"""Linear layers without bias, and those that read the same input computed as one product.

Layers of a group keep their names and stay parameters of their own, so checkpoints, adapters, trainers and quantisers
find what upstream has; but their weights lie one after the other in memory, and one matrix product serves them all.

They are laid out whenever they are copied anyway: made new, converted to another number format, or brought to a device.
Weights that are used as they are mapped from a file, in main memory, stay mapped and multiply one by one: joining them
would take memory for most of the model, to save a few calls. Source: fused projections as in gpt-fast.

Where weights stay packed, as GGUF and fp8 files hold them, a layer unpacks them whenever it computes, a group into one
piece: the same numbers multiplied in the same way as if they had been unpacked when they were loaded. Weights that stay
in main memory because their device is too small come to it in the same way, see `Stays`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep_core.checkpoints.packing import AT_ONCE, SCRATCH, Packed
from acestep_core.checkpoints.weights import Weights


def project(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight.T`, for a few rows on a CPU the other way round: its libraries are up to four times faster so, where
    the values of each row lie side by side. A product's result that was made so does not; it is small to copy.
    """
    rows = x.numel() // x.shape[-1]
    if 1 < rows <= 8 and x.is_cpu and x.dtype == torch.float32:
        return (weight @ x.reshape(rows, -1).contiguous().T).T.reshape(*x.shape[:-1], -1)
    return F.linear(x, weight)


class Stays(nn.Module):
    """A layer whose weight may stay where it is while the rest of its model goes to a device; it then comes there for
    each product, and goes with it. Who decides that is `models.streaming`.
    """

    away = False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Stays:
        return self if self.away else super()._apply(fn, recurse)  # type: ignore[no-any-return,no-untyped-call]


class Linear(Stays, nn.Linear):
    """A linear layer without bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor, product: Tensor | None = None) -> Tensor:
        """`[..., inputs]` -> `[..., outputs]`; `product` is the result where it is known from a larger one."""
        if product is not None:
            return product
        return project(x, self.weight.to(x.device) if self.away else self.weight)


class PackedLinear(Stays):
    """A `Linear` whose weight stays as its file packs it."""

    data: Tensor

    def __init__(self, packed: Packed) -> None:
        super().__init__()
        self.out_features, self.in_features = packed.shape
        self._packed = packed
        # Bytes to torch, so that no change of number format touches them.
        self.register_buffer("data", packed.data, persistent=False)

    @property
    def packed(self) -> Packed:
        """The weight where it is now."""
        return replace(self._packed, data=self.data)

    def brought(self, device: torch.device) -> Packed:
        """The weight on the device that computes with it."""
        return replace(self._packed, data=self.data.to(device))

    @property
    def weight(self) -> Tensor:
        """What it stands for, `[out, in]` fp32."""
        return self.packed.unpacked(torch.float32)

    def forward(self, x: Tensor, product: Tensor | None = None) -> Tensor:
        """As `Linear`."""
        return project(x, self.brought(x.device).unpacked(x.dtype)) if product is None else product


class SideBySide(nn.Module):
    """A module whose linear layers named in `group` read the same input."""

    group: tuple[str, ...]

    def lay_out(self, like: Tensor | None = None) -> None:
        """Brings the weights of the group into one piece of memory, in their order, in format and place of `like`.

        Every weight is written to its place at once, so neither a second copy nor gaps stay behind.
        """
        layers = self._layers()
        if all(_is_plain(layer) and not layer.away for layer in layers):
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
        weight = _whole(layers, x)
        if weight is None:
            return torch.cat([layer(x) for layer in layers], dim=-1)
        whole = project(x, weight)
        if not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers):
            return whole
        parts = whole.split([layer.out_features for layer in layers], dim=-1)
        results = [layer(x, part) for layer, part in zip(layers, parts, strict=True)]
        unchanged = all(result is part for result, part in zip(results, parts, strict=True))
        return whole if unchanged else torch.cat(results, dim=-1)

    def _layers(self) -> list[Layer]:
        return [self._modules[name] for name in self.group]  # type: ignore[misc]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SideBySide:
        weights = [layer.weight for layer in self._layers() if _is_plain(layer) and not layer.away]
        after = [fn(weight.detach()[:0]) for weight in weights]
        moved = any((a.device, a.dtype) != (b.device, b.dtype) for a, b in zip(weights, after, strict=True))
        virtual = any(tensor.is_meta for tensor in (*weights, *after))
        if moved and not virtual:
            self.lay_out(after[0])
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if moved and virtual:  # to and from the meta device parameters are made anew, not filled
            self.lay_out()
        return self


Layer = Linear | PackedLinear


def _whole(layers: Sequence[Layer], like: Tensor) -> Tensor | None:
    """The weights of a group as one, `[sum of rows, inputs]`; None where that would take a copy of plain ones."""
    packed = [isinstance(layer, PackedLinear) for layer in layers]
    if not all(known or _is_plain(layer) for known, layer in zip(packed, layers, strict=True)):
        return None
    if not any(packed) and not any(layer.away for layer in layers):
        return joined([layer.weight for layer in layers])
    weights = [x.brought(like.device) if isinstance(x, PackedLinear) else x.weight.detach() for x in layers]
    return side_by_side(weights, like.dtype, like.device)


def side_by_side(weights: Sequence[Packed | Tensor], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights of the same inputs as one, `[sum of rows, inputs]`; packed ones are unpacked to their place."""
    rows = [weight.shape[0] for weight in weights]
    whole = torch.empty(sum(rows), weights[0].shape[1], dtype=dtype, device=device)
    for weight, part in zip(weights, whole.split(rows), strict=True):
        if isinstance(weight, Packed):
            weight.unpacked(dtype, part)
        else:
            part.copy_(weight)
    return whole


def pack(module: nn.Module, tensors: Weights, packed: Callable[[str], Packed | None]) -> Weights:
    """`pack_layers` of those whose weight is among the tensors; what is left of the tensors."""
    taken = pack_layers(module, lambda name: packed(name) if name in tensors else None)
    return tensors.renamed(lambda name: None if name in taken else name)


def pack_layers(module: nn.Module, packed: Callable[[str], Packed | None]) -> set[str]:
    """Puts a `PackedLinear` in the place of every `Linear` whose weight `packed` knows by its name; which these are."""
    taken = set()
    for parent_name, parent in list(module.named_modules()):
        for name, layer in list(parent.named_children()):
            weight = ".".join(filter(None, (parent_name, name, "weight")))
            if type(layer) is Linear and (found := packed(weight)) is not None:
                setattr(parent, name, PackedLinear(found))
                taken.add(weight)
    return taken


def laid_out(module: nn.Module, tensors: Weights, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors for a module. Groups with packed weights are unpacked to where they lie side by side at once, so that
    no gaps stay behind.
    """
    found: dict[str, Tensor] = {}
    groups = ((name, part.group) for name, part in module.named_modules() if isinstance(part, SideBySide))
    for name, group in groups:
        names = [".".join(filter(None, (name, layer, "weight"))) for layer in group]
        if all(name in tensors for name in names) and any(tensors.infos[name].packed for name in names):
            weights = [tensors.packed(name) if tensors.infos[name].packed else tensors[name] for name in names]
            rows = [weight.shape[0] for weight in weights]
            found |= zip(names, side_by_side(weights, dtype, weights[0].data.device).split(rows), strict=True)
    return {name: found[name] if name in found else tensors[name] for name in tensors}


def or_int8(helps: bool) -> str:
    """What else to choose where a model is too large, if that helps."""
    return " or the number format int8" if helps else ""


def narrower_in_int8(module: nn.Module) -> bool:
    """Whether it has layers that are not packed yet."""
    return any(type(part) is Linear for part in module.modules())


def passing_bytes(module: nn.Module) -> int:
    """What layers allocate while they compute because their weights are packed or away: those of the largest, or of the
    largest group, and what unpacking passes through.
    """
    pieces: list[list[nn.Module]] = [[part] for part in module.modules()]
    pieces += [[*part._layers()] for part in module.modules() if isinstance(part, SideBySide)]
    size = next((tensor.dtype.itemsize for tensor in module.parameters()), 4)
    return max((_passing(layers, size) for layers in pieces), default=0)


def _passing(layers: Sequence[nn.Module], size: int) -> int:
    linear = [layer for layer in layers if isinstance(layer, Layer)]
    values = sum(layer.out_features * layer.in_features for layer in linear)
    packed = any(isinstance(layer, PackedLinear) for layer in linear)
    if not packed and not any(layer.away for layer in linear):
        return 0
    brought = sum(layer.data.nbytes for layer in linear if isinstance(layer, PackedLinear) and layer.away)
    return values * size + brought + (min(values, AT_ONCE) * SCRATCH if packed else 0)


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
