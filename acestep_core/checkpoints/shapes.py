"""Which tensors a model must have, worked out from its config, and the config worked out from its tensors.

The first answers what is missing or wrong in a file before any model is built; the second opens ComfyUI files, which
hold no config.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from acestep_core.checkpoints.configs import checked
from acestep_core.checkpoints.stored import Shape
from acestep_core.errors import CheckpointError

Config = Mapping[str, Any]

# Upstream's defaults for what no tensor shows.
DIT_DEFAULTS: dict[str, Any] = {
    "model_type": "acestep",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000,
    "max_position_embeddings": 32768,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "use_sliding_window": True,
    "sliding_window": 128,
    "timbre_fix_frame": 750,
    "fsq_input_levels": [8, 8, 8, 5, 5, 5],
    "fsq_input_num_quantizers": 1,
    "data_proportion": 0.5,
    "timestep_mu": -0.4,
    "timestep_sigma": 1.0,
    "vocab_size": 64003,
}
QWEN_DEFAULTS: dict[str, Any] = {
    "model_type": "qwen3",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000,
    "attention_bias": False,
    "use_sliding_window": False,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
}
TIMESTEP_FEATURES = 256
HOP = 1920  # samples per latent frame: 25 Hz at 48 kHz


# --- config -> names and shapes -------------------------------------------------------------------------------------


def dit_shapes(config: Config) -> dict[str, Shape]:
    """Upstream's `model.safetensors`: decoder, encoder, tokenizer, detokenizer and the null condition."""
    dim = config["hidden_size"]
    inner = config.get("encoder_hidden_size") or dim
    levels = len(config.get("fsq_input_levels") or DIT_DEFAULTS["fsq_input_levels"])
    audio = config.get("audio_acoustic_hidden_dim", 64)
    pooler_layers = config.get("num_attention_pooler_hidden_layers", 2)
    text = config.get("text_hidden_dim", 1024)

    shapes: dict[str, Shape] = {"null_condition_emb": (1, 1, inner)}
    shapes |= _decoder(config, dim, inner, audio)
    shapes["encoder.text_projector.weight"] = (inner, text)
    shapes |= _encoder(config, "encoder.lyric_encoder.", inner, config.get("num_lyric_encoder_hidden_layers", 8))
    shapes |= _linear("encoder.lyric_encoder.embed_tokens", inner, text)
    shapes |= _encoder(config, "encoder.timbre_encoder.", inner, config.get("num_timbre_encoder_hidden_layers", 4))
    shapes |= _linear("encoder.timbre_encoder.embed_tokens", inner, config.get("timbre_hidden_dim", 64))
    shapes["encoder.timbre_encoder.special_token"] = (1, 1, inner)

    shapes |= _linear("tokenizer.audio_acoustic_proj", inner, audio)
    shapes |= _encoder(config, "tokenizer.attention_pooler.", inner, pooler_layers)
    shapes |= _linear("tokenizer.attention_pooler.embed_tokens", inner, inner)
    shapes["tokenizer.attention_pooler.special_token"] = (1, 1, inner)
    fsq = config.get("fsq_dim", inner)
    shapes |= _linear("tokenizer.quantizer.project_in", levels, fsq)
    shapes |= _linear("tokenizer.quantizer.project_out", fsq, levels)

    shapes |= _encoder(config, "detokenizer.", inner, pooler_layers)
    shapes |= _linear("detokenizer.embed_tokens", inner, inner)
    shapes["detokenizer.special_tokens"] = (1, config.get("pool_window_size", 5), inner)
    shapes |= _linear("detokenizer.proj_out", audio, inner)
    return shapes


