"""Writes models in the layouts, with the same tables that read them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.checkpoints import keymaps
from acestep_core.checkpoints.layouts import (
    BLOCK_KEYS,
    ENCODER_KEYS,
    KEPT_CONFIG,
    SILENCE_FILE,
    TOKENIZER_KEYS,
    DitFiles,
    VaeFiles,
)
from acestep_core.checkpoints.qwen_tokenizer import Fit, fit_of, is_lm, tokenizer_config, tokenizer_text
from acestep_core.io.atomic import atomic_write
from acestep_core.io.tensor_file import save_tensors

if TYPE_CHECKING:
    from torch import Tensor

CLASS_NAMES = {
    "transformer": "AceStepTransformer1DModel",
    "condition_encoder": "AceStepConditionEncoder",
    "audio_tokenizer": "AceStepAudioTokenizer",
    "audio_token_detokenizer": "AceStepAudioTokenDetokenizer",
}
SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1, "shift": 1.0}
MODEL_INDEX: dict[str, Any] = {
    "_class_name": "AceStepPipeline",
    "_diffusers_version": "0.38.0",
    "scheduler": ["diffusers", SCHEDULER["_class_name"]],
    "transformer": ["diffusers", CLASS_NAMES["transformer"]],
    "vae": ["diffusers", "AutoencoderOobleck"],
    "text_encoder": ["transformers", "Qwen3Model"],
    "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
} | {name: ["ace_step", CLASS_NAMES[name]] for name in list(CLASS_NAMES)[1:]}
SHARED_KEYS = (
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rope_theta",
    "attention_bias",
    "attention_dropout",
    "rms_norm_eps",
    "sliding_window",
)
COMPONENT_KEYS = {
    "transformer": ("num_hidden_layers", "in_channels", "audio_acoustic_hidden_dim", "patch_size", "layer_types"),
    "condition_encoder": ENCODER_KEYS,
    "audio_tokenizer": ("audio_acoustic_hidden_dim", *TOKENIZER_KEYS),
    "audio_token_detokenizer": (
        "audio_acoustic_hidden_dim",
        "pool_window_size",
        "num_attention_pooler_hidden_layers",
    ),
}
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], shards: int = 1, config: Mapping[str, Any] | None = None
) -> None:
    """Writes one safetensors file, or `shards` of them with an index, under transformers' names.

    Args:
        config: kept in the header of the one file, where its layout has no other place for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if shards == 1:
        told = {} if config is None else {KEPT_CONFIG: json.dumps(config, ensure_ascii=False)}
        _save(path, tensors, told)
        return
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for i in range(shards):
        shard = path.with_name(f"{path.stem}-{i + 1:05d}-of-{shards:05d}.safetensors")
        part = names[len(names) * i // shards : len(names) * (i + 1) // shards]
        weight_map |= dict.fromkeys(part, shard.name)
        _save(shard, {name: tensors[name] for name in part}, {})
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(path.with_name(f"{path.name}.index.json"), index)


def write_silence(path: Path, silence: Tensor) -> None:
    """A silence latent `[1, 15000, 64]` as upstream's `silence_latent.pt`."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()  # given a path, `torch.save` would write its name into the file
    torch.save(silence.transpose(1, 2).contiguous(), buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def write_upstream_dit(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], silence: Tensor | None, folder: Path
) -> None:
    """DiT, encoder, tokenizer and detokenizer as upstream's folder, from what `DitFiles` holds."""
    write_tensors(folder / "model.safetensors", tensors)
    if silence is not None:
        write_silence(folder / SILENCE_FILE, silence)
    write_json(folder / "config.json", {"architectures": ["AceStepConditionGenerationModel"], **config})


def write_diffusers_dit(files: DitFiles, silence: Tensor, dest: Path, config: Mapping[str, Any] | None = None) -> None:
    """DiT, encoder, tokenizer and detokenizer as components of the diffusers folder `dest`, with its index.

    Args:
        config: upstream's, kept where it comes back from.
    """
    parts: dict[str, dict[str, Tensor]] = {component: {} for component in CLASS_NAMES}
    for name, tensor in files.tensors.items():
        component, key = keymaps.dit_to_diffusers(name)
        parts[component][key] = tensor
    parts["condition_encoder"][keymaps.SILENCE] = silence
    for component, tensors in parts.items():
        kept = config if component == "transformer" else None
        write_tensors(dest / component / "diffusion_pytorch_model.safetensors", tensors, config=kept)
        write_json(dest / component / "config.json", component_config(files.config, component))
    write_json(dest / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(dest / "model_index.json", MODEL_INDEX)


def component_config(config: Mapping[str, Any], component: str) -> dict[str, Any]:
    """The config of one diffusers component, from upstream's."""
    values: dict[str, Any] = {"_class_name": CLASS_NAMES[component]}
    values |= {key: config[key] for key in (*SHARED_KEYS, *COMPONENT_KEYS[component])}
    for key in BLOCK_KEYS:
        own = None if component == "transformer" else config.get(f"encoder_{key}")
        values[key] = own or config[key]
    if component == "transformer":
        values["encoder_hidden_size"] = config.get("encoder_hidden_size") or config["hidden_size"]
        values["is_turbo"], values["model_version"] = config["is_turbo"], config.get("model_version")
    return values


def vae_for_comfyui(files: VaeFiles) -> dict[str, Tensor]:
    """The tensors of a VAE under stable-audio-tools' names, as ComfyUI has them."""
    table = keymaps.vae_to_sat(list(files.tensors), len(files.config["downsampling_ratios"]))
    return {
        table[name]: tensor.flatten().clone() if keymaps.is_snake(name) else tensor
        for name, tensor in files.tensors.items()
    }


def qwen_for_comfyui(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a Qwen3 model under ComfyUI's names."""
    return {f"model.{name}": tensor for name, tensor in tensors.items()}


def write_tokenizer(file: Path, rows: int, dest: Path) -> None:
    """The tokenizer of a model with `rows` rows into the folder `dest`: its own files, or made of the words in `file`.

    Args:
        file: anything that `qwen_tokenizer.read_words` reads.
    """
    dest.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".json" and fit_of(file, rows) is Fit.OWN:
        shutil.copyfile(file, dest / "tokenizer.json")
        for name in TOKENIZER_FILES[1:]:
            if file.name == "tokenizer.json" and (file.parent / name).is_file():
                shutil.copyfile(file.parent / name, dest / name)
    else:
        (dest / "tokenizer.json").write_text(tokenizer_text(file, rows), encoding="utf-8")
    if not (dest / "tokenizer_config.json").is_file():
        write_json(dest / "tokenizer_config.json", tokenizer_config(is_lm(rows)))


def _save(path: Path, tensors: Mapping[str, Tensor], told: Mapping[str, str]) -> None:
    with atomic_write(path) as temporary:
        save_tensors(tensors, temporary, {"format": "pt", **told})
