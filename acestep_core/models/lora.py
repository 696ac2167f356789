"""Low-rank adapters: the change `scale * up @ down` beside a linear layer's weight, and the names files give it.

Source: LoRA, Hu et al. 2021 (arXiv:2106.09685).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from acestep_core.errors import AdapterError


class Delta(Protocol):
    """A change of a linear layer's weight, applied without forming it."""

    @property
    def shape(self) -> tuple[int, int]:
        """`(out, in)` of the layer it fits."""

    def weight(self) -> Tensor:
        """The change itself, `[out, in]` fp32."""

    def scaled(self, factor: float, like: Tensor) -> Delta:
        """`factor` times the change, in the dtype and on the device of `like`."""

    def __call__(self, x: Tensor) -> Tensor:
        """What it adds to the layer's output, `[..., in]` -> `[..., out]`."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """`up [out, r] @ down [r, in]`, the scale folded into `up`."""

    down: Tensor
    up: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.up.shape[0], self.down.shape[1]

    def weight(self) -> Tensor:
        return self.up.float() @ self.down.float()

    def scaled(self, factor: float, like: Tensor) -> LowRank:
        return LowRank(self.down.to(like), (factor * self.up.float()).to(like))

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.down), self.up)


@dataclass(frozen=True, eq=False)
class Full:
    """A whole difference `[out, in]`."""

    difference: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.difference.shape[0], self.difference.shape[1]

    def weight(self) -> Tensor:
        return self.difference.float()

    def scaled(self, factor: float, like: Tensor) -> Full:
        return Full((factor * self.difference.float()).to(like))

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.difference)


def joined(parts: Iterable[LowRank]) -> LowRank:
    """The sum of low-rank changes of one layer as one of the summed rank."""
    parts = list(parts)
    return LowRank(torch.cat([p.down for p in parts]), torch.cat([p.up for p in parts], dim=1))


def low_rank(parts: Mapping[str, Tensor], scale: float) -> LowRank:
    """From the tensors `down [r, in]` and `up [out, r]` of a file.

    A convolution's change is one of its patches, `in` times its kernel wide: `down [r, in, k]`, or `down [q, in]` and
    `mid [r, q, k]`.
    """
    if "down" not in parts or "up" not in parts:
        raise AdapterError("A LoRA layer lacks its down or its up matrix; the file is incomplete, so fetch it again.")
    down, up = rows(parts["down"]), rows(parts["up"])
    if "mid" in parts:
        down = through(parts["mid"], down)
    if down.shape[0] != up.shape[1]:
        raise AdapterError(
            f"A LoRA layer has matrices {list(down.shape)} and {list(up.shape)} that do not fit each other; "
            "fetch the file again."
        )
    return LowRank(down, scale * up.float())


def rank_of(parts: Mapping[str, Tensor]) -> int | None:
    """The rank of a LoRA layer: columns of `up`."""
    return rows(parts["up"]).shape[1] if "up" in parts else None


def rows(tensor: Tensor) -> Tensor:
    """A factor as a matrix; kernels of convolutions become columns. Raises AdapterError where it is none."""
    if tensor.ndim < 2 or not tensor.numel():
        raise AdapterError(f"A factor has the shape {list(tensor.shape)}, which is no matrix; fetch the file again.")
    return tensor.flatten(1)


def through(core: Tensor, inner: Tensor) -> Tensor:
    """Tucker form: `core [r, q, k]` over the inner factor `[q, in]` -> `[r, in k]` fp32."""
    if core.ndim < 2 or core.shape[1] != inner.shape[0]:
        raise AdapterError(
            f"A core {list(core.shape)} does not fit its factor {list(inner.shape)}; fetch the file again."
        )
    return torch.einsum("rq...,qi->ri...", core.float(), inner.float()).flatten(1)


# One tensor's name: the layer, what it is there, perhaps PEFT's adapter name, perhaps `.weight`.
_NAME = re.compile(
    r"(?P<layer>.+?)[._](?P<part>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up|lora_magnitude_vector|dora_scale"
    r"|lora_mid|lora_linear_layer\.down|lora_linear_layer\.up|lokr_w[12](?:_[ab])?|lokr_t2|hada_w[12]_[ab]|hada_t[12]"
    r"|alpha|scalar|diff)"
    r"(?:\.(?!(?:weight|bias)$)\w+)?(?:\.weight)?"
)
_PARTS = {
    "lora_A": "down",
    "lora_B": "up",
    "lora_down": "down",
    "lora_up": "up",
    "lora_mid": "mid",
    "lora.down": "down",
    "lora.up": "up",
    "lora_linear_layer.down": "down",
    "lora_linear_layer.up": "up",
    "lora_magnitude_vector": "magnitude",
    "dora_scale": "magnitude",
}


def split_name(key: str) -> tuple[str, str] | None:
    """`(layer, part)` of a tensor in an adapter file, in PEFT, kohya, ComfyUI, diffusers or LyCORIS style; None if it
    is something else. Parts: down, mid, up, magnitude, alpha, scalar, diff, lokr_w1, hada_w1_a, and so on."""
    match = _NAME.fullmatch(key)
    return (match["layer"], _PARTS.get(match["part"], match["part"])) if match else None


_PREFIXES = ("base_model.", "model.", "diffusion_model.", "transformer.", "decoder.", "module.", "dit.")
_FLAT_PREFIXES = (
    "lora_unet_",
    "lora_transformer_",
    "lycoris_",
    "diffusion_model_",
    "transformer_",
    "decoder_",
)
_DIFFUSERS = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "o_proj": "to_out.0"}
_CONVOLUTIONS = {"proj_in.1": "proj_in_conv"}


class LayerNames:
    """Finds a decoder's layer under any of the names that trainers and converters give it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.dotted: dict[str, str] = {}
        self.flat: dict[str, str] = {}
        for name in names:
            head, _, last = name.rpartition(".")
            theirs = f"{head}.{_DIFFUSERS[last]}" if last in _DIFFUSERS else _CONVOLUTIONS.get(name, name)
            for alias in (name, theirs):
                self.dotted[alias] = name
                self.flat[alias.replace(".", "_")] = name

    def find(self, layer: str) -> str | None:
        """The decoder's own name for `layer`, or None."""
        name = _without_prefixes(layer, _PREFIXES)
        return self.dotted.get(name) or self.flat.get(_without_prefixes(layer, _FLAT_PREFIXES))


def _without_prefixes(name: str, prefixes: tuple[str, ...]) -> str:
    found = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
    return name if found is None else _without_prefixes(name[len(found) :], prefixes)
