"""The record of a song: what its batch was made from, together with the models and the machine that made it."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.records.song_record import FileRecord, SongRecord, describe_file, versions

if TYPE_CHECKING:
    from acestep_core.models.handles import Models
    from acestep_core.pipeline.generation import Generation


def describe_models(models: Models, lm: bool = False, hashes: bool = True) -> tuple[FileRecord, ...]:
    """The weights a song depends on.

    Args:
        lm: whether the language model is one of them.
        hashes: also tells them by their content; they are read once for that, and remembered.
    """

    def described(role: str, path: Path, strength: float | None = None) -> FileRecord:
        return describe_file(role, path, strength) if hashes else FileRecord(role, path.name, strength=strength)

    model = models.model
    found = [replace(described("dit", model.path), extra={"variant": model.variant})]
    if model.text is not None:
        found.append(described("text_encoder", model.text.path))
    found.append(described("vae", models.vae.path))
    if lm and models.lm is not None:
        found.append(described("lm", models.lm.path))
    return (*found, *(described("adapter", adapter.path, adapter.strength) for adapter in model.adapters))


def machine_of(models: Models) -> dict[str, str]:
    """Device and number formats that the models really use."""
    from acestep_core import devices

    device = devices.pick_device(models.model.device)
    handles = {"dit": models.model, "text": models.model.text, "vae": models.vae}
    found = {"device": str(device), "name": devices.device_name(device), "system": platform.system()}
    for role, handle in handles.items():
        if handle is not None:
            place = devices.pick_device(handle.device)
            dtype = devices.dtype_name(devices.dtype_for(role, place, handle.dtype))
            found["text_encoder" if role == "text" else role] = dtype if place == device else f"{dtype} on {place}"
    return found


def record_of(made: Generation, item: int) -> SongRecord:
    """The record of one item of a batch."""
    origin, task = made.origin, made.tasks[item if len(made.tasks) > 1 else 0]
    about: dict[str, Any] = {"name": task.name, "call": origin.call, "arguments": dict(origin.arguments)}
    about |= {"index": made.places[item], "seeds": list(origin.seeds)}
    if len(origin.codes) > 1:
        about["codes"] = [list(codes) for codes in origin.codes]
    seeds = {"noise": made.seeds[item]}
    if origin.think is not None:
        about["think"] = dict(origin.think)
        seeds["plan"] = origin.think["seed"]
    if any(file.role == "reference" for file in origin.files):
        seeds["reference"] = origin.reference_seed
    if made.settings.retake_seed is not None and made.settings.retake_variance != 0:
        seeds["retake"] = made.settings.retake_seed
    asked_here = origin.think is not None and not any(file.role == "lm" for file in origin.files)
    return SongRecord(
        song=made.song.to_dict(),
        seeds=seeds,
        plan="" if made.plan is None else made.plan.to_text(),
        codes=task.codes,
        task=about,
        settings=made.settings.to_dict(),
        finish=origin.finish,
        files=(*describe_models(made.models, asked_here), *origin.files),
        machine=machine_of(made.models),
        versions=versions(),
        seconds=made.seconds,
        scores=made.scores[item] if made.scores else {},
    )
