"""Opens a checkpoint in any of its four layouts and hands out upstream's tensor names and config keys.

* upstream: a folder with `config.json`, `model.safetensors` (or shards) and `silence_latent.pt`; `vae/`,
  `Qwen3-Embedding-0.6B/` and `acestep-5Hz-lm-*/` stand beside it.
* diffusers: one folder with `transformer/`, `condition_encoder/`, `audio_tokenizer/`, `audio_token_detokenizer/`,
  `vae/`, `text_encoder/`, `tokenizer/`.
* ComfyUI: one `.safetensors` file with everything, or split files for DiT, VAE, text encoder and language model. They
  hold neither configs, nor a tokenizer, nor the silence latent, and do not say whether the model is turbo, base or
  SFT.
* GGUF: a `.gguf` file for each of the four. acestep.cpp's say what they are (`acestep.config_json`) and hold tokenizer
  and silence latent; those made for ComfyUI are its split files in another format.

Opening reads headers and configs only. Every `open_*` compares names and shapes with what the config asks for and
raises one CheckpointError that names the file and the cure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.checkpoints import catalog, keymaps, shapes
from acestep_core.checkpoints.catalog import Variant, again
from acestep_core.checkpoints.configs import checked, read_config
from acestep_core.checkpoints.qwen_tokenizer import Fit, fit_of
from acestep_core.checkpoints.remembered import remembered
from acestep_core.checkpoints.weights import (
    Weights,
    load_pt,
    open_weights,
    read_json,
    require_match,
    without_derived,
)
from acestep_core.errors import CheckpointError
from acestep_core.io.text import json_object

if TYPE_CHECKING:
    from torch import Tensor

FILE_LAYOUTS = {".safetensors": "comfyui", ".gguf": "gguf"}
"""Single files of weights."""
KEPT_CONFIG = "acestep.config_json"
"""In the header of a file: the `config.json` of the model, as acestep.cpp and `acestep models convert` put it there."""
SILENCE_FILE = "silence_latent.pt"
SILENCE_FRAMES = 15000  # 600 s, the longest song
BLOCK_KEYS = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
ENCODER_KEYS = (
    "text_hidden_dim",
    "timbre_hidden_dim",
    "num_lyric_encoder_hidden_layers",
    "num_timbre_encoder_hidden_layers",
)
TOKENIZER_KEYS = (
    "pool_window_size",
    "fsq_dim",
    "fsq_input_levels",
    "fsq_input_num_quantizers",
    "num_attention_pooler_hidden_layers",
)
# What each config of a diffusers checkpoint must say: what becomes upstream's one config.
DIFFUSERS_KEYS: dict[str, tuple[str, ...]] = {
    "transformer": (*BLOCK_KEYS, "num_hidden_layers", "head_dim"),
    "condition_encoder": (*BLOCK_KEYS, *ENCODER_KEYS),
    "audio_tokenizer": TOKENIZER_KEYS,
    "audio_token_detokenizer": (),
}


@dataclass(frozen=True)
class DitFiles:
    """DiT, condition encoder, audio tokenizer and detokenizer, in upstream's names.

    `silence` is `[1, 15000, 64]`, encoded digital silence. It is None for ComfyUI files, which hold none: the caller
    then encodes silence with the VAE once (the mean, not a sample), because zeros are far from anything the model was
    trained on.
    """

    config: dict[str, Any]
    tensors: Weights
    silence: Tensor | None
    variant: Variant
    source: Path


@dataclass(frozen=True)
class VaeFiles:
    """The Oobleck VAE, in the names of diffusers' `AutoencoderOobleck`."""

    config: dict[str, Any]
    tensors: Weights
    source: Path


@dataclass(frozen=True)
class QwenFiles:
    """A Qwen3 text encoder or language model, names without `model.`; `tokenizer_file` is None where none lies with the
    weights.
    """

    config: dict[str, Any]
    tensors: Weights
    tokenizer_file: Path | None
    source: Path


