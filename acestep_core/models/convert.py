"""A checkpoint from one layout into another: the same weights under other names, and what a layout has no file for.

ComfyUI's files and diffusers' folders have no place for upstream's config, and ComfyUI's none for tokenizer and silence
latent. So those that are written here keep the config in the header, the silence latent beside the weights of the DiT,
and the tokenizer in a folder of the name of its file. Other programs pass over them, and the way back loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acestep_core import devices
from acestep_core.checkpoints import catalog, keymaps
from acestep_core.checkpoints.choose import candidates, choose, missing
from acestep_core.checkpoints.find import Found, ModelEntry, find_checkpoint, find_tokenizer
from acestep_core.checkpoints.layouts import (
    DitFiles,
    QwenFiles,
    VaeFiles,
    display_name,
    open_dit,
    open_lm,
    open_text_encoder,
    open_vae,
)
from acestep_core.checkpoints.writing import (
    qwen_for_comfyui,
    vae_for_comfyui,
    write_diffusers_dit,
    write_json,
    write_tensors,
    write_tokenizer,
    write_upstream_dit,
)
from acestep_core.errors import CheckpointError
from acestep_core.models.handles import VAEHandle
from acestep_core.models.manager import manager
from acestep_core.models.silence import encode_silence, silence_bytes
from acestep_core.monitor import SILENT, Monitor

PACKED_AS = "bf16"
"""The number format of weights that were packed, where none is asked for."""
_DTYPE_KEYS = ("dtype", "torch_dtype")


@dataclass(frozen=True)
class Converted:
    """What was written, and what there is to say about it."""

    paths: tuple[Path, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parts:
    """A checkpoint as it was found; what is not there is None. `size` is that of the language model."""

    dit: DitFiles | None
    vae: VaeFiles | None
    text: QwenFiles | None
    lm: QwenFiles | None
    silence: Tensor | None
    size: str


@dataclass(frozen=True)
class Job:
    """One folder or file to write."""

    path: Path
    write: Callable[[], None]


def convert(
    source: Path,
    dest: Path,
    layout: str,
    dtype: str | None = None,
    variant: str | None = None,
    monitor: Monitor = SILENT,
) -> Converted:
    """Writes a checkpoint in another layout; every tensor is the same, bit for bit, unless `dtype` asks otherwise.

    Args:
        source: a checkpoints folder, a model folder or a weights file; the DiT that `open_models` would take, with the
            VAE, text encoder and language model that go with it, or those alone where there is no DiT.
        dest: a folder for models: `dest/acestep-v15-turbo` and its neighbours for `upstream`, `dest/diffusion_models`
            and so on for `comfyui`, `dest/acestep-v15-turbo-diffusers` (and the language model beside it) for
            `diffusers`. A model that is not a published one keeps its own name.
        layout: one of `catalog.LAYOUTS`.
        dtype: `bf16`, `fp16` or `fp32` for all weights; None keeps what they have, and unpacks packed ones to bf16.
        variant: which DiT to take, or what a single file is that cannot say.

    Raises:
        CheckpointError: nothing usable is there, it cannot say its variant, a part that the layout needs is missing,
            or something lies where a part would be written.
    """
    if layout not in catalog.LAYOUTS:
        raise CheckpointError(f"There is no layout called {layout!r}; choose one of {', '.join(catalog.LAYOUTS)}.")
    found = find_checkpoint(Path(source))
    parts, remarks = _opened(found, dtype, variant)
    jobs = _JOBS[layout](parts, Path(dest).expanduser(), found)
    for job in jobs:
        if job.path.is_file() or (job.path.is_dir() and any(job.path.iterdir())):
            raise CheckpointError(f"{job.path} is there already; choose another folder, or remove it.")
    for done, job in enumerate(jobs):
        monitor.tick(f"writing {job.path.name}", done, len(jobs))
        job.write()
    monitor.tick("converted", len(jobs), len(jobs))
    return Converted(tuple(job.path for job in jobs), remarks)


# --- what is there --------------------------------------------------------------------------------------------------


def _opened(found: Found, dtype: str | None, variant: str | None) -> tuple[Parts, tuple[str, ...]]:
    dit, entry = None, None
    if any(entry.kind == "dit" for entry in found.entries):
        choice = choose("dit", variant=variant, roots=found)
        dit, entry = open_dit(choice.entry.path, choice.variant), choice.entry
    beside = {kind: next(iter(candidates(kind, found, entry)), None) for kind in ("vae", "text_encoder", "lm")}
    if dit is None and not any(beside.values()):
        raise missing("dit", found)
    opened: tuple[Any, ...] = tuple(
        None if part is None else open_part(part.path)
        for part, open_part in zip(beside.values(), (open_vae, open_text_encoder, open_lm), strict=True)
    )
    silence, remarks = dit.silence if dit else None, []
    if dit is not None and silence is None:
        silence = _silence_of(beside["vae"], found, entry)
        remarks.append("The silence latent was made with the VAE, because no file here holds it.")
    if any(files is not None and files.tensors.format for files in (dit, *opened)) and dtype is None:
        remarks.append(f"Packed weights were unpacked to {PACKED_AS}.")
    lm = beside["lm"]
    vae, text, planner = (_as(files, dtype) for files in opened)
    return Parts(_as(dit, dtype), vae, text, planner, silence, lm.size if lm else ""), tuple(remarks)


def _silence_of(vae: ModelEntry | None, found: Found, dit: ModelEntry | None) -> Tensor:
    if vae is None:
        raise missing("vae", found, dit)
    with manager.resident(VAEHandle(vae.path, "fp32", "cpu"), silence_bytes) as module:
        return encode_silence(module).clone()


def _as(files: Any, dtype: str | None) -> Any:
    """Opened files with every weight in a number format; a config that names one names this."""
    if files is None or (dtype is None and not files.tensors.format):
        return files
    if dtype not in (None, *(name for name, known in devices.DTYPES.items() if known is not None)):
        raise CheckpointError(f"There is no number format called {dtype!r}; choose bf16, fp16 or fp32.")
    wanted = devices.DTYPES[dtype or PACKED_AS]
    assert wanted is not None
    packed = {name for name, info in files.tensors.infos.items() if info.packed}
    tensors = {
        name: tensor.to(wanted) if (dtype or name in packed) and tensor.is_floating_point() else tensor
        for name, tensor in files.tensors.unpacked(wanted if dtype is None else torch.float32).items()
    }
    named = str(wanted).removeprefix("torch.")
    config = files.config | {key: named for key in _DTYPE_KEYS if key in files.config}
    return replace(files, tensors=tensors, config=config)


# --- layouts --------------------------------------------------------------------------------------------------------


def _upstream(parts: Parts, dest: Path, found: Found) -> list[Job]:
    dit, vae, text = parts.dit, parts.vae, parts.text
    jobs = []
    if dit is not None:
        jobs.append(
            Job(folder := dest / _name(dit), lambda: write_upstream_dit(dit.config, dit.tensors, parts.silence, folder))
        )
    if vae is not None:
        jobs.append(Job(dest / catalog.VAE, lambda: _write_vae(vae, dest / catalog.VAE)))
    if text is not None:
        jobs.append(Job(dest / catalog.TEXT_ENCODER, lambda: _write_qwen(text, dest / catalog.TEXT_ENCODER)))
    return [*jobs, *_lm_folder(parts, dest)]


def _diffusers(parts: Parts, dest: Path, found: Found) -> list[Job]:
    """diffusers' pipeline has no language model: it lies beside it, as upstream has it."""
    dit, vae, text = parts.dit, parts.vae, parts.text
    for kind, files in (("dit", dit), ("vae", vae), ("text_encoder", text)):
        if files is None:
            raise missing(kind, found)
    assert dit is not None and vae is not None and text is not None and parts.silence is not None
    folder, silence = dest / f"{_name(dit)}-diffusers", parts.silence

    def write() -> None:
        write_diffusers_dit(dit, silence, folder, dit.config)
        _write_vae(vae, folder / "vae")
        _write_qwen(text, folder / "text_encoder", folder / "tokenizer")

    return [Job(folder, write), *_lm_folder(parts, dest)]


