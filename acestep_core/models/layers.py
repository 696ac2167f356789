"""The one transformer family of all ACE-Step networks: RMSNorm, RoPE, grouped-query attention, SwiGLU.

Decoder, condition encoder, audio tokenizer, text encoder and language model are built from these. Parameter names are
those of upstream's checkpoints, so a state dict loads without renaming. Inside attention, heads come after positions,
`[B, L, H, D]`: projections, norms and rotations then work on memory as it lies. Source: Qwen3 technical report,
arXiv:2505.09388 (RMSNorm before each block and per query and key head, rotary positions, no biases).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep_core import devices
from acestep_core.models.linear import Linear, SideBySide


class RMSNorm(nn.Module):
    """`x / rms(x) * weight` over the last axis."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class MLP(SideBySide):
    """SwiGLU feed-forward."""

    group = ("gate_proj", "up_proj")

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = Linear(dim, hidden)
        self.up_proj = Linear(dim, hidden)
        self.down_proj = Linear(hidden, dim)
        self.lay_out()

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.product(x).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class Rope(NamedTuple):
    """Rotary embedding of given positions: `[L, 1, D]` or `[B, L, 1, D]`, in rotate-half layout.

    The first half of `sin` is negated, so that rotating is `x * cos + swap(x) * sin`.
    """

    cos: Tensor
    sin: Tensor

    @classmethod
    def at(cls, positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> Rope:
        """The embedding of `positions`, `[L]` or `[B, L]`."""
        exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device) / head_dim
        frequency = theta**-exponent
        angles = positions.float()[..., None, None] * torch.cat([-frequency, frequency])
        return cls(angles.cos().to(dtype), angles.sin().to(dtype))

    def rotate(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Rotates `x` `[B, L, H, D]` by position, into `out` if it is given."""
        first, second = x.chunk(2, dim=-1)
        return torch.addcmul(x * self.cos, torch.cat([second, first], dim=-1), self.sin, out=out)


_SCORES = 1 << 22
"""Of queries for keys, that exist at a time where attention goes step by step."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
    """Softmax attention of `[B, H, L, D]` queries over `[B, Hk, S, D]` keys.

    Args:
        mask: boolean (True = may attend) or additive, `[B or 1, 1, L, S]`.
        causal: each query sees the keys up to its own position; for S = L, without a mask.
    """
    groups = q.shape[1] // k.shape[1]
    able = devices.limits(q.device)
    if not able.fused_attention and (mask is not None or causal or q.shape[2] <= 8):
        return _attend_step_by_step(q, k, v, mask, causal)
    if groups > 1 and q.shape[2] == 1:
        # The query heads that share a key head become query positions: no kernel has to know about groups.
        shared = q.reshape(q.shape[0], k.shape[1], groups, q.shape[3])
        return F.scaled_dot_product_attention(shared, k, v, attn_mask=mask).reshape(q.shape)
    if groups > 1:
        if mask is None and able.grouped_attention:
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)


