"""Building blocks that all ACE-Step networks share: RMSNorm, RoPE, grouped-query attention, SwiGLU.

Parameter names are those of upstream's checkpoints, so a state dict loads without renaming. Source: upstream's
Qwen3-style layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep_core.devices import has_native_gqa


class RMSNorm(nn.Module):
    """`x / rms(x) * weight` over the last axis."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class MLP(nn.Module):
    """SwiGLU feed-forward."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden, bias=False)
        self.up_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


def rope_table(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin `[..., L, head_dim]` of rotary embedding at `positions` `[..., L]`, in rotate-half layout."""
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device) / head_dim
    angles = positions.float().unsqueeze(-1) * theta**-exponent
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates `x` `[B, H, L, D]` by position; `cos`, `sin` are `[L, D]` or `[B, 1, L, D]`."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention of `[B, H, L, D]` queries over `[B, Hk, S, D]` keys; `mask` is boolean (True = may attend) or
    additive.
    """
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        if mask is None and has_native_gqa(q.device):
            return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


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


def attend_band(q: Tensor, k: Tensor, v: Tensor, band: Band) -> Tensor:
    """Attention of `[B, H, L, D]` within a sliding window."""
    batch, heads, length, dim = q.shape
    size, blocks = band.size, band.mask.shape[0]
    groups = heads // k.shape[1]
    tail = blocks * size - length

    def windows(x: Tensor) -> Tensor:  # [B, Hk, L, D] -> [B * blocks, H, 3 * size, D]
        x = F.pad(x, (0, 0, size, tail + size)).unfold(2, 3 * size, size)  # [B, Hk, blocks, D, 3 * size]
        x = x.permute(0, 2, 1, 4, 3)
        if groups > 1:
            x = x.unsqueeze(3).expand(-1, -1, -1, groups, -1, -1)
        return x.reshape(batch * blocks, heads, 3 * size, dim)

    q = F.pad(q, (0, 0, 0, tail)).view(batch, heads, blocks, size, dim).transpose(1, 2).reshape(-1, heads, size, dim)
    mask = band.mask if batch == 1 else band.mask.repeat(batch, 1, 1, 1)
    out = F.scaled_dot_product_attention(q, windows(k), windows(v), attn_mask=mask)
    out = out.view(batch, blocks, heads, size, dim).transpose(1, 2).reshape(batch, heads, blocks * size, dim)
    return out[:, :, :length]


class Attention(nn.Module):
    """Grouped-query attention with RMS-normalised queries and keys, to itself or to a condition."""

    def __init__(self, dim: int, heads: int, kv_heads: int, head_dim: int, eps: float) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.q_proj = nn.Linear(dim, heads * head_dim, bias=False)
        self.k_proj = nn.Linear(dim, kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(dim, kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(heads * head_dim, dim, bias=False)
        self.q_norm = RMSNorm(head_dim, eps)
        self.k_norm = RMSNorm(head_dim, eps)

    def split(self, x: Tensor) -> Tensor:  # [B, L, H * D] -> [B, L, H, D]
        return x.unflatten(-1, (-1, self.head_dim))

    def queries(self, x: Tensor) -> Tensor:
        """`[B, L, dim]` -> normalised queries `[B, H, L, D]`."""
        return self.q_norm(self.split(self.q_proj(x))).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, S, dim]` -> normalised keys and values `[B, Hk, S, D]`."""
        return self.k_norm(self.split(self.k_proj(x))).transpose(1, 2), self.split(self.v_proj(x)).transpose(1, 2)

    def output(self, x: Tensor) -> Tensor:
        """Heads `[B, H, L, D]` -> `[B, L, dim]`."""
        return self.o_proj(x.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | Band | None = None) -> Tensor:
        """Self-attention of `[B, L, dim]`."""
        k, v = self.keys_values(x)
        q, k = apply_rope(self.queries(x), cos, sin), apply_rope(k, cos, sin)
        return self.output(attend_band(q, k, v, mask) if isinstance(mask, Band) else attend(q, k, v, mask))


class EncoderLayer(nn.Module):
    """Bidirectional pre-norm transformer layer of the lyric, timbre and audio-code encoders."""

    def __init__(self, dim: int, hidden: int, heads: int, kv_heads: int, head_dim: int, eps: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads, kv_heads, head_dim, eps)
        self.mlp = MLP(dim, hidden)
        self.input_layernorm = RMSNorm(dim, eps)
        self.post_attention_layernorm = RMSNorm(dim, eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | Band | None = None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))
