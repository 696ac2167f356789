"""Frozen layers in fewer bits, so that a large model can be trained on a small card.

Only weights are stored so; what a layer computes is in the network's own format. A weight is made whole again for the
product and once more for its gradient, one layer at a time, and never kept in between. `int8` holds a scale for each
row; `nf4` is QLoRA's 4-bit format (Dettmers et al. 2023, arXiv:2305.14314), by bitsandbytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep_core.errors import InvalidInput
from acestep_core.io.terminal import pip_install
from acestep_core.models.dit import DiT
from acestep_core.models.linear import Linear
from acestep_core.train.settings import KINDS, TrainSettings

_BLOCK = 64
"""Weights that share a scale in nf4."""
_SCALE = 4
"""Bytes of a scale."""
WHOLE: Final[Mapping[str, tuple[str, ...]]] = {"int8": ("dora",), "nf4": ("dora", "lokr")}
"""Kinds of adapters that look at a layer's weight: a DoRA measures it, a LoKr takes its shape."""


class CompactLinear(nn.Linear):
    """A frozen linear layer without bias. It is a `Linear` by type, so that PEFT and our adapters know it as one.

    Attributes:
        weight: int8 `[out, in]`, or for nf4 two weights a byte; `scale` fp32: of each row, or of each block.
    """

    scale: Tensor

    def __init__(self, layer: nn.Linear, form: str) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=False, device="meta")
        self.form = form
        packed, scale = _packed(layer.weight.detach(), form)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` -> `[..., out]`."""
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        return _Product.apply(x, self)  # type: ignore[no-any-return]

    def whole(self, dtype: torch.dtype) -> Tensor:
        """The weight `[out, in]`."""
        if self.form == "int8":
            return self.weight.to(dtype).mul_(self.scale.to(dtype))
        from bitsandbytes.functional import QuantState, dequantize_4bit, get_4bit_type

        code, shape = get_4bit_type("nf4", device=self.weight.device), torch.Size((self.out_features, self.in_features))
        state = QuantState(self.scale, shape=shape, code=code, blocksize=_BLOCK, quant_type="nf4", dtype=dtype)
        return dequantize_4bit(self.weight, state)  # type: ignore[no-any-return]


class _Product(torch.autograd.Function):
    """`x @ weight.T` that keeps nothing for its gradient, which needs no more than the layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: CompactLinear) -> Tensor:
        ctx.layer = layer
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x, layer.whole(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        return grad @ ctx.layer.whole(grad.dtype), None


def quantise(decoder: DiT, form: str) -> None:
    """Stores the layers of a decoder in `form`, `int8` or `nf4`; `none` leaves them. Embeddings stay as they are."""
    if form == "none":
        return
    for parent in list(decoder.layers.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is Linear:
                setattr(parent, name, CompactLinear(layer, form))


def saved_bytes(decoder: DiT, form: str) -> int:
    """How much smaller `quantise` would make a decoder."""
    layers = [layer for layer in decoder.layers.modules() if type(layer) is Linear]
    count, rows = sum(layer.weight.numel() for layer in layers), sum(layer.out_features for layer in layers)
    smaller = count + _SCALE * rows if form == "int8" else count // 2 + _SCALE * count // _BLOCK
    return sum(layer.weight.nbytes for layer in layers) - smaller


def largest_whole(decoder: DiT, size: int) -> int:
    """Bytes of the largest weight that is made whole while a network with numbers of `size` bytes computes."""
    layers = [layer for layer in decoder.layers.modules() if isinstance(layer, CompactLinear)]
    return max((layer.in_features * layer.out_features * size for layer in layers), default=0)


def check_quantised(settings: TrainSettings) -> None:
    """Raises InvalidInput where a package is missing, or the adapter needs whole weights."""
    form = settings.fine.quantize
    if form == "none":
        return
    kind = settings.adapter.kind
    if kind in WHOLE[form]:
        others = " or ".join(name for name in KINDS if name not in WHOLE[form])
        raise InvalidInput(
            f"The kind {kind} cannot learn beside weights in {form}; choose {others}, or set quantize to none."
        )
    if form == "nf4" and find_spec("bitsandbytes") is None:
        raise InvalidInput(
            f"Layers in nf4 need bitsandbytes; install it with `{pip_install('bitsandbytes')}`, "
            "or set quantize to int8."
        )


def _packed(weight: Tensor, form: str) -> tuple[Tensor, Tensor]:
    if form == "int8":
        scale = weight.float().abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
        return (weight.float() / scale).round().to(torch.int8), scale
    from bitsandbytes.functional import quantize_4bit

    packed, state = quantize_4bit(weight.contiguous(), blocksize=_BLOCK, quant_type="nf4", compress_statistics=False)
    return packed, state.absmax