def _attend_step_by_step(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """The same out of two products and a softmax, for devices whose fused attention is not to be trusted.

    Queries go in parts, so that the scores, which fused attention never holds, take little memory at any length.
    """
    if causal:
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()[None, None]
    size = max(1, _SCORES // (q.shape[0] * q.shape[1] * k.shape[2]))
    masks = [mask] if mask is None or mask.shape[2] == 1 else mask.split(size, dim=2)
    q = q.unflatten(1, (k.shape[1], -1))  # [B, Hk, groups, L, D]: no copies of keys and values
    keys, values, found = k.unsqueeze(2).transpose(-1, -2), v.unsqueeze(2), []
    for part, of_part in zip(q.split(size, dim=3), cycle(masks)):
        scores = (part @ keys).mul_(q.shape[-1] ** -0.5)  # in place, or there would be a third copy of them
        if of_part is not None:
            seen = of_part.unsqueeze(2)
            scores = scores.masked_fill_(~seen, -math.inf) if seen.dtype == torch.bool else scores + seen
        found.append(scores.softmax(-1) @ values)
    return torch.cat(found, dim=3).flatten(1, 2)


def scores_bytes(device: torch.device) -> int:
    """What attention holds on a device beside what `memory` counts, at most: scores, where no kernel keeps them."""
    return 0 if devices.limits(device).fused_attention else 2 * 4 * _SCORES


@dataclass(frozen=True)
class Band:
    """Sliding-window attention in blocks: block `i` of `size` queries sees keys of blocks `i-1`, `i`, `i+1` only.

    Work and memory grow with the length instead of its square. `mask` is `[blocks, 1, size, 3*size]`.
    """

    size: int
    length: int
    mask: Tensor

    @classmethod
    def build(cls, length: int, window: int, device: torch.device) -> Band | None:
        """The band for `|i - j| <= window`, or None where the window covers everything."""
        if length <= window + 1:
            return None
        blocks = math.ceil(length / window)
        query = torch.arange(blocks * window, device=device).view(blocks, window, 1)
        first_key = (torch.arange(blocks, device=device) - 1) * window
        key = first_key.view(-1, 1, 1) + torch.arange(3 * window, device=device)
        mask = ((query - key).abs() <= window) & (key >= 0) & (key < length)
        # Rows that only fill up the last block attend to its first key: softmax over nothing yields NaN.
        mask[..., window] |= ~mask.any(-1)
        return cls(window, length, mask.unsqueeze(1))


def attend_band(qkv: Tensor, heads: int, band: Band) -> Tensor:
    """Attention within a sliding window: queries of `heads` heads, keys and values `[B, L, H + 2 Hk, D]` ->
    `[B, L, H, D]`.
    """
    batch, length, total, dim = qkv.shape
    size, blocks, kv_heads = band.size, band.mask.shape[0], (total - heads) // 2
    qkv = F.pad(qkv, (0, 0, 0, 0, size, (blocks + 1) * size - length))
    # The batch joins the heads, for which one mask serves all.
    q = qkv[:, size:-size, :heads].unflatten(1, (blocks, size)).permute(1, 0, 3, 2, 4).reshape(blocks, -1, size, dim)
    kv = qkv[:, :, heads:].unflatten(2, (2, kv_heads, 1)).expand(-1, -1, -1, -1, heads // kv_heads, -1)
    windows = kv.unfold(1, 3 * size, size)  # [B, blocks, 2, Hk, groups, D, 3 * size]
    k, v = windows.permute(2, 1, 0, 3, 4, 6, 5).reshape(2, blocks, -1, 3 * size, dim)
    out = attend(q, k, v, band.mask)
    out = out.unflatten(1, (batch, heads)).permute(1, 0, 3, 2, 4).reshape(batch, blocks * size, heads, dim)
    return out[:, :length]


class KVSlots(NamedTuple):
    """Where a layer keeps keys and values: a buffer `[B, 2 Hk, S, D]`, keys first, and the columns `[L]` to fill."""

    buffer: Tensor
    slots: Tensor


class Attention(SideBySide):
    """Grouped-query attention with RMS-normalised queries and keys, to itself or to a condition.

    Args:
        causal: without a mask, a position sees itself and what comes before it only.
        cross: queries come from one sequence, keys and values from another.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        eps: float,
        *,
        causal: bool = False,
        cross: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim, self.eps, self.causal = heads, kv_heads, head_dim, eps, causal
        self.group = ("k_proj", "v_proj") if cross else ("q_proj", "k_proj", "v_proj")
        self.q_proj = Linear(dim, heads * head_dim)
        self.k_proj = Linear(dim, kv_heads * head_dim)
        self.v_proj = Linear(dim, kv_heads * head_dim)
        self.o_proj = Linear(heads * head_dim, dim)
        self.q_norm = RMSNorm(head_dim, eps)
        self.k_norm = RMSNorm(head_dim, eps)
        self.lay_out()

    def queries(self, x: Tensor) -> Tensor:
        """`[B, L, dim]` -> normalised queries `[B, H, L, D]`."""
        return self.q_norm(self.q_proj(x).unflatten(-1, (-1, self.head_dim))).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, S, dim]` -> normalised keys and values `[B, Hk, S, D]`."""
        k, v = self.product(x).unflatten(-1, (2, -1, self.head_dim)).unbind(2)
        # Values of their own, for as slices of the product they would keep the raw keys in memory for a whole song.
        return self.k_norm(k).transpose(1, 2), v.contiguous().transpose(1, 2)

    def output(self, heads: Tensor) -> Tensor:
        """Heads `[B, L, H, D]` -> `[B, L, dim]`."""
        return self.o_proj(heads.flatten(2))

    def forward(
        self,
        x: Tensor,
        rope: Rope,
        scales: Tensor,
        mask: Tensor | Band | None = None,
        cache: KVSlots | None = None,
    ) -> Tensor:
        """Self-attention of `[B, L, dim]`.

        Args:
            scales: of this layer's queries and keys `[H + Hk, D]`, see `head_scales`.
            cache: is filled; with a mask, attention then reads its first columns, as many as the mask is wide.
        """
        # A product of a few rows on a CPU may come transposed, which fast attention kernels do not read.
        qkv = self.product(x).contiguous().view(*x.shape[:2], -1, self.head_dim)
        qkv = self._rotated(qkv, rope, scales)
        if isinstance(mask, Band):
            return self.output(attend_band(qkv, self.heads, mask))
        q, kv = qkv.transpose(1, 2).split([self.heads, 2 * self.kv_heads], dim=1)
        if cache is not None:
            cache.buffer[:, :, cache.slots] = kv
            if mask is not None:
                kv = cache.buffer[:, :, : mask.shape[-1]]
        k, v = kv.chunk(2, dim=1)
        return self.output(attend(q, k, v, mask, causal=self.causal and mask is None).transpose(1, 2))

    def _rotated(self, qkv: Tensor, rope: Rope, scales: Tensor) -> Tensor:
        """`[B, L, H + 2 Hk, D]` with queries and keys normalised and rotated."""
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], dim=2)
        # The norm reads values too, and makes nothing of them: it is one kernel only for memory without gaps.
        normed = F.rms_norm(qkv, (self.head_dim,), None, self.eps)[:, :, : qk.shape[2]] * scales
        if torch.is_grad_enabled():
            return torch.cat([rope.rotate(normed), v], dim=2)
        rope.rotate(normed, out=qk)
        return qkv


class TransformerLayer(nn.Module):
    """Pre-norm transformer layer of the language model and of the lyric, timbre, text and audio-code encoders."""

    def __init__(
        self, dim: int, hidden: int, heads: int, kv_heads: int, head_dim: int, eps: float, *, causal: bool = False
    ) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads, kv_heads, head_dim, eps, causal=causal)
        self.mlp = MLP(dim, hidden)
        self.input_layernorm = RMSNorm(dim, eps)
        self.post_attention_layernorm = RMSNorm(dim, eps)

    def forward(
        self,
        x: Tensor,
        rope: Rope,
        scales: Tensor,
        mask: Tensor | Band | None = None,
        cache: KVSlots | None = None,
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rope, scales, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


def head_scales(attentions: Sequence[Attention]) -> Tensor:
    """The norms' weights of all query and key heads of equal self-attentions, `[layers, H + Hk, D]`."""
    weights = torch.stack([norm.weight for a in attentions for norm in (a.q_norm, a.k_norm)])
    of_queries, of_keys = weights.view(-1, 2, 1, weights.shape[-1]).unbind(1)
    heads, kv_heads = attentions[0].heads, attentions[0].kv_heads
    return torch.cat([of_queries.expand(-1, heads, -1), of_keys.expand(-1, kv_heads, -1)], dim=1)
