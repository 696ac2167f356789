"""Other programs' networks over the very same weights, as far as they are installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.models.acestep import AceStepModel
    from acestep_core.models.oobleck import OobleckVAE
    from acestep_core.models.qwen3 import Qwen3

DIFFUSERS, TRANSFORMERS = "diffusers", "transformers"


def has(package: str) -> bool:
    return find_spec(package) is not None


def diffusers_dit(model: AceStepModel) -> Any:
    """Its decoder as diffusers' class."""
    from diffusers import AceStepTransformer1DModel

    from acestep_core.checkpoints import keymaps, shapes
    from acestep_core.checkpoints.writing import component_config

    known = {name: value for name, value in asdict(model.config).items() if value is not None and value != ()}
    layers = shapes.layer_types(model.config.num_hidden_layers)
    config = component_config(shapes.DIT_DEFAULTS | known | {"layer_types": layers}, "transformer")
    peer = AceStepTransformer1DModel.from_config(config)
    tensors = model.decoder.state_dict()
    named = {keymaps.dit_to_diffusers(f"decoder.{name}")[1]: tensor for name, tensor in tensors.items()}
    return _with(peer, named, model.null_condition_emb)


def diffusers_vae(vae: OobleckVAE) -> Any:
    """Its decoder and, in the one width that diffusers can build, its encoder; with weight normalisation, as it is
    loaded there.
    """
    import torch
    from diffusers import AutoencoderOobleck

    config = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(vae.config).items()}
    with torch.device("meta"):
        peer: Any = AutoencoderOobleck(**config | {"encoder_hidden_size": 128})
    if vae.config.encoder_hidden_size != 128:
        peer.encoder = None
    known = set(peer.state_dict())
    tensors: dict[str, Tensor] = {}
    for name, tensor in vae.state_dict().items():
        if name.startswith("encoder.") and peer.encoder is None:
            continue
        if f"{name}_g" in known:
            tensors[f"{name}_v"] = tensor
            tensors[f"{name}_g"] = tensor.flatten(1).norm(dim=1).view(-1, 1, 1)
        else:
            tensors[name] = tensor
    return _with(peer, tensors, vae.decoder.conv1.weight)


def transformers_qwen(model: Qwen3) -> Any:
    """The backbone as transformers' class."""
    from transformers import Qwen3Config as TheirConfig
    from transformers import Qwen3Model

    values: dict[str, Any] = asdict(model.config) | {"attn_implementation": "sdpa"}
    return _with(Qwen3Model(TheirConfig(**values)), model.state_dict(), model.norm.weight)


def _with(peer: Any, tensors: Mapping[str, Tensor], like: Tensor) -> Any:
    peer.load_state_dict(tensors, assign=True)
    return peer.to(like.device, like.dtype).eval().requires_grad_(False)