def layout_of(path: Path) -> str | None:
    """upstream, diffusers, comfyui or gguf where `path` is a DiT checkpoint, else None. Reads headers only."""
    if path.is_dir():
        if (path / "transformer" / "config.json").is_file():
            return "diffusers"
        return "upstream" if is_upstream_dit(path) else None
    if path.suffix not in FILE_LAYOUTS:
        return None
    is_dit = _prefix(open_weights(path), keymaps.COMFYUI_DIT, (keymaps.DIT_MARK,)) is not None
    return FILE_LAYOUTS[path.suffix] if is_dit else None


def is_upstream_dit(folder: Path) -> bool:
    """Whether a folder's config.json is that of an ACE-Step DiT."""
    config = folder / "config.json"
    return config.is_file() and (
        read_json(config).get("model_type") == "acestep" or "timbre_fix_frame" in read_json(config)
    )


# --- DiT ------------------------------------------------------------------------------------------------------------


def open_dit(path: Path, variant: str | None = None) -> DitFiles:
    """Opens a DiT from an upstream folder, a diffusers folder, a ComfyUI or GGUF file, or a folder that holds exactly
    one of them.

    Args:
        variant: what the checkpoint is (`turbo`, `xl-base`, …). Required for ComfyUI files, which cannot say;
            otherwise a check.

    Raises:
        CheckpointError: missing, incomplete, damaged, of another kind, unclear variant, or absent or all-zero silence
            latent.
    """
    path = _existing(path)
    if path.is_file() and path.name.startswith("model.safetensors") and is_upstream_dit(path.parent):
        path = path.parent
    if path.is_file():
        return _dit_from_file(path, variant)
    layout = layout_of(path)
    if layout == "diffusers":
        return _dit_from_diffusers(path, variant)
    if layout == "upstream":
        return _dit_from_upstream(path, variant)
    if (path / "model.safetensors").is_file():  # a folder whose config.json is missing
        return _dit_from_file(path / "model.safetensors", variant)
    return open_dit(_only_dit_in(path), variant)


def _dit_from_upstream(folder: Path, variant: str | None) -> DitFiles:
    config = read_config(folder / "config.json")
    tensors = without_derived(open_weights(folder))
    return _dit_of(config, tensors, read_silence(folder / SILENCE_FILE), variant, folder)


def _dit_from_diffusers(folder: Path, variant: str | None) -> DitFiles:
    configs, tensors, kept = {}, Weights({}), None
    for component in keymaps.COMPONENTS.values():
        if not (folder / component).is_dir():
            raise CheckpointError(
                f"The diffusers checkpoint {folder} has no {component}/ folder; {again()}, or convert it again."
            )
        configs[component] = read_config(folder / component / "config.json")
        _require_keys(configs[component], DIFFUSERS_KEYS[component], folder / component)
        opened = open_weights(folder / component)
        kept = kept or kept_config(opened, folder / component)
        tensors = tensors.merged(opened.renamed(lambda name, c=component: keymaps.dit_from_diffusers(c, name)))  # type: ignore[misc]
    silence = _diffusers_silence(folder, tensors)
    tensors = tensors.renamed(lambda name: None if name == f"encoder.{keymaps.SILENCE}" else name)
    return _dit(kept or diffusers_config(configs), without_derived(tensors), silence, variant, folder)


def _dit_from_file(path: Path, variant: str | None) -> DitFiles:
    opened = open_weights(path)
    prefix = _prefix(opened, keymaps.COMFYUI_DIT, (keymaps.DIT_MARK,))
    if prefix is None:
        raise CheckpointError(
            f"{path} holds no ACE-Step 1.5 DiT; choose a file from diffusion_models/ or an all-in-one checkpoint."
        )
    tensors = without_derived(opened.select(prefix))
    beside = path.parent / SILENCE_FILE
    silence = read_silence(beside) if beside.is_file() else None
    if keymaps.SILENCE in tensors:
        silence = checked_silence(tensors.unmapped()[keymaps.SILENCE][None], path)
        tensors = tensors.renamed(lambda name: None if name == keymaps.SILENCE else name)
    config = kept_config(opened, path) or shapes.dit_config(tensors.shapes, path)
    return _dit_of(config, tensors, silence, variant, path)


