"""Builds the tiny checkpoint: upstream's layout, file names and config keys, small dimensions, made from a seed.

The weights are random, so it makes sound but no songs. They are scaled so that everything downstream behaves as with
real weights: velocities around 1, audio that neither clips nor is silent, and a language model that prefers whole words
and comes to an end. Everything that loads it would load the real checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acestep_core.builtin import tiny_tokenizer
from acestep_core.builtin.tiny_layouts import write_comfyui, write_diffusers
from acestep_core.checkpoints import catalog, shapes
from acestep_core.checkpoints.find import TINY_MARK
from acestep_core.checkpoints.qwen_tokenizer import byte_alphabet, tokenizer_config
from acestep_core.checkpoints.writing import write_json, write_silence, write_tensors
from acestep_core.errors import AceStepError, CheckpointError
from acestep_core.io.text import read_text
from acestep_core.models.oobleck import OobleckConfig, OobleckVAE, fold_weight_norm

LAYOUTS = ("upstream", "diffusers", "comfyui")
LM_FOLDER = catalog.LANGUAGE_MODELS[0]
TEXT_DIM = 64
SILENCE_FRAMES = 15000
TINY_VERSION = 2  # raise when the same seed gives other bytes
SILENCE_HEAD = 25  # frames until encoded silence has settled; the encoder sees about five frames to each side

DIT: dict[str, Any] = shapes.DIT_DEFAULTS | {
    "architectures": ["AceStepConditionGenerationModel"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "layer_types": shapes.layer_types(4),
    "in_channels": 192,
    "patch_size": 2,
    "audio_acoustic_hidden_dim": 64,
    "timbre_hidden_dim": 64,
    "text_hidden_dim": TEXT_DIM,
    "num_lyric_encoder_hidden_layers": 2,
    "num_timbre_encoder_hidden_layers": 2,
    "num_attention_pooler_hidden_layers": 2,
    "num_audio_decoder_hidden_layers": 2,
    "pool_window_size": 5,
    "fsq_dim": 64,
    "lyric_alignment_layers_config": {"1": [0], "2": [1, 3]},
    "initializer_range": 0.02,
    "rope_scaling": None,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
}
# As in the real XL: a wider decoder whose heads do not fill its width, and a narrower encoder.
XL: dict[str, Any] = {
    "hidden_size": 80,
    "intermediate_size": 144,
    "num_attention_heads": 6,
    "encoder_hidden_size": 64,
    "encoder_intermediate_size": 128,
    "encoder_num_attention_heads": 4,
    "encoder_num_key_value_heads": 2,
}
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderOobleck",
    "audio_channels": 2,
    "channel_multiples": [1, 2, 4, 8, 16],
    "decoder_channels": 8,
    "decoder_input_channels": 64,
    "downsampling_ratios": [2, 4, 4, 6, 10],
    "sampling_rate": 48000,
}
SMOOTH = ("decoder.block.3.", "decoder.block.4.", "decoder.conv2.")
QWEN: dict[str, Any] = shapes.QWEN_DEFAULTS | {
    "hidden_size": TEXT_DIM,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "attention_dropout": 0.0,
    "max_position_embeddings": 40960,
    "dtype": "bfloat16",
}


def build_tiny(
    dest: Path,
    seed: int = 0,
    variants: Iterable[str] = ("turbo", "base", "xl-turbo"),
    layouts: Iterable[str] = ("upstream",),
    vae_encoder_channels: int = 8,
) -> Path:
    """Writes a tiny checkpoint below `dest` and returns `dest`. The same arguments give the same bytes.

    `dest/tiny.json` marks it as what it is, and says from the first file to the last that it is not finished: a folder
    is not renamed, because Windows refuses that while a scanner looks into it.

    Args:
        variants: DiT variants to build, from the catalog; each in upstream's folder for it.
        layouts: besides `upstream` (always written), `diffusers` writes `dest/diffusers/<folder>-diffusers/` and
            `comfyui` writes `dest/comfyui/` with split files and all-in-one checkpoints of the same weights.
        vae_encoder_channels: 8 encodes fast; 128 is the real width, the only one that diffusers' class can build.

    Raises:
        CheckpointError: an unknown variant or layout.
    """
    dest = Path(dest)
    chosen = [catalog.variant_named(name) for name in variants]
    layouts = set(layouts)
    if unknown := layouts - set(LAYOUTS):
        raise CheckpointError(f"There is no layout called {unknown.pop()!r}; choose from {', '.join(LAYOUTS)}.")
    mark = {"version": TINY_VERSION, "seed": seed}
    write_json(dest / TINY_MARK, mark | {"unfinished": True})
    _write_all(dest, seed, chosen, layouts, vae_encoder_channels)
    write_json(dest / TINY_MARK, mark)
    return dest


def is_finished(dest: Path) -> bool:
    """Whether `build_tiny` came to its end there."""
    try:
        mark = json.loads(read_text(dest / TINY_MARK))
    except (AceStepError, ValueError):
        return False
    return mark.get("version") == TINY_VERSION and "unfinished" not in mark


def _write_all(
    dest: Path, seed: int, variants: list[catalog.Variant], layouts: set[str], vae_encoder_channels: int
) -> None:
    vae_config = VAE | {"encoder_hidden_size": vae_encoder_channels}
    vae = vae_tensors(vae_config, seed)
    write_json(dest / catalog.VAE / "config.json", vae_config)
    write_tensors(dest / catalog.VAE / "diffusion_pytorch_model.safetensors", vae)
    _write_qwen(dest / catalog.TEXT_ENCODER, seed, codes=False)
    _write_qwen(dest / LM_FOLDER, seed, codes=True)

    silence = silence_latent(vae, vae_config)
    for variant in variants:
        folder = dest / variant.folder
        config = dit_config(variant)
        write_json(folder / "config.json", config)
        write_tensors(folder / "model.safetensors", dit_tensors(config, seed, variant.name), 2 if variant.xl else 1)
        write_silence(folder / "silence_latent.pt", silence)
        if "diffusers" in layouts:
            write_diffusers(dest, variant.folder, dest / "diffusers" / f"{variant.folder}-diffusers")
        if "comfyui" in layouts:
            write_comfyui(dest, variant.folder, LM_FOLDER, dest / "comfyui")


# --- DiT ------------------------------------------------------------------------------------------------------------


def dit_config(variant: catalog.Variant) -> dict[str, Any]:
    """Upstream's `config.json` for a tiny variant. As upstream, SFT carries no `model_version`."""
    config = DIT | (XL if variant.xl else {}) | {"is_turbo": variant.is_turbo}
    return config if variant.kind == "sft" else config | {"model_version": variant.kind}


