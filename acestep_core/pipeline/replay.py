"""Makes the song of a record again: the same call of the front door, with the same seeds, codes, settings and files."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.checkpoints.catalog import TINY
from acestep_core.checkpoints.choose import is_bare
from acestep_core.checkpoints.find import Found, find_checkpoint, find_models, search_roots
from acestep_core.errors import AceStepError, AdapterError, AudioError, CheckpointError, InvalidInput
from acestep_core.io.recordings import AudioLike
from acestep_core.monitor import ProgressCallback
from acestep_core.pipeline import editing
from acestep_core.pipeline.generation import Generation, RenderSettings, generate
from acestep_core.pipeline.provenance import describe_models, machine_of
from acestep_core.records.origin import WAVEFORM, describe_recording
from acestep_core.records.song_record import FileRecord, SongRecord, describe_file, versions
from acestep_core.render.post import Finish
from acestep_core.seeds import item_seeds
from acestep_core.song.codes import check_codes
from acestep_core.values import fields_of, fits

if TYPE_CHECKING:
    from acestep_core.models.handles import Handle, Models

log = logging.getLogger(__name__)

CALLS: Mapping[str, Callable[..., Generation]] = {
    "generate": generate,
    "cover": editing.cover,
    "repaint": editing.repaint,
    "extend": editing.extend,
    "add_track": editing.add_track,
    "extract": editing.extract,
    "complete": editing.complete,
    "morph": editing.morph,
}


def replay(
    record: SongRecord | str | Path,
    models: Models | str | Path | None = None,
    *,
    source: AudioLike | None = None,
    references: Sequence[AudioLike] | None = None,
    roots: Iterable[Path] | None = None,
    alone: bool = False,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Generation:
    """Makes a song again: the same samples on the same machine with the same files. What has changed is logged.

    Args:
        record: of the song, or the file of it.
        models: a checkpoint's folder or file, or what `open_models` returned; None looks in the usual places.
        source, references: recordings to use. Left out, files are looked for by name beside the record, then in the
            working folder.
        roots: where to look for models, as in `open_models`.
        alone: makes only this song of a batch, which is faster and may change its last bits.
        progress, cancelled: as in `generate`.

    Raises:
        InvalidInput: the record is damaged, or was made by a graph.
        AudioError, AdapterError, CheckpointError: a file is missing; the message names it.
    """
    places = [Path.cwd()]
    if not isinstance(record, SongRecord):
        places, record = [Path(record).resolve().parent, *places], SongRecord.load(Path(record))
    function = _function(record)
    arguments = _arguments(record, function)
    source, references = _recordings(record, places, source, references)
    opened = _open(record, models, places, roots)
    now = _now(record, opened, source, references)
    for difference in record.differences(now):
        log.warning("%s", difference)

    seeds, item, codes = _batch(record, alone)
    given: dict[str, Any] = {
        "song": record.to_song(),
        "references": references,
        "reference_seed": record.seeds.get("reference", 0),
        "seed": seeds[0],
        "batch": len(seeds),
        "models": opened,
        "settings": RenderSettings.from_dict(record.settings),
        "progress": progress,
        "cancelled": cancelled,
        **_finish(record),
    }
    if function is generate:
        made = generate(codes=codes, **given)
    else:
        made = function(source, caption="", **arguments, **given)
    return _remembered(made.select([item]), record)


def _function(record: SongRecord) -> Callable[..., Generation]:
    call = record.task.get("call")
    if isinstance(call, str) and call in CALLS:
        return CALLS[call]
    if record.graph is not None:
        raise InvalidInput("This song was made by a graph; make it again with `acestep run` of its record.")
    raise InvalidInput("This record does not say how its song was made, so it cannot be made again from it alone.")


def _arguments(record: SongRecord, function: Callable[..., Generation]) -> dict[str, Any]:
    """The arguments that the function takes beside those that every one takes."""
    given = record.task.get("arguments", {})
    if not isinstance(given, Mapping):
        raise InvalidInput("The record's task.arguments must be a table; correct the file.")
    parameters = {} if function is generate else inspect.signature(function).parameters
    for name, value in given.items():
        if name not in parameters or name == "caption" or not fits(value, str(parameters[name].annotation)):
            raise InvalidInput(f"The record's task.arguments.{name} cannot be {value!r}; correct the file.")
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if needed and name not in ("audio", "caption", *given):
            raise InvalidInput(f"The record's task.arguments lack {name}; correct the file.")
    return dict(given)


def _batch(record: SongRecord, alone: bool) -> tuple[list[int], int, list[tuple[int, ...]]]:
    """Seeds of the batch, the song's place in it, and the codes of all songs or one sequence for all."""
    codes = [record.codes] if record.codes else []
    seeds, item = record.task.get("seeds"), record.task.get("index", 0)
    if alone or seeds is None:
        return [record.seeds["noise"]], 0, codes
    whole = isinstance(seeds, list) and all(fits(seed, "int") for seed in seeds) and fits(item, "int")
    fitting = whole and 0 <= item < len(seeds) and seeds == item_seeds(seeds[0], len(seeds))
    if not fitting or seeds[item] != record.seeds["noise"]:
        raise InvalidInput("The record's task.seeds and task.index do not fit its seed; correct the file.")
    rows = record.task.get("codes")
    if rows is None:
        return seeds, item, codes
    if not isinstance(rows, list) or len(rows) != len(seeds) or not all(isinstance(row, list) for row in rows):
        raise InvalidInput("The record's task.codes must be one list of codes for each seed; correct the file.")
    batch = [check_codes(row) for row in rows]
    batch[item] = record.codes  # which a user may have edited
    return seeds, item, batch


