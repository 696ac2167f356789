"""The diffusion transformer that turns noise and conditions into 25 Hz music latents.

Source: upstream `AceStepDiTModel`. What is constant over the sampling steps (keys and values of the condition, rotary
tables, the sliding-window band, the embedding of `t - r = 0`, small weights of all layers in one tensor) is computed
once per song by `DiT.prepare`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep_core.models.config import AceStepConfig
from acestep_core.models.layers import MLP, Attention, Band, RMSNorm, Rope, attend, head_scales


class TimestepEmbedding(nn.Module):
    """Sinusoidal embedding of a time in [0, 1], and the six AdaLN vectors made from it."""

    def __init__(self, dim: int, channels: int = 256) -> None:
        super().__init__()
        self.channels = channels
        self.linear_1 = nn.Linear(channels, dim)
        self.linear_2 = nn.Linear(dim, dim)
        self.time_proj = nn.Linear(dim, 6 * dim)

    def sinusoid(self, t: Tensor) -> Tensor:
        """`[B]` -> `[B, 256]`, cosine half first. `1000 t` is rounded to the model's dtype, as upstream does."""
        half = self.channels // 2
        frequency = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
        angle = (t * 1000)[:, None].float() * frequency
        return torch.cat([angle.cos(), angle.sin()], dim=-1)

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """`[B]` -> embedding `[B, dim]` and modulation `[B, 6, dim]`."""
        embedding = self.linear_2(F.silu(self.linear_1(self.sinusoid(t).to(t.dtype))))
        return embedding, self.time_proj(F.silu(embedding)).unflatten(1, (6, -1))


@dataclass(frozen=True)
class CrossGroup:
    """Rows `start:stop` of a batch, whose conditions have equal length; keys and values `[n, Hk, S, D]` per layer."""

    start: int
    stop: int
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


@dataclass(frozen=True)
class Prepared:
    """What does not change over the steps. Conditions of different length are never padded against each other."""

    groups: tuple[CrossGroup, ...]
    rope: Rope
    band: Band | None
    scales: Tensor  # [layers, H + Hk, D], see `head_scales`
    tables: Tensor  # [layers, 1, 6, dim], the layers' share of their modulation
    r_embedding: tuple[Tensor, Tensor]  # of t - r = 0

    @property
    def rows(self) -> int:
        return self.groups[-1].stop

    def joined(self, other: Prepared) -> Prepared:
        """Both batches as one, this one's rows first."""
        shifted = (replace(g, start=g.start + self.rows, stop=g.stop + self.rows) for g in other.groups)
        return replace(self, groups=(*self.groups, *shifted))


class DiTLayer(nn.Module):
    """Self-attention, cross-attention to the condition, feed-forward; the first and last are modulated by time."""

    def __init__(self, config: AceStepConfig) -> None:
        super().__init__()
        dim, eps = config.hidden_size, config.rms_norm_eps
        heads = (config.num_attention_heads, config.num_key_value_heads, config.head_dim)
        self.self_attn_norm = RMSNorm(dim, eps)
        self.self_attn = Attention(dim, *heads, eps)
        self.cross_attn_norm = RMSNorm(dim, eps)
        self.cross_attn = Attention(dim, *heads, eps, cross=True)
        self.mlp_norm = RMSNorm(dim, eps)
        self.mlp = MLP(dim, config.intermediate_size)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 6, dim))

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        prepared: Prepared,
        layer: int,
        band: Band | None,
        tap: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """One layer.

        Args:
            modulation: of all layers, see `DiT.embed_time`.
            layer: which one this is.
            tap: receives the queries `[B, H, L, D]` of its cross-attention.
        """
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation[layer].chunk(6, dim=1)
        h = torch.addcmul(shift, self.self_attn_norm(x), scale)
        x = torch.addcmul(x, self.self_attn(h, prepared.rope, prepared.scales[layer], band), gate)
        x = x + self.cross_attention(self.cross_attn_norm(x), prepared, layer, tap)
        h = torch.addcmul(mlp_shift, self.mlp_norm(x), mlp_scale)
        return torch.addcmul(x, self.mlp(h), mlp_gate)

    def cross_attention(
        self, x: Tensor, prepared: Prepared, layer: int, tap: Callable[[Tensor], None] | None
    ) -> Tensor:
        q = self.cross_attn.queries(x)
        if tap is not None:
            tap(q)
        parts = [attend(q[g.start : g.stop], g.keys[layer], g.values[layer]) for g in prepared.groups]
        return self.cross_attn.output((parts[0] if len(parts) == 1 else torch.cat(parts)).transpose(1, 2))