def _dit_of(
    config: dict[str, Any], tensors: Weights, silence: Tensor | None, variant: str | None, source: Path
) -> DitFiles:
    """From a config of upstream's, which may leave out what follows from the rest."""
    _require_keys(config, ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"), source)
    config = checked({"num_key_value_heads": config["num_attention_heads"], "head_dim": 128} | config, source)
    return _dit(config, tensors, silence, variant, source)


def _dit(
    config: dict[str, Any], tensors: Weights, silence: Tensor | None, variant: str | None, source: Path
) -> DitFiles:
    require_match(shapes.dit_shapes(config), tensors.shapes, source)
    chosen = classified(config, is_xl(config), source, variant)
    # What the caller or the folder name settled belongs in the config too: whoever builds the model reads it there.
    config = config | {"is_turbo": chosen.is_turbo, "model_version": chosen.kind}
    return DitFiles(config, tensors, silence, chosen, source)


def classified(config: Mapping[str, Any], xl: bool, source: Path, variant: str | None = None) -> Variant:
    """Which variant a checkpoint is: by what it says, see `catalog.classify`, else by what was said about it before."""
    try:
        return catalog.classify(config, xl, display_name(source), variant)
    except CheckpointError:
        said = remembered(source) if variant is None else None
        if said is None:
            raise
        return catalog.classify(config, xl, display_name(source), said)


def kept_config(weights: Weights, source: Path) -> dict[str, Any] | None:
    """The `config.json` that a file keeps in its header, if it does. Raises CheckpointError where it is damaged."""
    text = weights.metadata.get(KEPT_CONFIG)
    if text is None:
        return None
    return checked(json_object(str(text), f"The config in {source}", again(), CheckpointError), source)


def is_xl(config: Mapping[str, Any]) -> bool:
    """XL checkpoints have an encoder of another width than their decoder."""
    return bool(config.get("encoder_hidden_size")) and config["encoder_hidden_size"] != config.get("hidden_size")


def diffusers_config(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The four configs of a diffusers checkpoint -> upstream's one."""
    decoder, encoder = configs["transformer"], configs["condition_encoder"]
    tokenizer = configs["audio_tokenizer"]
    config = shapes.DIT_DEFAULTS | {key: value for key, value in decoder.items() if not key.startswith("_")}
    for key in ENCODER_KEYS:
        config[key] = encoder[key]
    for key in TOKENIZER_KEYS:
        config[key] = tokenizer[key]
    config.pop("encoder_hidden_size", None)
    if encoder["hidden_size"] != decoder["hidden_size"]:
        for key in BLOCK_KEYS:
            config[f"encoder_{key}"] = encoder[key]
    # diffusers fills a missing flag with False and a missing version with None, so only what is set says anything.
    version = str(decoder.get("model_version") or "")
    config["is_turbo"] = bool(decoder.get("is_turbo")) or version == "turbo"
    config["model_version"] = version
    return config


def read_silence(path: Path) -> Tensor:
    """A `silence_latent.pt`, stored as `[1, 64, 15000]` -> `[1, 15000, 64]`."""
    stored = load_pt(path)
    if not hasattr(stored, "ndim") or stored.ndim != 3 or stored.shape[1] != 64:
        raise CheckpointError(f"{path} is not a silence latent of shape [1, 64, {SILENCE_FRAMES}]; {again()}.")
    return checked_silence(stored.transpose(1, 2).contiguous(), path)


def checked_silence(silence: Tensor, source: Path) -> Tensor:
    """`silence` `[1, 15000, 64]`, if it can be one. Raises CheckpointError where it is all zero, too short or not
    finite.
    """
    if tuple(silence.shape) != (1, SILENCE_FRAMES, 64):
        raise CheckpointError(
            f"The silence latent in {source} is {list(silence.shape)} instead of [1, {SILENCE_FRAMES}, 64]; {again()}."
        )
    if not silence.isfinite().all():
        raise CheckpointError(f"The silence latent in {source} holds values that are not finite; {again()}.")
    if not silence.any():
        raise CheckpointError(
            f"The silence latent in {source} is all zero, a placeholder that makes every song a drone; "
            f"copy upstream's {SILENCE_FILE} there, or {again()}."
        )
    return silence


def _diffusers_silence(folder: Path, tensors: Weights) -> Tensor:
    name = f"encoder.{keymaps.SILENCE}"
    if (folder / SILENCE_FILE).is_file():
        return read_silence(folder / SILENCE_FILE)
    if name not in tensors:
        raise CheckpointError(
            f"The diffusers checkpoint {folder} has no silence latent; copy upstream's {SILENCE_FILE} into it."
        )
    return checked_silence(tensors.unmapped()[name], folder / "condition_encoder")


# --- VAE ------------------------------------------------------------------------------------------------------------


def open_vae(path: Path) -> VaeFiles:
    """Opens the VAE from its folder, from a folder that holds `vae/`, or from a ComfyUI or GGUF file.

    Raises CheckpointError where it is missing, damaged, or not the 48 kHz VAE of ACE-Step 1.5.
    """
    path = _existing(path)
    if path.is_dir():
        folder = path / catalog.VAE if (path / catalog.VAE).is_dir() else path
        opened = open_weights(folder)
        config = read_config(folder / "config.json") if (folder / "config.json").is_file() else None
    else:
        folder, opened = path, open_weights(path)
        config = kept_config(opened, path)
    prefix = _prefix(opened, keymaps.COMFYUI_VAE, (keymaps.SAT_VAE_MARK, keymaps.DIFFUSERS_VAE_MARK))
    if prefix is None:
        raise CheckpointError(f"{folder} holds no audio VAE; choose the vae/ folder or ace_1.5_vae.safetensors.")
    tensors = opened.select(prefix)
    names = keymaps.vae_names(list(tensors))
    tensors = tensors.renamed(names.__getitem__).reshaped(keymaps.snake_shape)
    if config is None:
        config = shapes.vae_config(tensors.shapes, folder)
    _require_keys(
        config, ("encoder_hidden_size", "downsampling_ratios", "channel_multiples", "decoder_channels"), folder
    )
    shapes.require_hop(config["downsampling_ratios"], folder)
    if len(config["channel_multiples"]) != len(config["downsampling_ratios"]):
        raise CheckpointError(
            f"The config of {folder} needs as many channel_multiples as downsampling_ratios; {again()}."
        )
    require_match(shapes.vae_shapes(config), tensors.shapes, folder)
    return VaeFiles(config, tensors, folder)


# --- text encoder and language model --------------------------------------------------------------------------------


def open_text_encoder(path: Path) -> QwenFiles:
    """Opens the Qwen3 text encoder from its folder, a folder that holds it, or a ComfyUI or GGUF file."""
    path = _existing(path)
    if path.is_dir():
        path = next((path / name for name in (catalog.TEXT_ENCODER, "text_encoder") if (path / name).is_dir()), path)
    return _open_qwen(path, keymaps.COMFYUI_TEXT_ENCODER, "text encoder", "qwen_0.6b_ace15.safetensors")


def open_lm(path: Path) -> QwenFiles:
    """Opens the 5 Hz language model from its folder, a folder that holds exactly one, or a ComfyUI or GGUF file."""
    path = _existing(path)
    if path.is_dir() and not (path / "config.json").is_file():
        path = _only(
            sorted(p for p in path.glob("acestep-5Hz-lm-*") if p.is_dir()), path, "language model", "acestep-5Hz-lm-*/"
        )
    return _open_qwen(path, keymaps.COMFYUI_LM, "language model", "qwen_1.7b_ace15.safetensors")


def _open_qwen(path: Path, prefixes: Iterable[str], kind: str, example: str) -> QwenFiles:
    opened = open_weights(path)
    prefix = _prefix(opened, prefixes, keymaps.QWEN_MARKS)
    if prefix is None:
        raise CheckpointError(f"{path} holds no Qwen3 {kind}; choose its folder or a file such as {example}.")
    opened = opened.select(prefix)
    _require_tied_head(opened, path)
    tensors = without_derived(opened.renamed(keymaps.qwen_name))
    config_file = path / "config.json"
    config = read_config(config_file) if path.is_dir() and config_file.is_file() else kept_config(opened, path)
    if config is not None:
        _require_keys(
            config, ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"), path
        )
    else:
        config = shapes.qwen_config(tensors.shapes, path)
    require_match(shapes.qwen_shapes(config), tensors.shapes, path)
    return QwenFiles(config, tensors, tokenizer_beside(path, config["vocab_size"]), path)


def tokenizer_beside(weights: Path, rows: int) -> Path | None:
    """The `tokenizer.json` that belongs to a model folder, or to a weights file with an embedding of `rows` rows, if
    there is one.
    """
    if weights.is_dir():
        candidates = [weights / "tokenizer.json"]
        if weights.name == "text_encoder":
            candidates.append(weights.parent / "tokenizer" / "tokenizer.json")
        return next((file for file in candidates if file.is_file()), None)
    # An all-in-one file holds two Qwen3 models, so the file beside it may be the other one's.
    candidates = [weights.with_suffix(".tokenizer.json"), weights.with_suffix("") / "tokenizer.json"]
    beside = next((file for file in candidates if file.is_file() and fit_of(file, rows) is Fit.OWN), None)
    within = weights.suffix == ".gguf" and fit_of(weights, rows) is not Fit.OTHER
    return beside or (weights if within else None)


def _require_tied_head(tensors: Weights, path: Path) -> None:
    """An output head that is stored anyway must be the embedding; this library has no room for another one."""
    stored = {name.removeprefix("model."): name for name in tensors}
    if keymaps.HEAD not in stored or "embed_tokens.weight" not in stored:
        return
    head, table = tensors[stored[keymaps.HEAD]], tensors[stored["embed_tokens.weight"]]
    if head.ndim != 2 or head.shape != table.shape or not _alike(head[::997].float(), table[::997].float()):
        raise CheckpointError(
            f"{path} has an output head of its own, but ACE-Step's Qwen3 models share it with the embedding; {again()}."
        )


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same but for how they were packed."""
    return bool((a - b).norm() <= 0.1 * b.norm())


# --- helpers --------------------------------------------------------------------------------------------------------


def display_name(path: Path) -> str:
    """The name of a model folder or file; in a Hugging Face cache, that of its repository."""
    if path.parent.name == "snapshots":
        return path.parent.parent.name.rpartition("--")[2]
    return path.name


def _prefix(tensors: Weights, prefixes: Iterable[str], marks: Iterable[str]) -> str | None:
    return next((prefix for prefix in prefixes for mark in marks if prefix + mark in tensors.infos), None)


def _existing(path: Path) -> Path:
    path = Path(path).expanduser()
    if not path.exists():
        raise CheckpointError(
            f"There is no checkpoint at {path}; correct the path or fetch one with `{catalog.fetch('main')}`."
        )
    return path


def _require_keys(config: Mapping[str, Any], keys: Iterable[str], source: Path) -> None:
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise CheckpointError(f"The config.json of {source} lacks {', '.join(missing)}; {again()}.")


def _only_dit_in(folder: Path) -> Path:
    found = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".") and layout_of(p)]
    return _only(found, folder, "DiT", "acestep-v15-turbo/")


def _only(found: list[Path], folder: Path, kind: str, example: str) -> Path:
    if not found:
        raise CheckpointError(f"{folder} holds no {kind} (such as {example}); choose another folder or {again()}.")
    if len(found) > 1:
        raise CheckpointError(
            f"{folder} holds several {kind}s ({', '.join(p.name for p in found)}); choose one of them."
        )
    return found[0]