def _decoder(config: Config, dim: int, inner: int, audio: int) -> dict[str, Shape]:
    heads, kv_heads, head_dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    patch = config.get("patch_size", 2)
    shapes: dict[str, Shape] = {"decoder.scale_shift_table": (1, 2, dim), "decoder.norm_out.weight": (dim,)}
    shapes |= _linear("decoder.condition_embedder", dim, inner)
    shapes |= {
        "decoder.proj_in.1.weight": (dim, config.get("in_channels", 192), patch),
        "decoder.proj_in.1.bias": (dim,),
    }
    shapes |= {"decoder.proj_out.1.weight": (dim, audio, patch), "decoder.proj_out.1.bias": (audio,)}
    for name in ("decoder.time_embed", "decoder.time_embed_r"):
        shapes |= _linear(f"{name}.linear_1", dim, TIMESTEP_FEATURES)
        shapes |= _linear(f"{name}.linear_2", dim, dim)
        shapes |= _linear(f"{name}.time_proj", 6 * dim, dim)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"decoder.layers.{layer}."
        shapes[f"{prefix}scale_shift_table"] = (1, 6, dim)
        for norm in ("self_attn_norm", "cross_attn_norm", "mlp_norm"):
            shapes[f"{prefix}{norm}.weight"] = (dim,)
        for block in ("self_attn", "cross_attn"):
            shapes |= _attention(f"{prefix}{block}.", dim, heads, kv_heads, head_dim)
        shapes |= _mlp(f"{prefix}mlp.", dim, config["intermediate_size"])
    return shapes


def _encoder(config: Config, prefix: str, dim: int, layers: int) -> dict[str, Shape]:
    """A stack of encoder layers with its final norm, at the encoder's width."""
    shapes: dict[str, Shape] = {f"{prefix}norm.weight": (dim,)}
    for layer in range(layers):
        shapes |= _block(
            f"{prefix}layers.{layer}.",
            dim,
            config.get("encoder_intermediate_size") or config["intermediate_size"],
            config.get("encoder_num_attention_heads") or config["num_attention_heads"],
            config.get("encoder_num_key_value_heads") or config["num_key_value_heads"],
            config["head_dim"],
        )
    return shapes


def qwen_shapes(config: Config) -> dict[str, Shape]:
    """A Qwen3 backbone, names without `model.`, output head tied."""
    dim, heads = config["hidden_size"], config["num_attention_heads"]
    shapes: dict[str, Shape] = {"embed_tokens.weight": (config["vocab_size"], dim), "norm.weight": (dim,)}
    head_dim = config.get("head_dim") or dim // heads
    for layer in range(config["num_hidden_layers"]):
        shapes |= _block(
            f"layers.{layer}.",
            dim,
            config["intermediate_size"],
            heads,
            config.get("num_key_value_heads") or heads,
            head_dim,
        )
    return shapes


def vae_shapes(config: Config) -> dict[str, Shape]:
    """An `AutoencoderOobleck` in diffusers' names. Its encoder ends in mean and scale: twice the latent channels."""
    ratios, width, audio = config["downsampling_ratios"], config["encoder_hidden_size"], config.get("audio_channels", 2)
    latent, decoder = config.get("decoder_input_channels", 64), config["decoder_channels"]
    multiples = [1, *config["channel_multiples"]]
    shapes: dict[str, Shape] = {}

    shapes |= _conv("encoder.conv1", width * multiples[0], audio, 7)
    for i, stride in enumerate(ratios):
        prefix, channels = f"encoder.block.{i}.", width * multiples[i]
        shapes |= _residual_units(prefix, channels) | _snake(f"{prefix}snake1", channels)
        shapes |= _conv(f"{prefix}conv1", width * multiples[i + 1], channels, 2 * stride)
    shapes |= _snake("encoder.snake1", width * multiples[-1])
    shapes |= _conv("encoder.conv2", 2 * latent, width * multiples[-1], 3)

    shapes |= _conv("decoder.conv1", decoder * multiples[-1], latent, 7)
    for i, stride in enumerate(reversed(ratios)):
        prefix = f"decoder.block.{i}."
        channels, out = decoder * multiples[len(ratios) - i], decoder * multiples[len(ratios) - i - 1]
        shapes |= _snake(f"{prefix}snake1", channels)
        # A transposed convolution stores [in, out, k], and weight norm is per input channel.
        shapes |= _conv(f"{prefix}conv_t1", channels, out, 2 * stride, bias=out)
        shapes |= _residual_units(prefix, out)
    shapes |= _snake("decoder.snake1", decoder)
    shapes |= _conv("decoder.conv2", audio, decoder, 7, bias=0)
    return shapes


