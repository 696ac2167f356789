"""Writes an upstream checkpoint's weights in the other two layouts, with the same tables that read them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from acestep_core.checkpoints import catalog, keymaps
from acestep_core.checkpoints.layouts import open_dit, open_lm, open_text_encoder, open_vae
from acestep_core.io.atomic import atomic_write
from acestep_core.io.tensor_file import save_tensors

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
    "condition_encoder": (
        "text_hidden_dim",
        "timbre_hidden_dim",
        "num_lyric_encoder_hidden_layers",
        "num_timbre_encoder_hidden_layers",
    ),
    "audio_tokenizer": (
        "audio_acoustic_hidden_dim",
        "pool_window_size",
        "fsq_dim",
        "fsq_input_levels",
        "fsq_input_num_quantizers",
        "num_attention_pooler_hidden_layers",
    ),
    "audio_token_detokenizer": (
        "audio_acoustic_hidden_dim",
        "pool_window_size",
        "num_attention_pooler_hidden_layers",
    ),
}
SPLIT_NAMES = {"text_encoder": "qwen_0.6b_ace15.safetensors", "lm": "qwen_1.7b_ace15.safetensors"}


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], shards: int = 1) -> None:
    """Writes one safetensors file, or `shards` of them with an index, under transformers' names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if shards == 1:
        _save(path, tensors)
        return
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for i in range(shards):
        shard = path.with_name(f"{path.stem}-{i + 1:05d}-of-{shards:05d}.safetensors")
        part = names[len(names) * i // shards : len(names) * (i + 1) // shards]
        weight_map |= dict.fromkeys(part, shard.name)
        _save(shard, {name: tensors[name] for name in part})
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(path.with_name(f"{path.name}.index.json"), index)


def write_diffusers(root: Path, dit_folder: str, dest: Path) -> None:
    """The upstream checkpoint `root/dit_folder`, with its VAE and text encoder, as one diffusers folder."""
    files = open_dit(root / dit_folder)
    parts: dict[str, dict[str, Tensor]] = {component: {} for component in CLASS_NAMES}
    for name, tensor in files.tensors.items():
        component, key = keymaps.dit_to_diffusers(name)
        parts[component][key] = tensor
    if files.silence is None:
        raise ValueError("an upstream checkpoint always has its silence latent")
    parts["condition_encoder"][keymaps.SILENCE] = files.silence
    for component, tensors in parts.items():
        write_json(dest / component / "config.json", component_config(files.config, component))
        write_tensors(dest / component / "diffusion_pytorch_model.safetensors", tensors)
    write_json(dest / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(dest / "model_index.json", MODEL_INDEX)
    shutil.copytree(root / catalog.VAE, dest / "vae", dirs_exist_ok=True)
    for name, target in (("config.json", "text_encoder"), ("model.safetensors", "text_encoder"), ("", "tokenizer")):
        (dest / target).mkdir(parents=True, exist_ok=True)
        source = root / catalog.TEXT_ENCODER
        for file in [source / name] if name else source.glob("tokenizer*.json"):
            shutil.copyfile(file, dest / target / file.name)


def component_config(config: Mapping[str, Any], component: str) -> dict[str, Any]:
    """The config of one diffusers component, from upstream's."""
    values: dict[str, Any] = {"_class_name": CLASS_NAMES[component]}
    values |= {key: config[key] for key in (*SHARED_KEYS, *COMPONENT_KEYS[component])}
    widths = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    for key in widths:
        own = None if component == "transformer" else config.get(f"encoder_{key}")
        values[key] = own or config[key]
    if component == "transformer":
        values["encoder_hidden_size"] = config.get("encoder_hidden_size") or config["hidden_size"]
        values["is_turbo"], values["model_version"] = config["is_turbo"], config.get("model_version")
    return values


def write_comfyui(root: Path, dit_folder: str, lm_folder: str, dest: Path) -> None:
    """The same weights as ComfyUI's `models` folder holds them: split files, and an all-in-one checkpoint."""
    dit = dict(open_dit(root / dit_folder).tensors)
    vae_files = open_vae(root / catalog.VAE)
    table = keymaps.vae_to_sat(list(vae_files.tensors), len(vae_files.config["downsampling_ratios"]))
    vae = {
        table[name]: tensor.flatten().clone() if keymaps.is_snake(name) else tensor
        for name, tensor in vae_files.tensors.items()
    }
    text = {f"model.{name}": tensor for name, tensor in open_text_encoder(root).tensors.items()}
    lm = {f"model.{name}": tensor for name, tensor in open_lm(root / lm_folder).tensors.items()}

    short = dit_folder.removeprefix("acestep-v15-").replace("-", "_")
    write_tensors(dest / "diffusion_models" / f"acestep_v1.5_{short}.safetensors", dit)
    write_tensors(dest / "vae" / "ace_1.5_vae.safetensors", vae)
    write_tensors(dest / "text_encoders" / SPLIT_NAMES["text_encoder"], text)
    write_tensors(dest / "text_encoders" / SPLIT_NAMES["lm"], lm)
    prefixes = (keymaps.COMFYUI_DIT[0], keymaps.COMFYUI_VAE[0], keymaps.COMFYUI_TEXT_ENCODER[0], keymaps.COMFYUI_LM[0])
    everything = {f"{p}{name}": t for p, part in zip(prefixes, (dit, vae, text, lm)) for name, t in part.items()}
    write_tensors(dest / "checkpoints" / f"ace_step_1.5_{short}_aio.safetensors", everything)


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with atomic_write(path) as temporary:
        save_tensors(tensors, temporary, {"format": "pt"})