class DiT(nn.Module):
    """Predicts the velocity `noise - clean` of latents `[B, T, 64]` at time `t` (1 = noise, 0 = clean)."""

    def __init__(self, config: AceStepConfig) -> None:
        super().__init__()
        self.config = config
        dim, patch = config.hidden_size, config.patch_size
        # Index 1 of a Sequential, because that is where upstream's checkpoints have it.
        self.proj_in = nn.Sequential(nn.Identity(), nn.Conv1d(config.in_channels, dim, patch, stride=patch))
        self.time_embed = TimestepEmbedding(dim)
        self.time_embed_r = TimestepEmbedding(dim)
        self.condition_embedder = nn.Linear(config.encoder_dim, dim)
        self.layers = nn.ModuleList(DiTLayer(config) for _ in range(config.num_hidden_layers))
        self.norm_out = RMSNorm(dim, config.rms_norm_eps)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 2, dim))
        self.proj_out = nn.Sequential(
            nn.Identity(), nn.ConvTranspose1d(dim, config.audio_acoustic_hidden_dim, patch, stride=patch)
        )

    @property
    def blocks(self) -> list[DiTLayer]:
        """The layers, first to last."""
        return list(self.layers)  # type: ignore[arg-type]

    def prepare(self, conditions: Tensor | Sequence[Tensor], frames: int) -> Prepared:
        """Computes what stays the same over all steps.

        Args:
            conditions: `[B, S, D]`, or several `[n_i, S_i, D]` that together make the rows of the batch, in order. A
            tensor that
                was `expand`ed over its rows is computed once.
            frames: latent frames T.
        """
        conditions = [conditions] if isinstance(conditions, Tensor) else conditions
        groups, start = [], 0
        for condition in conditions:
            rows = condition.shape[0]
            shared = rows > 1 and condition.stride(0) == 0
            h = self.condition_embedder(condition[:1] if shared else condition)
            pairs = [layer.cross_attn.keys_values(h) for layer in self.blocks]
            if shared:
                pairs = [(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in pairs]
            groups.append(CrossGroup(start, start + rows, tuple(k for k, _ in pairs), tuple(v for _, v in pairs)))
            start += rows
        return replace(self.unconditioned(frames, conditions[0]), groups=tuple(groups))

    def unconditioned(self, frames: int, like: Tensor) -> Prepared:
        """What stays the same over all steps but for the conditions, in format and place of `like`."""
        config, device, dtype = self.config, like.device, like.dtype
        length = math.ceil(frames / config.patch_size)
        rope = Rope.at(torch.arange(length, device=device), config.head_dim, config.rope_theta, dtype)
        band = Band.build(length, config.sliding_window, device) if config.use_sliding_window else None
        r_embedding = self.time_embed_r(torch.zeros(1, device=device, dtype=dtype))
        scales = head_scales([layer.self_attn for layer in self.blocks])
        tables = torch.stack([layer.scale_shift_table for layer in self.blocks])
        return Prepared((), rope, band, scales, tables, r_embedding)

    def embed_time(self, t: Tensor, r: Tensor | None, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """Embedding `[B, dim]` of `t` plus that of `t - r`, and what it makes of every layer, `[layers, B, 6, dim]`:
        shift, scale and gate of self-attention, then of the feed-forward.
        """
        embedding, modulation = self.time_embed(t)
        r_embedding, r_modulation = prepared.r_embedding if r is None else self.time_embed_r(t - r)
        layers = prepared.tables + (modulation + r_modulation)
        layers[:, :, 1::3] += 1  # scales are written as their difference from one
        return embedding + r_embedding, layers

    def embed(self, x: Tensor, context: Tensor) -> Tensor:
        """Latents and context `[B, T, 64]`, `[B, T, 128]` -> patches `[B, ceil(T/2), dim]`; an odd T gets a zero
        frame.
        """
        h = torch.cat([context, x], dim=-1)
        h = F.pad(h, (0, 0, 0, -h.shape[1] % self.config.patch_size))
        return self.proj_in(h.transpose(1, 2)).transpose(1, 2)

    def forward(
        self, x: Tensor, t: Tensor, context: Tensor, condition: Tensor | Prepared, r: Tensor | None = None
    ) -> Tensor:
        """One denoiser call.

        Args:
            x: noisy latents `[B, T, 64]`.
            t: times `[B]`.
            context: source latents and chunk mask `[B, T, 128]`.
            condition: condition encoder output `[B, S, D]`, or what `prepare` made of it.
            r: end times `[B]` of a mean-flow interval; None means r = t, as in all inference.

        Returns:
            Velocity `[B, T, 64]`.
        """
        prepared = condition if isinstance(condition, Prepared) else self.prepare(condition, x.shape[1])
        embedding, modulation = self.embed_time(t, r, prepared)
        h = self.embed(x, context)
        for i, layer in enumerate(self.blocks):
            h = layer(h, modulation, prepared, i, prepared.band if self.config.is_sliding(i) else None)
        return self.output(h, embedding)[:, : x.shape[1]]

    def output(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Patches `[B, L, dim]` of the last layer and the embedding of the time -> velocity `[B, 2 L, 64]`."""
        shift, scale = (self.scale_shift_table + embedding.unsqueeze(1)).chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm_out(h), 1 + scale)
        return self.proj_out(h.transpose(1, 2)).transpose(1, 2)