def dit_tensors(config: Mapping[str, Any], seed: int, scope: str) -> dict[str, Tensor]:
    """Every tensor of `model.safetensors`, bf16."""
    depth = config["num_hidden_layers"]

    def scale(name: str, shape: shapes.Shape) -> float:
        if name.endswith(("scale_shift_table", "special_token", "special_tokens")):
            return shape[-1] ** -0.5
        if name == "null_condition_emb":
            return 1.0
        if name.startswith("decoder.proj_out.1.weight"):
            return shape[0] ** -0.5  # stored [in, out, 2]; without overlap each sample sums `in` products
        if "time_proj" in name:
            return 0.4 * _fan_in(shape)  # keeps the modulation well below the 1 it is added to
        return _linear_scale(name, shape, depth)

    return {
        name: _draw(seed, scope, name, shape, scale).bfloat16() for name, shape in shapes.dit_shapes(config).items()
    }


# --- text encoder and language model --------------------------------------------------------------------------------


def qwen_tensors(config: Mapping[str, Any], seed: int, scope: str) -> dict[str, Tensor]:
    """Every tensor of a Qwen3 backbone in fp32, embeddings scaled so that logits vary by about 1."""
    depth = config["num_hidden_layers"]

    def scale(name: str, shape: shapes.Shape) -> float:
        if name == "embed_tokens.weight":
            return _fan_in(shape)
        # Random attention averages over everything, so what it says must be loud to make a difference.
        return _linear_scale(name, shape, depth) * (3.0 if name.endswith("self_attn.o_proj.weight") else 1.0)

    return {name: _draw(seed, scope, name, shape, scale) for name, shape in shapes.qwen_shapes(config).items()}


