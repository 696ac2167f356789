"""What a `config.json` may say: the one table of keys, their types and their ranges, for every model and layout.

A config decides how much is built, so it is checked before anything is: one that asks for a billion layers is refused.
Bounds are far beyond any published model, and near enough that what passes costs no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_core.checkpoints.catalog import again
from acestep_core.checkpoints.weights import read_json
from acestep_core.errors import CheckpointError

LONGEST = 512


@dataclass(frozen=True)
class Key:
    """One key: its type, range of numbers, and whether it is a list of such values."""

    kind: type
    low: float = 0.0
    high: float = 0.0
    many: bool = False

    def __str__(self) -> str:
        noun = {int: "whole number", float: "number", bool: "true or false", str: "text", dict: "table"}[self.kind]
        between = f" from {self.low:g} to {self.high:g}" if self.high else ""
        if self.many:
            return f"a list of at most {LONGEST} {noun}s{between}"
        return noun if self.kind is bool else f"a {noun}{between}"

    def read(self, value: Any) -> Any:
        """`value` in its own type. Raises ValueError where it is of another one or out of range."""
        if self.many:
            if not isinstance(value, list) or len(value) > LONGEST:
                raise ValueError
            return [Key(self.kind, self.low, self.high).read(item) for item in value]
        if isinstance(value, bool) is not (self.kind is bool):
            raise ValueError
        if self.kind not in (int, float) and isinstance(value, self.kind):
            return value
        if self.kind not in (int, float) or not isinstance(value, int | float):
            raise ValueError
        if not self.low <= value <= self.high or (self.kind is int and value != int(value)):
            raise ValueError
        return self.kind(value)


_WIDTH, _LAYERS, _HEADS = Key(int, 1, 1 << 16), Key(int, 1, LONGEST), Key(int, 1, 1024)
_FLAG, _TEXT, _TABLE, _SHARE = Key(bool), Key(str), Key(dict), Key(float, 0, 1)
KEYS: dict[str, Key] = {
    **dict.fromkeys(("hidden_size", "encoder_hidden_size", "fsq_dim", "text_hidden_dim", "in_channels"), _WIDTH),
    **dict.fromkeys(("audio_acoustic_hidden_dim", "timbre_hidden_dim"), _WIDTH),
    **dict.fromkeys(("decoder_channels", "decoder_input_channels"), _WIDTH),
    **dict.fromkeys(("intermediate_size", "encoder_intermediate_size"), Key(int, 1, 1 << 20)),
    **dict.fromkeys(("num_hidden_layers", "num_attention_pooler_hidden_layers"), _LAYERS),
    **dict.fromkeys(("num_lyric_encoder_hidden_layers", "num_timbre_encoder_hidden_layers"), _LAYERS),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads"), _HEADS),
    **dict.fromkeys(("encoder_num_attention_heads", "encoder_num_key_value_heads"), _HEADS),
    "head_dim": Key(int, 2, 4096),
    "vocab_size": Key(int, 1, 1 << 22),
    "rms_norm_eps": Key(float, 1e-12, 0.1),
    "rope_theta": Key(float, 1, 1e12),
    "rope_parameters": _TABLE,
    "patch_size": Key(int, 1, 64),
    "sliding_window": Key(int, 1, 1 << 24),
    "layer_types": Key(str, many=True),
    "timbre_fix_frame": Key(int, 1, 1 << 20),
    "pool_window_size": Key(int, 1, 1024),
    "fsq_input_levels": Key(int, 2, 1 << 16, many=True),
    "fsq_input_num_quantizers": Key(int, 1, 64),
    "lyric_alignment_layers_config": _TABLE,
    "downsampling_ratios": Key(int, 1, 1024, many=True),
    "channel_multiples": Key(int, 1, 1024, many=True),
    "audio_channels": Key(int, 1, 64),
    "sampling_rate": Key(int, 1, 1 << 20),
    "data_proportion": _SHARE,
    "timestep_mu": Key(float, -100, 100),
    "timestep_sigma": Key(float, 0, 100),
    **dict.fromkeys(("attention_bias", "use_sliding_window", "is_turbo", "is_lego_sft"), _FLAG),
    **dict.fromkeys(("model_type", "model_version"), _TEXT),
}


def read_config(path: Path) -> dict[str, Any]:
    """The `config.json` of a model folder. Raises CheckpointError where it is missing, damaged or out of bounds."""
    return checked(read_json(path), path)


def checked(values: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """`values` with every known key in its type and range; unknown keys stay, a null is an absent key.

    Raises:
        CheckpointError: a value is of another type or out of range, or heads do not divide.
    """
    known = {name: value for name, value in values.items() if name in KEYS and value is not None}
    for name, value in known.items():
        try:
            known[name] = KEYS[name].read(value)
        except ValueError:
            raise CheckpointError(
                f"The config of {source} gives {name} as {_shown(value)}, but it must be {KEYS[name]}; {again()}."
            ) from None
    for side in ("", "encoder_"):
        heads, shared = known.get(f"{side}num_attention_heads", 0), known.get(f"{side}num_key_value_heads") or 1
        if heads % shared:
            raise CheckpointError(
                f"The config of {source} gives {heads} query heads for {shared} key heads, which must divide them; "
                f"{again()}."
            )
    return {name: value for name, value in values.items() if name not in KEYS} | known


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