def _finish(record: SongRecord) -> dict[str, Any]:
    known = {name: record.finish[name] for name in ("peak_db", "fade_in", "fade_out") if name in record.finish}
    return fields_of(Finish, "finish", known)


def _recordings(
    record: SongRecord, places: Sequence[Path], source: AudioLike | None, references: Sequence[AudioLike] | None
) -> tuple[AudioLike | None, Sequence[AudioLike]]:
    """The given recordings, or those that the record names."""
    if source is None:
        named = [file for file in record.files if file.role == "source"]
        source = _find(named[0], places) if named else None
    if source is None and record.task.get("call") != "generate":
        raise AudioError("The record names no source; give the recording as source.")
    if references is None:
        references = [_find(file, places) for file in record.files if file.role == "reference"]
    return source, references


def _find(file: FileRecord, places: Sequence[Path], error: type[AceStepError] = AudioError) -> Path:
    """A file of the record by its name: the one with its content, or else the first."""
    if file.name == WAVEFORM and file.role in ("source", "reference"):
        raise error(f"The {file.role} of this song was a waveform and no file; give it as {file.role}.")
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
    from acestep_core.models.handles import Models
    from acestep_core.pipeline.opening import open_models

    if isinstance(models, Models):
        opened = models
    else:
        dit = next((file for file in record.files if file.role == "dit"), None)
        roots = list(search_roots() if roots is None else roots)
        found = find_models(roots) if models is None else find_checkpoint(Path(models))
        name, variant = _checkpoint(dit, found)
        opened = open_models(models, variant, name=name, roots=roots)
        if models is None and opened.tiny and dit and describe_file("dit", opened.model.path).sha256 != dit.sha256:
            raise CheckpointError(
                f"The checkpoint {dit.name} of this song is not here; fetch it with `acestep models download`, "
                "or name its folder."
            )
        opened = _in_formats(opened, record)
    adapters = [file for file in record.files if file.role == "adapter"]
    if opened.model.adapters:
        return opened
    loras = [folder / "loras" for folder in (Path(), Path("models"), *(root.parent for root in search_roots()))]
    for file in adapters:
        strength = 1.0 if file.strength is None else file.strength
        opened = opened.with_adapter(_find(file, [*places, *loras], AdapterError), strength)
    return opened


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
    from acestep_core import devices

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


def _now(record: SongRecord, models: Models, source: AudioLike | None, references: Sequence[AudioLike]) -> SongRecord:
    """The record as of today's files and machine. The language model is not needed: what it wrote is in the record."""
    files = [*describe_models(models), *([] if source is None else [describe_recording("source", source)])]
    files += [describe_recording("reference", reference) for reference in references]
    files += [file for file in record.files if file.role == "lm"]
    return replace(record, files=tuple(files), machine=machine_of(models), versions=versions())


def _remembered(made: Generation, record: SongRecord) -> Generation:
    """What only the record knows: the plan, and how the language model was asked for it."""
    from acestep_core.planner.plan import Plan

    lm = tuple(file for file in record.files if file.role == "lm")
    think = record.task.get("think")
    origin = replace(made.origin, files=(*made.origin.files, *lm))
    if isinstance(think, Mapping) and fits(think.get("seed"), "int") and lm:
        origin = replace(origin, think=think)
    return replace(made, origin=origin, plan=Plan.from_text(record.plan) if record.plan else None)
