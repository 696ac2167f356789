"""The dimensions of an ACE-Step 1.5 model, read from upstream's `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from acestep_core.errors import CheckpointError


@dataclass(frozen=True)
class AceStepConfig:
    """Dimensions of decoder (DiT), condition encoder, audio tokenizer and detokenizer.

    Field names and defaults are upstream's. `encoder_*` fields are only given for XL, whose decoder is wider than its
    encoder.
    """

    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    head_dim: int = 128
    encoder_hidden_size: int | None = None
    encoder_intermediate_size: int | None = None
    encoder_num_attention_heads: int | None = None
    encoder_num_key_value_heads: int | None = None
    in_channels: int = 192
    patch_size: int = 2
    audio_acoustic_hidden_dim: int = 64
    timbre_hidden_dim: int = 64
    text_hidden_dim: int = 1024
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1_000_000.0
    use_sliding_window: bool = True
    sliding_window: int = 128
    layer_types: tuple[str, ...] = ()
    num_lyric_encoder_hidden_layers: int = 8
    num_timbre_encoder_hidden_layers: int = 4
    num_attention_pooler_hidden_layers: int = 2
    timbre_fix_frame: int = 750
    pool_window_size: int = 5
    fsq_dim: int = 2048
    fsq_input_levels: tuple[int, ...] = (8, 8, 8, 5, 5, 5)
    fsq_input_num_quantizers: int = 1
    is_turbo: bool = False
    model_version: str = ""
    is_lego_sft: bool = False
    lyric_alignment_layers_config: tuple[tuple[int, tuple[int, ...]], ...] = ()
    data_proportion: float = 0.5
    timestep_mu: float = -0.4
    timestep_sigma: float = 1.0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AceStepConfig:
        """Reads the keys this library needs and ignores the rest (such as `auto_map`)."""
        known = {f.name for f in fields(cls)}
        chosen = {key: value for key, value in values.items() if key in known and value is not None}
        for key in ("layer_types", "fsq_input_levels"):
            if key in chosen:
                chosen[key] = tuple(chosen[key])
        if "lyric_alignment_layers_config" in chosen:
            chosen["lyric_alignment_layers_config"] = _head_map(chosen["lyric_alignment_layers_config"])
        # Upstream reads a missing `is_turbo` from the version; its own default version must not be trusted.
        chosen.setdefault("is_turbo", str(values.get("model_version", "")).startswith("turbo"))
        config = cls(**chosen)
        if config.fsq_input_num_quantizers != 1:
            raise CheckpointError(
                f"This checkpoint has {config.fsq_input_num_quantizers} quantizers; use one that has one."
            )
        return config

    @property
    def is_xl(self) -> bool:
        """XL checkpoints have a condition encoder of another width than the decoder."""
        return self.encoder_hidden_size is not None and self.encoder_hidden_size != self.hidden_size

    @property
    def encoder_dim(self) -> int:
        return self.encoder_hidden_size or self.hidden_size

    @property
    def encoder_layer(self) -> dict[str, Any]:
        """Arguments of `TransformerLayer`, shared by lyric, timbre and audio-code encoders."""
        return {
            "dim": self.encoder_dim,
            "hidden": self.encoder_intermediate_size or self.intermediate_size,
            "heads": self.encoder_num_attention_heads or self.num_attention_heads,
            "kv_heads": self.encoder_num_key_value_heads or self.num_key_value_heads,
            "head_dim": self.head_dim,
            "eps": self.rms_norm_eps,
        }

    def is_sliding(self, layer: int) -> bool:
        """Whether layer `layer` attends within the window only (even layers, unless `layer_types` says otherwise)."""
        if not self.use_sliding_window:
            return False
        if layer < len(self.layer_types):
            return self.layer_types[layer] == "sliding_attention"
        return layer % 2 == 0


def _head_map(values: Any) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Layers and their heads from `{"2": [6], "3": [10, 11]}`."""
    try:
        return tuple((int(layer), tuple(int(head) for head in heads)) for layer, heads in values.items())
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(
            "The config's lyric_alignment_layers_config is not a table of layers and heads; restore the original."
        ) from error
