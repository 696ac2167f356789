"""The condition encoder: caption, lyrics and reference timbre become the sequence the DiT attends to.

Source: upstream `AceStepConditionEncoder`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acestep_core.models.config import AceStepConfig
from acestep_core.models.layers import Band, RMSNorm, Rope, TransformerLayer, head_scales


class Encoder(nn.Module):
    """Linear embedding, transformer layers (even ones within the sliding window), final norm."""

    def __init__(self, config: AceStepConfig, channels: int, layers: int) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Linear(channels, config.encoder_dim)
        self.layers = nn.ModuleList(TransformerLayer(**config.encoder_layer) for _ in range(layers))
        self.norm = RMSNorm(config.encoder_dim, config.rms_norm_eps)

    def encode(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """Runs the layers on embedded `[B, L, D]`. `mask` `[B, L]` marks real tokens; None means all are."""
        length, config = h.shape[1], self.config
        rope = Rope.at(torch.arange(length, device=h.device), config.head_dim, config.rope_theta, h.dtype)
        scales = head_scales([layer.self_attn for layer in self.layers])  # type: ignore[misc]
        full: Tensor | None = None
        sliding: Tensor | Band | None
        if mask is None:
            sliding = Band.build(length, config.sliding_window, h.device)
        else:
            full, sliding = padding_masks(mask, config.sliding_window, h.dtype)
        for i, layer in enumerate(self.layers):
            h = layer(h, rope, scales[i], sliding if config.is_sliding(i) else full)
        return self.norm(h)


def padding_masks(mask: Tensor, window: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Additive masks `[B, 1, L, L]` of padded full and sliding-window attention.

    The lowest finite number stands for "no", so a row without any allowed key attends to all evenly, as upstream's
    does.
    """
    length = mask.shape[1]
    keep = mask.bool()[:, None, None, :].expand(-1, 1, length, -1)
    position = torch.arange(length, device=mask.device)
    near = (position[:, None] - position[None, :]).abs() <= window
    zero = torch.zeros((), dtype=dtype, device=mask.device)
    lowest = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=mask.device)
    return torch.where(keep, zero, lowest), torch.where(keep & near, zero, lowest)


class LyricEncoder(Encoder):
    """Lyric token embeddings `[B, L, text_dim]` -> `[B, L, D]`."""

    def __init__(self, config: AceStepConfig) -> None:
        super().__init__(config, config.text_hidden_dim, config.num_lyric_encoder_hidden_layers)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.encode(self.embed_tokens(x), mask)


class TimbreEncoder(Encoder):
    """Reference latents `[N, T, 64]` -> one timbre vector each, `[N, D]`.

    XL puts a learned token in front and reads it; 2B reads the first frame and never uses that token.
    """

    def __init__(self, config: AceStepConfig) -> None:
        super().__init__(config, config.timbre_hidden_dim, config.num_timbre_encoder_hidden_layers)
        self.special_token = nn.Parameter(torch.zeros(1, 1, config.encoder_dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(self._embedded(x))[:, 0]

    def _embedded(self, x: Tensor) -> Tensor:
        h = self.embed_tokens(x)
        return torch.cat([self.special_token.expand(h.shape[0], -1, -1), h], dim=1) if self.config.is_xl else h


class ConditionEncoder(nn.Module):
    """Caption states, lyric embeddings and references -> `[1, S, D]`, in the order lyrics, timbres, caption."""

    def __init__(self, config: AceStepConfig) -> None:
        super().__init__()
        self.text_projector = nn.Linear(config.text_hidden_dim, config.encoder_dim, bias=False)
        self.lyric_encoder = LyricEncoder(config)
        self.timbre_encoder = TimbreEncoder(config)

    def forward(self, text: Tensor, lyrics: Tensor, references: Tensor) -> Tensor:
        """Encodes one song, so nothing is ever padded. The parts, made alone and joined, are the same bits.

        Args:
            text: caption hidden states `[1, Lt, text_dim]`.
            lyrics: lyric token embeddings `[1, Ll, text_dim]`.
            references: reference latents `[N, T, 64]`, N >= 1.

        Returns:
            `[1, Ll + N + Lt, D]`.
        """
        timbre = self.timbre_encoder(references).unsqueeze(0)
        return joined(self.lyric_encoder(lyrics), timbre, self.text_projector(text))


def joined(lyrics: Tensor, timbre: Tensor, text: Tensor) -> Tensor:
    """What the DiT attends to, `[..., S, D]`, from its three parts."""
    return torch.cat([lyrics, timbre, text], dim=-2)
