"""The record of a song: what its batch was made from, together with the models and the machine that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.checkpoints.layouts import FILE_LAYOUTS
from acestep_core.checkpoints.weights import open_weights
from acestep_core.io import system
from acestep_core.records.song_record import FileRecord, SongRecord, describe_file, versions

if TYPE_CHECKING:
    from acestep_core.models.handles import Models
    from acestep_core.pipeline.made import Made


def describe_models(models: Models, lm: bool = False, hashes: bool = True) -> tuple[FileRecord, ...]:
    """The weights a song depends on; of packed ones also how, such as `"weights": "Q8_0"`.

    Args:
        lm: whether the language model is one of them.
        hashes: also tells them by their content; they are read once for that, and remembered.
    """

    def described(role: str, path: Path, strength: float | None = None, **extra: str) -> FileRecord:
        found = describe_file(role, path, strength) if hashes else FileRecord(role, path.name, strength=strength)
        packed = open_weights(path).format if path.suffix in FILE_LAYOUTS and role != "adapter" else ""
        return replace(found, extra=extra | ({"weights": packed} if packed else {}))

    model = models.model
    found = [described("dit", model.path, variant=model.variant)]
    if model.text is not None:
        found.append(described("text_encoder", model.text.path))
    found.append(described("vae", models.vae.path))
    if lm and models.lm is not None:
        found.append(described("lm", models.lm.path))
    return (*found, *(described("adapter", adapter.path, adapter.strength) for adapter in model.adapters))


def machine_of(models: Models) -> dict[str, Any]:
    """Device and number formats that the models really use, and the processor's threads."""
    from acestep_core import devices

    device = devices.pick_device(models.model.device)
    handles = {"dit": models.model, "text": models.model.text, "vae": models.vae}
    found: dict[str, Any] = {"device": str(device), "name": devices.device_name(device), "system": system.NAME}
    for role, handle in handles.items():
        if handle is not None:
            place = devices.pick_device(handle.device)
            dtype = handle.format_name(place)
            found["text_encoder" if role == "text" else role] = dtype if place == device else f"{dtype} on {place}"
    return found | {"threads": devices.thread_count()}


def record_of(
    made: Made, item: int, file: Mapping[str, Any], graph: Mapping[str, Any] | None, hashes: bool
) -> SongRecord:
    """The record of one song of a batch, see `Made.record`."""
    origin, task = made.origin, made.task(item)
    about: dict[str, Any] = {"name": task.name, "call": origin.call, "arguments": dict(origin.arguments)}
    about |= {"index": made.places[item], "seeds": list(origin.seeds)}
    if origin.at_once is not None and origin.at_once != len(origin.seeds):
        about["at_once"] = origin.at_once
    if task.tracks:
        about["tracks"] = list(task.tracks)
    if len(origin.codes) > 1:
        about["codes"] = [list(codes) for codes in origin.codes]
    if origin.album_caption:
        about["album_caption"] = origin.album_caption
    seeds = {"noise": made.seeds[item]}
    if origin.think is not None:
        about["think"] = dict(origin.think)
        seeds["plan"] = origin.think["seed"]
    if heard := [entry.extra["clip_seed"] for entry in origin.files if entry.role == "reference"]:
        seeds["reference"] = heard[0]
    if made.settings.sampling.retake_variance > 0:
        seeds["retake"] = made.settings.sampling.retake_seed
    asked_here = origin.think is not None and not any(entry.role == "lm" for entry in origin.files)
    return SongRecord(
        song=made.song.to_dict(),
        seeds=seeds,
        plan="" if made.plan is None else made.plan.to_text(),
        codes=task.codes,
        task=about,
        settings=made.settings.to_dict(),
        finish=made.finish.to_flat() | dict(file),
        files=(*describe_models(made.models, asked_here, hashes), *origin.files),
        machine=machine_of(made.models) | _own_models(made),
        versions=versions(),
        seconds=made.seconds,
        scores=made.scores[item] if made.scores else {},
        graph=graph,
    )


def _own_models(made: Made) -> dict[str, bool]:
    """Whether a model of our own took part, and whether it was the one that makes music."""
    return ({"test_model": True} if made.tiny else {}) | ({"toy_model": True} if made.model.toy else {})