def _comfyui(parts: Parts, dest: Path, found: Found) -> list[Job]:
    dit, vae = parts.dit, parts.vae
    jobs = []
    if dit is not None:
        held: dict[str, Tensor] = {} if parts.silence is None else {keymaps.SILENCE: parts.silence[0]}
        published = _name(dit) == dit.variant.folder
        stem = f"acestep_v1.5_{dit.variant.name.replace('-', '_')}" if published else _name(dit)
        path = dest / "diffusion_models" / f"{stem}.safetensors"
        jobs.append(Job(path, lambda: write_tensors(path, {**dit.tensors, **held}, config=dit.config)))
    if vae is not None:
        file = dest / "vae" / "ace_1.5_vae.safetensors"
        jobs.append(Job(file, lambda: write_tensors(file, vae_for_comfyui(vae), config=vae.config)))
    lm_name = {"0.6B": "acestep_5hz_lm_0.6b", "4B": "qwen_4b_ace15"}.get(parts.size, "qwen_1.7b_ace15")
    for files, name in ((parts.text, "qwen_0.6b_ace15"), (parts.lm, lm_name)):
        if files is not None:
            jobs += _comfyui_qwen(files, dest / "text_encoders" / f"{name}.safetensors")
    return jobs


_JOBS: dict[str, Callable[[Parts, Path, Found], list[Job]]] = dict(
    zip(catalog.LAYOUTS, (_upstream, _diffusers, _comfyui), strict=True)
)