def prefer_words(tensors: dict[str, Tensor], config: Mapping[str, Any], bias: Tensor) -> None:
    """Makes the tied head of a random model add `bias` `[vocab]` to its logits, in place.

    Channel 0 is the same for every token. The first head of the last layer reads it as a constant value, which
    attention averages to itself, and writes it to channel 1 with a large factor. The output multiplies that with
    channel 1 of every embedding, which therefore holds the bias. No other layer writes to the two channels.
    """
    constant, loud, gain = 0.5, 24.0, 24.0
    table, last = tensors["embed_tokens.weight"], config["num_hidden_layers"] - 1
    for layer in range(config["num_hidden_layers"]):
        tensors[f"layers.{layer}.self_attn.o_proj.weight"][:2] = 0
        tensors[f"layers.{layer}.mlp.down_proj.weight"][:2] = 0
    attention = f"layers.{last}.self_attn."
    tensors[f"{attention}v_proj.weight"][0] = 0
    tensors[f"{attention}v_proj.weight"][0, 0] = 1
    tensors[f"{attention}o_proj.weight"][1, 0] = loud
    table[:, 0] = constant
    table[:, 1] = bias / gain
    norm = tensors["norm.weight"]
    norm *= 1.3  # channel 1 makes up most of the norm; this brings the others back to where they were
    norm[0], norm[1] = 0.01, gain / 3.7


def word_bias(rows: int) -> Tensor:
    """What the tiny language model likes to write `[rows]`: words, now and then a line end, and in the end a stop."""
    ids, _ = tiny_tokenizer.vocabulary()
    newline, space = byte_alphabet()[10], byte_alphabet()[32]
    words = {space + word for word in tiny_tokenizer.WORDS}
    bias = torch.full((rows,), -8.0)
    for token, number in ids.items():
        if token in words:
            bias[number] = 3.0
        elif token.isascii() and len(token) == 1:
            bias[number] = -1.0
    bias[ids[newline]], bias[ids[","]], bias[ids["."]] = 5.0, 4.5, 4.0
    bias[tiny_tokenizer.first_special() + tiny_tokenizer.SPECIAL_TOKENS.index("<|im_end|>")] = 5.0
    return bias


def _write_qwen(folder: Path, seed: int, codes: bool) -> None:
    rows = tiny_tokenizer.first_code() + (tiny_tokenizer.AUDIO_CODES if codes else 0)
    # Qwen3-Embedding's table has spare rows at the end, the language model's has none.
    config = QWEN | {
        "architectures": ["Qwen3Model"],
        "vocab_size": rows if codes else 64 * math.ceil(rows / 64),
        "eos_token_id": tiny_tokenizer.first_special() + (2 if codes else 0),
        "pad_token_id": tiny_tokenizer.first_special(),
    }
    tensors = qwen_tensors(config, seed, folder.name)
    if codes:
        prefer_words(tensors, config, word_bias(rows))
    write_json(folder / "config.json", config)
    write_tensors(folder / "model.safetensors", {name: tensor.bfloat16() for name, tensor in tensors.items()})
    (folder / "tokenizer.json").write_text(tiny_tokenizer.tokenizer_json(codes), encoding="utf-8")
    write_json(folder / "tokenizer_config.json", tokenizer_config(codes))


# --- VAE ------------------------------------------------------------------------------------------------------------


