"""Trainsets of upstream's program: a folder of `.pt` files, turned into one of ours.

Only tensors and plain values are unpickled; a file that wants more than that is refused. Source: upstream
`training/dataset_builder_modules/preprocess.py`, `training/data_module.py`.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from acestep_core.errors import DatasetError
from acestep_core.io.text import read_text
from acestep_core.monitor import SILENT, Monitor
from acestep_core.train.dataset_options import Preprocessing
from acestep_core.train.latents import check_share
from acestep_core.train.trainset import MANIFEST, Manifest, TrainEntry, Trainset, write_tensors
from acestep_core.vocabulary import LATENT_CHANNELS

REMARK: Final = "Made with upstream's training prompt; preprocess the recordings again for better results."
_FOLDER = "conditions/upstream"


def is_upstream(folder: Path) -> bool:
    """Whether a folder holds upstream's tensors."""
    return folder.is_dir() and not _is_ours(folder) and any(_files(folder))


def import_upstream(folder: Path | str, target: Path | str, monitor: Monitor = SILENT) -> Trainset:
    """Makes a trainset of ours in `target`. A file that does not fit becomes a problem of the manifest.

    Raises:
        DatasetError: there are no such files, or none can be used.
    """
    folder, target = Path(folder), Path(target)
    files = list(_files(folder))
    if not files:
        raise DatasetError(f"There are no .pt files of upstream's program in {str(folder)!r}; check the folder.")
    entries: list[TrainEntry] = []
    problems: dict[str, str] = {}
    silence: Tensor | None = None
    for number, path in enumerate(files, start=1):
        identity = hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest()[:8]
        try:
            tensors, about = _read(path)
            context = tensors["context_latents"][:, :LATENT_CHANNELS]
            silence = context if silence is None else silence
            shared = min(len(silence), len(context))
            if not torch.equal(silence[:shared], context[:shared]):
                raise DatasetError(f"{path.name} was not made of text and silence alone; only such can be trained.")
            silence = context if len(context) > len(silence) else silence
            entries.append(_written(target, identity, path, tensors, about))
        except DatasetError as error:
            problems[identity] = str(error)
        monitor.tick("Importing", number, len(files))
    check_share(len(problems), len(files), next(iter(problems.values()), ""), True, "Importing")
    assert silence is not None
    write_tensors(target / _FOLDER / "shared.safetensors", {"silence": silence}, {})
    settings = Preprocessing(length="full", vae_mode="mean").to_flat()
    manifest = Manifest({"name": folder.name}, {"variant": ""}, settings, tuple(entries), {**problems, "": REMARK})
    manifest.save(target)
    return Trainset.open(target)


def _is_ours(folder: Path) -> bool:
    try:
        return "format" in json.loads(read_text(folder / MANIFEST, DatasetError))
    except (DatasetError, ValueError, TypeError):
        return False


def _files(folder: Path) -> Iterator[Path]:
    """Those that upstream's manifest names, or all there are; half-written ones are none."""
    named: list[Path] = []
    try:
        listed = json.loads(read_text(folder / MANIFEST, DatasetError))["samples"]
        names = [str(name).replace("\\", "/").rpartition("/")[2] for name in listed]
        named = [folder / name for name in names]
    except (DatasetError, ValueError, TypeError, KeyError):
        named = sorted(folder.glob("*.pt"))
    for path in dict.fromkeys(named):
        if path.suffix == ".pt" and not path.name.endswith(".tmp.pt") and path.is_file():
            yield path


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors without padding, and what upstream notes about the song."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise DatasetError(f"{path.name} is damaged, or holds more than tensors; preprocess the song again.") from error
    names = ("target_latents", "attention_mask", "encoder_hidden_states", "encoder_attention_mask", "context_latents")
    if not isinstance(found, dict) or not all(isinstance(found.get(name), Tensor) for name in names):
        raise DatasetError(f"{path.name} is no song of upstream's program; it lacks some of {', '.join(names)}.")
    latents, mask, states, states_mask, context = (found[name].float() for name in names)
    shapes = (
        latents.ndim == context.ndim == states.ndim == 2
        and latents.shape[1] == LATENT_CHANNELS
        and context.shape == (len(latents), 2 * LATENT_CHANNELS)
        and mask.shape == latents.shape[:1]
        and states_mask.shape == states.shape[:1]
    )
    if not shapes or not all(bool(torch.isfinite(part).all()) for part in (latents, states, context)):
        raise DatasetError(f"{path.name} holds tensors of the wrong shape, or no numbers; preprocess the song again.")
    kept = mask > 0
    latents, context, states = latents[kept], context[kept], states[states_mask > 0]
    if not len(latents) or not len(states):
        raise DatasetError(f"{path.name} holds nothing but padding; preprocess the song again.")
    if torch.equal(context[:, :LATENT_CHANNELS], latents):
        raise DatasetError(
            f"{path.name} shows the model the very song that it should learn (upstream's mode LoKr), so it would learn "
            "to copy; preprocess the song again in mode LoRA."
        )
    if not bool((context[:, LATENT_CHANNELS:] == 1).all()):
        raise DatasetError(f"{path.name} was made for another task than text to music; only that can be trained.")
    about = found.get("metadata")
    return (
        {"target_latents": latents, "encoder_hidden_states": states, "context_latents": context},
        about if isinstance(about, dict) else {},
    )


def _written(target: Path, identity: str, path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> TrainEntry:
    latents, states = tensors["target_latents"], tensors["encoder_hidden_states"]
    names = f"latents/{identity}-upstream.safetensors", f"{_FOLDER}/{identity}.safetensors"
    name = str(about.get("filename") or path.name)
    nothing = states[:0]
    digests = (
        write_tensors(target / names[0], {"mean": latents, "std": torch.zeros_like(latents)}, {"name": name}),
        write_tensors(
            target / names[1], {"caption.0": states, "lyrics": nothing, "timbre.silence": nothing}, {"name": name}
        ),
    )
    return TrainEntry(identity, name, *names, digests, len(latents), tag=str(about.get("custom_tag") or ""))
