"""Makes the song of a record again: the same way, with the same seeds, codes, settings and files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acestep_core import devices
from acestep_core.checkpoints.catalog import TINY, TOY, fetch
from acestep_core.checkpoints.choose import is_bare
from acestep_core.checkpoints.find import Found, find_checkpoint, find_models, search_roots
from acestep_core.errors import AceStepError, AdapterError, AudioError, CheckpointError
from acestep_core.io.recordings import AudioLike
from acestep_core.models.handles import Handle, Models
from acestep_core.monitor import ProgressCallback
from acestep_core.options import TextToMusic
from acestep_core.pipeline.generation import Generation, make
from acestep_core.pipeline.opening import open_models
from acestep_core.pipeline.progress import monitor_of
from acestep_core.pipeline.provenance import describe_models, machine_of
from acestep_core.pipeline.recipe import Recipe
from acestep_core.pipeline.request import Request
from acestep_core.pipeline.starting import NO_FILES, LatentLike, described, started_again
from acestep_core.planner.plan import Plan
from acestep_core.records.origin import WAVEFORM, describe_recording
from acestep_core.records.song_record import FileRecord, SongRecord, describe_file, versions

log = logging.getLogger(__name__)


def replay(
    record: SongRecord | str | Path,
    models: Models | str | Path | None = None,
    *,
    source: AudioLike | None = None,
    references: Sequence[AudioLike] | None = None,
    latent: LatentLike | None = None,
    roots: Iterable[Path] | None = None,
    alone: bool = False,
    progress: ProgressCallback | bool | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Generation:
    """Makes a song again: the same samples on the same machine with the same files. What has changed is logged.

    Args:
        record: of the song, or the file of it.
        models: a checkpoint's folder or file, or what `open_models` returned; None looks in the usual places.
        source, references, latent: recordings to use, and what the song started from. Left out, files are looked for
            by name beside the record, then in the working folder.
        roots: where to look for models, as in `open_models`.
        alone: makes only this song of a batch, which is faster and may change its last bits.
        progress, cancelled: as in `generate`.

    Raises:
        InvalidInput: the record is damaged, or does not say how its song was made.
        AudioError, AdapterError, CheckpointError: a file is missing; the message names it.
    """
    places = [Path.cwd()]
    if not isinstance(record, SongRecord):
        places, record = [Path(record).resolve().parent, *places], SongRecord.load(Path(record))
    recipe = Recipe.of(record, alone)
    sources = recordings_of(recipe, places) if source is None else [source]
    heard = [find_recording(file, places) for file in recipe.references] if references is None else list(references)
    seeds = [recipe.clip_seed(record, file) for file in recipe.references]
    if recipe.latent is not None and latent is None:
        latent = find_recording(recipe.latent, places)
    opened = _open(record, models, places, roots)
    for difference in record.differences(_now(record, opened, sources, heard, latent)):
        log.warning("%s", difference)
    monitor, begin = monitor_of(progress, cancelled), None
    if recipe.latent is not None:
        item = int(record.task.get("index", 0)) if alone else None
        tile = recipe.encode_tile
        begin = started_again(recipe.latent, latent, item, vae=opened.vae, tile=tile, monitor=monitor)
    request = Request(
        song=recipe.song,
        models=opened,
        latent=begin,
        seed=recipe.seeds[0],
        batch=len(recipe.seeds),
        at_once=recipe.at_once,
        references=list(zip(heard, seeds + [record.seeds.get("reference", 0)] * len(heard))),
        encode_tile=recipe.encode_tile,
        settings=recipe.settings,
        finish=recipe.finish,
        album_caption=recipe.album_caption,
        monitor=monitor,
    )
    with devices.threads(record.machine.get("threads")):
        made = make(request, recipe.options, sources, recipe.codes)
    return _remembered(made.select([recipe.item]), record)


def recordings_of(recipe: Recipe, places: Sequence[Path]) -> list[AudioLike]:
    """The recordings that a song starts from, as files in `places`."""
    if isinstance(recipe.options, TextToMusic):
        return []
    if not recipe.sources:
        raise AudioError("The record names no source; give the recording as source.")
    return [find_recording(file, places) for file in recipe.sources]


def find_recording(file: FileRecord, places: Sequence[Path]) -> Path:
    """A recording by its name, see `find_file`."""
    if file.name in NO_FILES:
        what = "a waveform" if file.name == WAVEFORM else "one in memory"
        raise AudioError(f"The {file.role} of this song was {what} and no file; give it as {file.role}.")
    return find_file(file, places)


def find_file(file: FileRecord, places: Sequence[Path], error: type[AceStepError] = AudioError) -> Path:
    """A file of a record by its name in `places`: the one with its content, or else the first."""
    found = [path for place in places if (path := place / file.name).exists()]
    same = [path for path in found if file.sha256 and describe_file(file.role, path).sha256 == file.sha256]
    if same or found:
        return (same or found)[0]
    folders = " or ".join(dict.fromkeys(map(str, places[:2])))
    raise error(f"The {file.role} {file.name} is missing; put it into {folders}.")


def _open(
    record: SongRecord,
    models: Models | str | Path | None,
    places: Sequence[Path],
    roots: Iterable[Path] | None = None,
) -> Models:
    """The checkpoint of the record, in its number formats where the device is of the same kind, with its adapters."""
    if isinstance(models, Models):
        opened = models
    else:
        dit = next((file for file in record.files if file.role == "dit"), None)
        roots = list(search_roots() if roots is None else roots)
        found = find_models(roots) if models is None else find_checkpoint(Path(models))
        name, variant = _checkpoint(dit, found)
        if name is None and models is None and record.machine.get("test_model"):
            name = TINY
        if models is None and record.machine.get("toy_model"):
            opened = open_models(TOY)
        else:
            opened = open_models(models, variant, name=name, roots=roots)
        if models is None and opened.tiny and dit and not _is_the_tiny(opened, dit, record):
            raise CheckpointError(
                f"The checkpoint {dit.name} of this song is not here; fetch it with `{fetch('')}`, or name its folder."
            )
        opened = _in_formats(opened, record)
    if opened.model.adapters:
        return opened
    loras = [folder / "loras" for folder in (Path(), Path("models"), *(root.parent for root in search_roots()))]
    for file in (file for file in record.files if file.role == "adapter"):
        strength = 1.0 if file.strength is None else file.strength
        opened = opened.with_adapter(find_file(file, [*places, *loras], AdapterError), strength)
    return opened


def _is_the_tiny(opened: Models, dit: FileRecord, record: SongRecord) -> bool:
    """Whether a song is of the tiny checkpoint that was found; a record without hashes at least says it is of one."""
    if not dit.sha256:
        return bool(record.machine.get("test_model"))
    return describe_file("dit", opened.model.path).sha256 == dit.sha256


def _checkpoint(dit: FileRecord | None, found: Found) -> tuple[str | None, str | None]:
    """Under which name and variant to open the recorded checkpoint: by its name where that is there."""
    if dit is None:
        return None, None
    variant = dit.extra.get("variant")
    variant = variant if isinstance(variant, str) else None
    if any(entry.path.name == dit.name and entry.variant in (None, variant) for entry in found.dits):
        return dit.name, variant
    return TINY if is_bare(found) else None, variant


def _in_formats(models: Models, record: SongRecord) -> Models:
    then, now = str(record.machine.get("device", "")), machine_of(models)["device"]
    if then.partition(":")[0] != now.partition(":")[0]:
        return models

    def restored(handle: Handle, role: str) -> Any:
        dtype = record.machine.get(role)
        return replace(handle, dtype=dtype) if isinstance(dtype, str) and dtype in devices.DTYPES else handle

    model = restored(models.model, "dit")
    if model.text is not None:
        model = replace(model, text=restored(model.text, "text_encoder"))
    return replace(models, model=model, vae=restored(models.vae, "vae"))


def _now(
    record: SongRecord,
    models: Models,
    sources: Sequence[AudioLike],
    references: Sequence[AudioLike],
    latent: LatentLike | None,
) -> SongRecord:
    """The record as of today's files and machine. The language model is not needed: what it wrote is in the record."""
    files = [*describe_models(models), *(describe_recording("source", source) for source in sources)]
    files += [describe_recording("reference", reference) for reference in references]
    files += [] if latent is None else [described(latent)]
    files += [file for file in record.files if file.role == "lm"]
    machine = {name: value for name, value in machine_of(models).items() if name in record.machine}
    machine |= {name: record.machine[name] for name in ("threads", "test_model", "toy_model") if name in record.machine}
    return replace(record, files=tuple(files), machine=machine, versions=versions())


def _remembered(made: Generation, record: SongRecord) -> Generation:
    """What only the record knows: the plan, and how the language model was asked for it."""
    lm = tuple(file for file in record.files if file.role == "lm")
    think = record.task.get("think")
    origin = replace(made.origin, files=(*made.origin.files, *lm))
    if isinstance(think, Mapping) and isinstance(think.get("seed"), int) and lm:
        origin = replace(origin, think=think)
    return replace(made, origin=origin, plan=Plan.from_text(record.plan) if record.plan else None)