def _linear(name: str, out: int, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def _attention(prefix: str, dim: int, heads: int, kv_heads: int, head_dim: int) -> dict[str, Shape]:
    return {
        f"{prefix}q_proj.weight": (heads * head_dim, dim),
        f"{prefix}k_proj.weight": (kv_heads * head_dim, dim),
        f"{prefix}v_proj.weight": (kv_heads * head_dim, dim),
        f"{prefix}o_proj.weight": (dim, heads * head_dim),
        f"{prefix}q_norm.weight": (head_dim,),
        f"{prefix}k_norm.weight": (head_dim,),
    }


def _mlp(prefix: str, dim: int, hidden: int) -> dict[str, Shape]:
    return {
        f"{prefix}gate_proj.weight": (hidden, dim),
        f"{prefix}up_proj.weight": (hidden, dim),
        f"{prefix}down_proj.weight": (dim, hidden),
    }


def _block(prefix: str, dim: int, hidden: int, heads: int, kv_heads: int, head_dim: int) -> dict[str, Shape]:
    norms = {f"{prefix}{norm}.weight": (dim,) for norm in ("input_layernorm", "post_attention_layernorm")}
    return (
        norms | _attention(f"{prefix}self_attn.", dim, heads, kv_heads, head_dim) | _mlp(f"{prefix}mlp.", dim, hidden)
    )


def _conv(name: str, out: int, width: int, kernel: int, bias: int | None = None) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {f"{name}.weight_g": (out, 1, 1), f"{name}.weight_v": (out, width, kernel)}
    bias = out if bias is None else bias
    return shapes | ({f"{name}.bias": (bias,)} if bias else {})


def _snake(name: str, channels: int) -> dict[str, Shape]:
    return {f"{name}.alpha": (1, channels, 1), f"{name}.beta": (1, channels, 1)}


def _residual_units(prefix: str, channels: int) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for unit in ("res_unit1", "res_unit2", "res_unit3"):
        name = f"{prefix}{unit}."
        shapes |= _snake(f"{name}snake1", channels) | _conv(f"{name}conv1", channels, channels, 7)
        shapes |= _snake(f"{name}snake2", channels) | _conv(f"{name}conv2", channels, channels, 1)
    return shapes


# --- names and shapes -> config -------------------------------------------------------------------------------------


def dit_config(shapes: Mapping[str, Shape], source: Any) -> dict[str, Any]:
    """Upstream's config keys from the shapes of an upstream-named checkpoint. What shapes cannot show gets upstream's
    default.

    Raises CheckpointError where a tensor it needs is missing.
    """
    shapes = _Required(shapes, source)
    head_dim = shapes.side("decoder.layers.0.self_attn.q_norm.weight", 0)
    encoder = "encoder.lyric_encoder.layers.0."
    config = DIT_DEFAULTS | {
        "hidden_size": shapes.side("decoder.layers.0.self_attn_norm.weight", 0),
        "intermediate_size": shapes.side("decoder.layers.0.mlp.gate_proj.weight", 0),
        "num_hidden_layers": _layers(shapes, "decoder.layers."),
        "num_attention_heads": shapes.side("decoder.layers.0.self_attn.q_proj.weight", 0) // head_dim,
        "num_key_value_heads": shapes.side("decoder.layers.0.self_attn.k_proj.weight", 0) // head_dim,
        "head_dim": head_dim,
        "in_channels": shapes.side("decoder.proj_in.1.weight", 1),
        "patch_size": shapes.side("decoder.proj_in.1.weight", 2),
        "audio_acoustic_hidden_dim": shapes.side("decoder.proj_out.1.weight", 1),
        "timbre_hidden_dim": shapes.side("encoder.timbre_encoder.embed_tokens.weight", 1),
        "text_hidden_dim": shapes.side("encoder.text_projector.weight", 1),
        "num_lyric_encoder_hidden_layers": _layers(shapes, "encoder.lyric_encoder.layers."),
        "num_timbre_encoder_hidden_layers": _layers(shapes, "encoder.timbre_encoder.layers."),
        "num_attention_pooler_hidden_layers": _layers(shapes, "tokenizer.attention_pooler.layers."),
        "pool_window_size": shapes.side("detokenizer.special_tokens", 1),
        "fsq_dim": shapes.side("tokenizer.quantizer.project_out.weight", 0),
    }
    wide = {
        "encoder_hidden_size": shapes.side(f"{encoder}input_layernorm.weight", 0),
        "encoder_intermediate_size": shapes.side(f"{encoder}mlp.gate_proj.weight", 0),
        "encoder_num_attention_heads": shapes.side(f"{encoder}self_attn.q_proj.weight", 0) // head_dim,
        "encoder_num_key_value_heads": shapes.side(f"{encoder}self_attn.k_proj.weight", 0) // head_dim,
    }
    if wide["encoder_hidden_size"] != config["hidden_size"]:
        config |= wide
    config = checked(config, source)
    config["layer_types"] = layer_types(config["num_hidden_layers"])
    return config


def qwen_config(shapes: Mapping[str, Shape], source: Any) -> dict[str, Any]:
    """The keys of a Qwen3 `config.json` from the shapes of a backbone.

    Raises CheckpointError where a tensor it needs is missing.
    """
    shapes = _Required(shapes, source)
    head_dim = shapes.side("layers.0.self_attn.q_norm.weight", 0)
    found = {
        "vocab_size": shapes.side("embed_tokens.weight", 0),
        "hidden_size": shapes.side("embed_tokens.weight", 1),
        "intermediate_size": shapes.side("layers.0.mlp.gate_proj.weight", 0),
        "num_hidden_layers": _layers(shapes, "layers."),
        "num_attention_heads": shapes.side("layers.0.self_attn.q_proj.weight", 0) // head_dim,
        "num_key_value_heads": shapes.side("layers.0.self_attn.k_proj.weight", 0) // head_dim,
        "head_dim": head_dim,
    }
    return checked(QWEN_DEFAULTS | found, source)


def vae_config(shapes: Mapping[str, Shape], source: Any) -> dict[str, Any]:
    """The keys of an `AutoencoderOobleck` config from the shapes of a VAE in diffusers' names.

    Raises CheckpointError where a tensor is missing, or where it is not the 25 Hz, 48 kHz VAE of ACE-Step.
    """
    shapes = _Required(shapes, source)
    blocks = _layers(shapes, "encoder.block.")
    width = shapes.side("encoder.conv1.weight_v", 0)
    ratios = [shapes.side(f"encoder.block.{i}.conv1.weight_v", 2) // 2 for i in range(blocks)]
    require_hop(ratios, source)
    config = {
        "encoder_hidden_size": width,
        "downsampling_ratios": ratios,
        "channel_multiples": [shapes.side(f"encoder.block.{i}.conv1.weight_v", 0) // width for i in range(blocks)],
        "decoder_channels": shapes.side("decoder.conv2.weight_v", 1),
        "decoder_input_channels": shapes.side("decoder.conv1.weight_v", 1),
        "audio_channels": shapes.side("encoder.conv1.weight_v", 1),
        "sampling_rate": 48000,
    }
    return checked(config, source)


def require_hop(ratios: list[int], source: Any) -> None:
    """Raises CheckpointError for an Oobleck VAE of another hop, such as Stable Audio's."""
    if math.prod(ratios) != HOP:
        raise CheckpointError(
            f"{source} is an audio VAE with a hop of {math.prod(ratios)} samples, but ACE-Step 1.5 needs {HOP}; "
            "choose the ACE-Step 1.5 VAE."
        )


def layer_types(layers: int) -> list[str]:
    """Upstream's default: even layers see a window, odd layers everything."""
    return ["full_attention" if i % 2 else "sliding_attention" for i in range(layers)]


class _Required(dict[str, Shape]):
    """Shapes whose absence is the user's problem, not a KeyError; nor is a side that a shape lacks."""

    def __init__(self, shapes: Mapping[str, Shape], source: Any) -> None:
        super().__init__(shapes)
        self.source = source

    def __missing__(self, name: str) -> Shape:
        raise CheckpointError(
            f"{self.source} lacks the tensor {name}, so it is incomplete or another kind of model; "
            "download it again or choose another file."
        )

    def side(self, name: str, axis: int) -> int:
        """How long a tensor is along `axis`; at least 1."""
        shape = self[name]
        if axis >= len(shape) or not shape[axis]:
            raise CheckpointError(
                f"{self.source} holds the tensor {name} in the shape {list(shape)}, which no model of this kind has; "
                "download it again or choose another file."
            )
        return shape[axis]


def _layers(shapes: Mapping[str, Shape], prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"(\d{1,4})\.")
    return 1 + max(_matches(pattern, shapes), default=-1)


def _matches(pattern: re.Pattern[str], names: Mapping[str, Shape]) -> Iterator[int]:
    for name in names:
        if match := pattern.match(name):
            yield int(match[1])