def _comfyui_qwen(files: QwenFiles, path: Path) -> list[Job]:
    """ComfyUI has the words itself: a tokenizer goes along only where one lies with the weights."""
    jobs = [Job(path, lambda: write_tensors(path, qwen_for_comfyui(files.tensors), config=files.config))]
    if words := files.tokenizer_file:
        folder = path.with_suffix("")
        jobs.append(Job(folder, lambda: write_tokenizer(words, files.config["vocab_size"], folder)))
    return jobs


def _lm_folder(parts: Parts, dest: Path) -> list[Job]:
    lm = parts.lm
    if lm is None:
        return []
    folder = dest / (f"acestep-5Hz-lm-{parts.size}" if parts.size else _stem(lm.source))
    return [Job(folder, lambda: _write_qwen(lm, folder))]


def _write_vae(files: VaeFiles, folder: Path) -> None:
    write_tensors(folder / "diffusion_pytorch_model.safetensors", files.tensors)
    write_json(folder / "config.json", {"_class_name": "AutoencoderOobleck"} | files.config)


def _write_qwen(files: QwenFiles, folder: Path, words: Path | None = None) -> None:
    write_tensors(folder / "model.safetensors", files.tensors)
    write_tokenizer(find_tokenizer(files), files.config["vocab_size"], words or folder)
    stored: Mapping[str, Any] = {"architectures": ["Qwen3Model"], "dtype": _dtype(files)}
    write_json(folder / "config.json", {**stored, **files.config})


def _dtype(files: QwenFiles) -> str:
    return str(files.tensors["norm.weight"].dtype).removeprefix("torch.")


def _name(files: DitFiles) -> str:
    """The folder of a published model, or the own name of another."""
    own = _stem(files.source)
    return files.variant.folder if catalog.published_as(own, files.variant.xl) else own


def _stem(source: Path) -> str:
    name = display_name(source)
    return Path(name).stem if source.is_file() else name.removesuffix("-diffusers")
