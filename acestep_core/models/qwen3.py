"""Qwen3, the transformer behind both the 5 Hz language model and the text encoder.

State-dict keys are those of the backbone without a `model.` prefix (`embed_tokens.weight`,
`layers.N.self_attn.q_proj.weight`, ..., `norm.weight`). The output head is tied: logits are hidden states times
`embed_tokens.weight`, so a caller may multiply with any slice of its rows and skip the rest of the vocabulary.

Source: Qwen3 technical report, arXiv:2505.09388.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from acestep_core.errors import CheckpointError
from acestep_core.models.layers import KVSlots, RMSNorm, Rope, TransformerLayer, head_scales
from acestep_core.models.linear import project


@dataclass(frozen=True)
class Qwen3Config:
    """Dimensions of one Qwen3 backbone. Field names follow the published `config.json`."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int = 128
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise CheckpointError(
                f"A Qwen3 config has {self.num_attention_heads} query heads for {self.num_key_value_heads} key heads; "
                "use a config where the first is a multiple of the second."
            )

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> Qwen3Config:
        """Reads a Hugging Face `config.json`. Raises CheckpointError where the model is not a plain Qwen3."""
        if config.get("attention_bias") or config.get("use_sliding_window"):
            raise CheckpointError(
                "This config asks for attention biases or a sliding window, which Qwen3 lacks; use a Qwen3 checkpoint."
            )
        try:
            hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
            rope = config.get("rope_parameters") or {}
            return cls(
                vocab_size=int(config["vocab_size"]),
                hidden_size=hidden,
                intermediate_size=int(config["intermediate_size"]),
                num_hidden_layers=int(config["num_hidden_layers"]),
                num_attention_heads=heads,
                num_key_value_heads=int(config.get("num_key_value_heads") or heads),
                head_dim=int(config.get("head_dim") or hidden // heads),
                rope_theta=float(config.get("rope_theta") or rope.get("rope_theta") or 1_000_000.0),
                rms_norm_eps=float(config.get("rms_norm_eps", 1e-6)),
            )
        except KeyError as missing:
            raise CheckpointError(
                f"The Qwen3 config has no {missing.args[0]!r}; use the checkpoint's own config.json."
            ) from missing

    @classmethod
    def from_state_dict(cls, shapes: Mapping[str, Any]) -> Qwen3Config:
        """Works out the dimensions from tensors (or anything with `.shape`) where a file has no config."""
        try:
            vocab, hidden = shapes["embed_tokens.weight"].shape
            head_dim = shapes["layers.0.self_attn.q_norm.weight"].shape[0]
            return cls(
                vocab_size=vocab,
                hidden_size=hidden,
                intermediate_size=shapes["layers.0.mlp.gate_proj.weight"].shape[0],
                num_hidden_layers=1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("layers.")),
                num_attention_heads=shapes["layers.0.self_attn.q_proj.weight"].shape[0] // head_dim,
                num_key_value_heads=shapes["layers.0.self_attn.k_proj.weight"].shape[0] // head_dim,
                head_dim=head_dim,
            )
        except KeyError as missing:
            raise CheckpointError(
                f"The weights have no {missing.args[0]!r}, so they are not a Qwen3 model; choose another file."
            ) from missing


class StaticKVCache:
    """Keys, then values, of every layer in one buffer, `[layers, rows, 2 * kv_heads, length, head_dim]`."""

    def __init__(
        self, config: Qwen3Config, rows: int, length: int, *, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        shape = (config.num_hidden_layers, rows, 2 * config.num_key_value_heads, length, config.head_dim)
        self.buffer = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def length(self) -> int:
        """How many columns (tokens of each row) fit."""
        return self.buffer.shape[3]

    def rows(self, start: int, end: int) -> StaticKVCache:
        """A view of some rows, for filling them on their own."""
        view = object.__new__(StaticKVCache)
        view.buffer = self.buffer[:, start:end]
        return view

    def repeat_row(self, source: int, targets: list[int]) -> None:
        """Copies one row into others that share its prompt."""
        self.buffer[:, targets] = self.buffer[:, source : source + 1]


class Qwen3(nn.Module):
    """The backbone: token ids or embeddings in, final hidden states out."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.config = config
        # The default initialisation draws normal numbers, which on the meta device imports sympy: a second and a half.
        table = torch.empty(config.vocab_size, config.hidden_size).uniform_(-(3**0.5), 3**0.5)
        self.embed_tokens = nn.Embedding.from_pretrained(table, freeze=False)
        heads = (config.num_attention_heads, config.num_key_value_heads, config.head_dim)
        sizes = (config.hidden_size, config.intermediate_size, *heads, config.rms_norm_eps)
        self.layers = nn.ModuleList(TransformerLayer(*sizes, causal=True) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    @property
    def blocks(self) -> list[TransformerLayer]:
        """The layers, first to last."""
        return list(self.layers)  # type: ignore[arg-type]

    def forward(
        self,
        ids: Tensor | None = None,
        *,
        embeds: Tensor | None = None,
        positions: Tensor | None = None,
        cache: StaticKVCache | None = None,
        slots: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Hidden states `[B, L, D]` after the final norm.

        Without a cache this is a plain causal forward; padding on the right changes nothing to its left.

        Args:
            ids: token ids `[B, L]`; or give `embeds` `[B, L, D]` instead.
            positions: rotary positions, `[L]` or `[B, L]`; 0, 1, 2, ... by default.
            cache: receives keys and values at the columns `slots`.
            slots: `[L]` column indices, needed with a cache.
            mask: bool `[B or 1, 1, L, K]`, True where a query may look. With a cache, K is how many of its first
                columns take part. Without a mask, attention is causal among the given tokens alone, which with a
                cache is the way to fill an empty one.
        """
        x = self.embed_tokens(ids) if embeds is None else embeds
        if positions is None:
            positions = torch.arange(x.shape[1], device=x.device)
        if slots is None:
            slots = positions
        rope = Rope.at(positions, self.config.head_dim, self.config.rope_theta, x.dtype)
        scales = head_scales([layer.self_attn for layer in self.blocks])
        for index, layer in enumerate(self.blocks):
            kept = None if cache is None else KVSlots(cache.buffer[index], slots)
            x = layer(x, rope, scales[index], mask, kept)
        return self.norm(x)

    def logits(self, hidden: Tensor, vocab: slice = slice(None)) -> Tensor:
        """Logits `[..., V]` of the tied head for the given rows of the vocabulary; all of them by default."""
        return project(hidden, self.embed_tokens.weight[vocab])
