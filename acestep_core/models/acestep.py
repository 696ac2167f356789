"""One ACE-Step checkpoint: decoder, condition encoder, audio tokenizer and detokenizer, with upstream's parameter
names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acestep_core.models.audio_tokenizer import AudioDetokenizer, AudioTokenizer
from acestep_core.models.conditioner import ConditionEncoder
from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT
from acestep_core.models.memory import code_tokens, encoding_bytes


class AceStepModel(nn.Module):
    """Everything in upstream's `model.safetensors`, plus the silence latent that lies beside it.

    `silence_latent` is `[1, N, 64]`: encoded digital silence, the neutral value of sources, references and padding.
    """

    silence_latent: Tensor

    def __init__(self, config: AceStepConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = DiT(config)
        self.encoder = ConditionEncoder(config)
        self.tokenizer = AudioTokenizer(config)
        self.detokenizer = AudioDetokenizer(config)
        self.null_condition_emb = nn.Parameter(torch.zeros(1, 1, config.encoder_dim))
        self.register_buffer("silence_latent", torch.zeros(1, 0, config.audio_acoustic_hidden_dim), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.null_condition_emb.device

    @property
    def dtype(self) -> torch.dtype:
        return self.null_condition_emb.dtype

    def codes(self, latents: Tensor) -> Tensor:
        """Latents `[B, T, 64]` -> semantic codes `[B, ceil(T/5)]`."""
        return self.tokenizer.encode(latents, self.silence_latent)

    def hints(self, codes: Tensor) -> Tensor:
        """Semantic codes `[B, N]` -> 25 Hz latents `[B, 5 N, 64]` that tell the DiT what to play."""
        return self.detokenizer(self.tokenizer.quantizer.decode(codes).to(self.dtype))


def tokenizing_bytes(model: AceStepModel, frames: int) -> int:
    """What `codes` allocates for one song of `frames` latent frames."""
    tokens = code_tokens(model.config, frames)
    return encoding_bytes(model.config, tokens, tokens, model.dtype.itemsize)
