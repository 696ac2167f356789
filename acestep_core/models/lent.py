"""Models that somebody else owns: a host lends our networks the weights it has loaded, changed and placed itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from acestep_core.checkpoints import catalog, shapes
from acestep_core.checkpoints.layouts import classified, is_xl
from acestep_core.checkpoints.weights import assign, require_match
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.language_model import LanguageModel
from acestep_core.models.oobleck import OobleckConfig
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from acestep_core.models.text import TextEncoder


class Lender(Protocol):
    """Who owns the weights of a handle, in place of a file."""

    def resident(self, working: Callable[[Any], int]) -> AbstractContextManager[Any]:
        """What `ModelManager.resident` gives, until the block ends.

        Args:
            working: bytes that the caller will allocate beside the weights.
        """


def lent_model(tensors: Mapping[str, Tensor], source: Path, variant: str | None, silence: Tensor) -> AceStepModel:
    """DiT, encoder, audio tokenizer and detokenizer over tensors in upstream's names, which are not copied.

    Args:
        source: what the weights are called; `variant`: what they are, see `catalog.classify`.
        silence: the silence latent `[1, N, 64]`.
    """
    config = shapes.dit_config(_shapes(tensors), source)
    chosen = catalog.classify(config, is_xl(config), source.name, variant)
    config |= {"is_turbo": chosen.is_turbo, "model_version": chosen.kind}
    require_match(shapes.dit_shapes(config), _shapes(tensors), source)
    with torch.device("meta"):
        model = AceStepModel(AceStepConfig.from_json(config))
    model.silence_latent = silence
    return _filled(model, tensors, source)


def variant_of(tensors: Mapping[str, Tensor], source: Path, variant: str | None) -> catalog.Variant:
    """What a DiT is; raises CheckpointError where neither its name nor the caller says."""
    config = shapes.dit_config(_shapes(tensors), source)
    return classified({}, is_xl(config), source, variant)


def lent_text(tensors: Mapping[str, Tensor], source: Path, tokenizer: Tokenizer) -> TextEncoder:
    """The text encoder over tensors in upstream's names, which are not copied."""
    return TextEncoder(_qwen(tensors, source), tokenizer)


def lent_lm(tensors: Mapping[str, Tensor], source: Path, tokenizer: Tokenizer) -> LanguageModel:
    """The language model over tensors in upstream's names, which are not copied."""
    return LanguageModel(_qwen(tensors, source), tokenizer)


class LentOobleck:
    """Somebody else's Oobleck module, which computes itself, with the interface of `OobleckVAE`."""

    def __init__(self, module: Any, config: OobleckConfig, device: torch.device, dtype: torch.dtype) -> None:
        self.module, self.config, self.device, self.dtype = module, config, device, dtype

    def posterior(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        mean, scale = self.module.encoder(audio).float().chunk(2, dim=1)
        return mean, nn.functional.softplus(scale) + 1e-4

    def encode(self, audio: Tensor) -> Tensor:
        return self.posterior(audio)[0]

    def decode(self, latents: Tensor) -> Tensor:
        return self.module.decoder(latents)


def _qwen(tensors: Mapping[str, Tensor], source: Path) -> Qwen3:
    config = shapes.qwen_config(_shapes(tensors), source)
    with torch.device("meta"):
        model = Qwen3(Qwen3Config.from_json(config))
    return _filled(model, tensors, source)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _filled(module: Any, tensors: Mapping[str, Tensor], source: Path) -> Any:
    plain = {name: nn.Parameter(tensor.detach(), requires_grad=False) for name, tensor in tensors.items()}
    assign(module, plain, source)
    return module.eval().requires_grad_(False)
