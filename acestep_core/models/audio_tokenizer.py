"""Semantic audio codes: 25 Hz latents -> 5 Hz codes (0..63999) -> 25 Hz hints for the DiT.

Source: upstream `AceStepAudioTokenizer` and `AudioTokenDetokenizer`; quantizer: Finite Scalar Quantization (Mentzer
et al. 2023, arXiv 2309.15505) in the residual form of vector-quantize-pytorch with one quantizer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from acestep_core.models.conditioner import Encoder
from acestep_core.models.config import AceStepConfig


class FSQ(nn.Module):
    """Rounds six projected numbers to fixed levels; together they are one code. Always computes in fp32."""

    def __init__(self, dim: int, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels
        self.project_in = nn.Linear(dim, len(levels))
        self.project_out = nn.Linear(len(levels), dim)

    def _levels(self, device: torch.device) -> Tensor:
        return torch.tensor(self.levels, dtype=torch.float32, device=device)

    def _basis(self, device: torch.device) -> Tensor:
        return torch.tensor([math.prod(self.levels[:i]) for i in range(len(self.levels))], device=device)

    def encode(self, x: Tensor) -> Tensor:
        """`[..., dim]` -> codes `[...]` (int64)."""
        weight, bias = self.project_in.weight.float(), self.project_in.bias.float()
        steps = self._levels(x.device) - 1
        limit = 1 + 1 / steps
        z = nn.functional.linear(x.float(), weight, bias)
        z = (limit * torch.tanh(z / limit)).clamp(-1, 1)
        digits = torch.floor(steps * (z + 1) / 2 + 0.5)
        return (digits.long() * self._basis(x.device)).sum(-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes `[...]` -> `[..., dim]` fp32."""
        levels = torch.tensor(self.levels, device=codes.device)
        digits = (codes.unsqueeze(-1) // self._basis(codes.device)) % levels
        values = 2 * digits.float() / (levels - 1) - 1
        return nn.functional.linear(values, self.project_out.weight.float(), self.project_out.bias.float())


class AttentionPooler(Encoder):
    """Five embedded frames -> the vector of a learned token put before them."""

    def __init__(self, config: AceStepConfig) -> None:
        super().__init__(config, config.encoder_dim, config.num_attention_pooler_hidden_layers)
        self.special_token = nn.Parameter(torch.zeros(1, 1, config.encoder_dim))

    def forward(self, x: Tensor) -> Tensor:
        """`[N, 5, D]` -> `[N, D]`."""
        token = self.special_token.expand(x.shape[0], -1, -1)
        return self.encode(torch.cat([token, self.embed_tokens(x)], dim=1))[:, 0]


class AudioTokenizer(nn.Module):
    """25 Hz latents -> 5 Hz codes."""

    def __init__(self, config: AceStepConfig) -> None:
        super().__init__()
        self.group = config.pool_window_size
        self.audio_acoustic_proj = nn.Linear(config.audio_acoustic_hidden_dim, config.encoder_dim)
        self.attention_pooler = AttentionPooler(config)
        self.quantizer = FSQ(config.fsq_dim, config.fsq_input_levels)

    def pool(self, latents: Tensor) -> Tensor:
        """`[B, T, 64]`, T a multiple of five -> `[B, T/5, D]`."""
        h = self.audio_acoustic_proj(latents)
        batch, frames, dim = h.shape
        return self.attention_pooler(h.reshape(-1, self.group, dim)).view(batch, frames // self.group, dim)

    def encode(self, latents: Tensor, silence: Tensor) -> Tensor:
        """`[B, T, 64]` -> codes `[B, ceil(T/5)]`.

        Args:
            latents: any number of frames; the last group is filled up with the first frames of `silence`.
            silence: `[1, >= 4, 64]`.
        """
        missing = -latents.shape[1] % self.group
        if missing:
            fill = silence[:, :missing].to(latents).expand(latents.shape[0], -1, -1)
            latents = torch.cat([latents, fill], dim=1)
        return self.quantizer.encode(self.pool(latents))


class AudioDetokenizer(Encoder):
    """Quantized 5 Hz vectors -> 25 Hz hints."""

    def __init__(self, config: AceStepConfig) -> None:
        super().__init__(config, config.encoder_dim, config.num_attention_pooler_hidden_layers)
        self.special_tokens = nn.Parameter(torch.zeros(1, config.pool_window_size, config.encoder_dim))
        self.proj_out = nn.Linear(config.encoder_dim, config.audio_acoustic_hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, N, D]` -> `[B, 5 N, 64]`."""
        batch, count, dim = x.shape
        h = self.embed_tokens(x).reshape(batch * count, 1, dim) + self.special_tokens
        return self.proj_out(self.encode(h)).reshape(batch, -1, self.proj_out.out_features)