def vae_tensors(config: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """Every tensor of the VAE, fp32. The gains keep the variance through each layer.

    The decoder's first three blocks upsample to 6 kHz with random kernels, which makes tones of 25 Hz to 3 kHz out of
    latent frames; the rest interpolates, so that the result hums instead of hissing.
    """
    wanted = shapes.vae_shapes(config)
    tensors = {}
    for name, shape in wanted.items():
        noise = _noise(seed, "vae", name, shape)
        if name.endswith(".alpha"):
            tensors[name] = 0.1 * noise
        elif name.endswith(".beta"):
            tensors[name] = 2 + 0.1 * noise  # Snake adds a constant of about half of exp(-beta)
        elif name.endswith(".bias"):
            tensors[name] = 0.05 * noise
        elif name.endswith(".weight_v"):
            smooth = name.startswith(SMOOTH)
            tensors[name] = noise[..., :1] * _triangle(shape[-1]) + 0.05 * noise if smooth else noise
        else:
            kernel = wanted[name.removesuffix("_g") + "_v"]
            tensors[name] = torch.full(shape, _vae_gain(name, kernel)) * (1 + 0.05 * noise)
    latent = config["decoder_input_channels"]
    tensors["encoder.conv2.bias"][:latent] = 0.3 * _noise(seed, "vae", "silence", (latent,))
    # A narrow posterior whatever the sound, as a trained encoder has.
    tensors["encoder.conv2.weight_g"][latent:] *= 0.05
    tensors["encoder.conv2.bias"][latent:] = -3.0
    return tensors


def _triangle(width: int) -> Tensor:
    """The kernel of linear interpolation, `[width]`."""
    centre = (width - 1) / 2
    return 1 - (torch.arange(width) - centre).abs() / (centre + 0.5)


def _vae_gain(name: str, kernel: shapes.Shape) -> float:
    """The norm of a kernel that keeps unit variance; residual branches are quieter, both ends set the loudness."""
    if "conv_t1" in name:
        channels, out, width = kernel
        return math.sqrt(width / 2 * out / channels)
    if "res_unit" in name:
        return 0.3 if "conv2" in name else 1.0
    if name.startswith("encoder.conv1."):
        return 4.0  # music is around 0.2
    return 0.01 if name.startswith("decoder.conv2.") else 1.0


@torch.inference_mode()
def silence_latent(vae: Mapping[str, Tensor], config: Mapping[str, Any]) -> Tensor:
    """Encoded digital silence `[1, 15000, 64]`: its first frames differ, because the waveform starts there.

    Rounded, so that processors that add in another order still write the same file.
    """
    module = OobleckVAE(OobleckConfig.from_json(config)).eval()
    module.load_state_dict(fold_weight_norm(vae))
    frames = module.encode(torch.zeros(1, 2, 2 * SILENCE_HEAD * shapes.HOP)).transpose(1, 2)
    frames = (frames * 512).round() / 512
    steady = frames[:, SILENCE_HEAD : SILENCE_HEAD + 1].expand(1, SILENCE_FRAMES - SILENCE_HEAD, -1)
    return torch.cat([frames[:, :SILENCE_HEAD], steady], dim=1)


# --- initialisation -------------------------------------------------------------------------------------------------


def _noise(seed: int, scope: str, name: str, shape: shapes.Shape) -> Tensor:
    """Normal noise that depends on the name, so adding a tensor changes no other."""
    digest = hashlib.sha256(json.dumps([seed, scope, name]).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randn(shape, generator=generator)


def _draw(seed: int, scope: str, name: str, shape: shapes.Shape, scale: Callable[[str, shapes.Shape], float]) -> Tensor:
    noise = _noise(seed, scope, name, shape)
    if name.endswith("norm.weight") or "norm" in name.rpartition(".")[0].rpartition(".")[2]:
        return 1 + 0.1 * noise
    return (0.05 if name.endswith(".bias") else scale(name, shape)) * noise


def _linear_scale(name: str, shape: shapes.Shape, depth: int) -> float:
    """Unit variance through every layer; what is added to the residual stream shrinks with the depth."""
    residual = name.endswith(("o_proj.weight", "down_proj.weight"))
    return _fan_in(shape) * ((2 * depth) ** -0.5 if residual else 1.0)


def _fan_in(shape: shapes.Shape) -> float:
    return math.prod(shape[1:]) ** -0.5
