"""Sizes of networks that are measured, and such networks with random weights, made on the device.

Neither time nor memory depends on the weights' values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

    from acestep_core.models.acestep import AceStepModel
    from acestep_core.models.config import AceStepConfig
    from acestep_core.models.oobleck import OobleckVAE
    from acestep_core.models.qwen3 import Qwen3

Module = TypeVar("Module", bound="nn.Module")

DIT: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
             "num_key_value_heads": 2, "head_dim": 16, "fsq_dim": 64},
    "mid": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 8,
            "num_key_value_heads": 4, "head_dim": 64, "fsq_dim": 512},
    "2b": {},
    "xl": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 32, "num_attention_heads": 32,
           "encoder_hidden_size": 2048, "encoder_intermediate_size": 6144, "encoder_num_attention_heads": 16,
           "encoder_num_key_value_heads": 8},
}  # fmt: skip
"""Fields of `AceStepConfig`."""
LM = {  # hidden size, width of the MLP, layers, query heads, key heads, head width
    "tiny": (256, 768, 8, 4, 2, 64),
    "mid": (512, 1536, 8, 8, 4, 64),
    "0.6b": (1024, 3072, 28, 16, 8, 128),
    "1.7b": (2048, 6144, 28, 16, 8, 128),
    "4b": (2560, 9728, 36, 32, 8, 128),
}
LM_ROWS, TEXT_ROWS = 217_204, 151_680
"""Vocabularies of the language model and of the text encoder."""
VAE = {"tiny": 8, "mid": 16, "real": 128}
"""Channels of the widest layer."""


def random_model(size: str, device: torch.device, dtype: torch.dtype) -> AceStepModel:
    """DiT, condition encoder, audio tokenizer and detokenizer."""
    import torch

    from acestep_core.models.acestep import AceStepModel

    with torch.device("meta"):
        model = AceStepModel(config_of(size))
    return filled(model, device, dtype)


def config_of(size: str) -> AceStepConfig:
    from acestep_core.models.config import AceStepConfig

    return AceStepConfig(**DIT[size])


def random_qwen(size: str, rows: int, device: torch.device, dtype: torch.dtype) -> Qwen3:
    """A text encoder or language model with `rows` rows in its vocabulary; norms are 1."""
    import torch

    from acestep_core.models.qwen3 import Qwen3, Qwen3Config

    with torch.device("meta"):
        model = Qwen3(Qwen3Config(rows, *LM[size]))
    filled(model, device, dtype)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.fill_(1)
    return model


def random_vae(size: str, device: torch.device, dtype: torch.dtype) -> OobleckVAE:
    import torch

    from acestep_core.models.oobleck import OobleckConfig, OobleckVAE

    with torch.device("meta"):
        vae = OobleckVAE(OobleckConfig(encoder_hidden_size=VAE[size], decoder_channels=VAE[size]))
    return filled(vae, device, dtype)


def filled(module: Module, device: torch.device, dtype: torch.dtype) -> Module:
    """A module of the meta device, on `device` with random weights."""
    import torch

    module = module.to(dtype).to_empty(device=device).requires_grad_(False).eval()
    draws = torch.Generator(device).manual_seed(0)
    for parameter in module.parameters():
        parameter.normal_(std=0.02, generator=draws)
    return module


def weight_bytes(*modules: nn.Module) -> int:
    """What one call has to read at least."""
    return sum(parameter.nbytes for module in modules for parameter in module.parameters())
