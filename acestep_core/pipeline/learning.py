"""Training as nodes, command and Python begin it: a run's folder, its test songs, one stream of records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from acestep_core.checkpoints.choose import choose
from acestep_core.checkpoints.remembered import remember
from acestep_core.errors import CheckpointError, InvalidInput
from acestep_core.io.atomic import clear_errors
from acestep_core.io.confine import confine
from acestep_core.io.names import PLAIN, Taken, candidates, safe_name
from acestep_core.io.staging import staging
from acestep_core.models.handles import ModelHandle, Models
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import TextToMusic
from acestep_core.pipeline.generation import make
from acestep_core.pipeline.opening import open_models
from acestep_core.pipeline.request import Request
from acestep_core.song.description import Song
from acestep_core.train.checkpoints import STATE, RunFolder
from acestep_core.train.export import Exported, export
from acestep_core.train.latents import weights_hash
from acestep_core.train.ranks import ALONE, Ranks
from acestep_core.train.settings import TrainSettings
from acestep_core.train.trainer import Hear, Record, Trainer
from acestep_core.train.trainset import Trainset
from acestep_core.values import counted, lasting

SAMPLES = "samples"
BEGINNINGS = ("auto", "new", "best", "latest")
"""What `resume` may be, beside a step."""
TEST_SECONDS = 60.0
"""Length of a test song that says none."""


def train_adapter(
    trainset: Trainset | Path | str,
    models: Models,
    name: str,
    runs: Path | str = "output/acestep/runs",
    settings: TrainSettings | None = None,
    *,
    resume: str = "auto",
    changed_data: bool = False,
    test_song: Song | None = None,
    monitor: Monitor = SILENT,
    ranks: Ranks = ALONE,
    **flat: Any,
) -> Iterator[Record]:
    """Trains an adapter: `for record in train_adapter("trainset", open_models(), "my_style", epochs=100): ...`.

    Args:
        trainset: what `preprocess` made, or its folder.
        models: the checkpoint that learns, and the VAE that test songs are heard with.
        name: of the run, a folder below `runs`.
        settings: all of them; or some by their names (`rank=32`), the rest as usual.
        resume: `auto` goes on with the run of that name where there is one; `new` takes another name then; a step,
            `best` or `latest` begins a run under another name with this checkpoint of the run called `name`, and the
            folder of a checkpoint with that one.
        changed_data: goes on although the songs are not those it began with.
        ranks: which of several processes this is, see `train.ranks`; only the first yields records.
        test_song: made every `test_every` epochs, at the end, and whenever the run is asked for one.

    Yields:
        Records, see `train.trainer`. The last one, `done` or `stopped`, names the folder of the adapter.

    Raises:
        InvalidInput: a setting is none, or `resume` is no beginning or names no checkpoint.
        DatasetError, CheckpointError, StorageError, OutOfMemory, TrainingError: see `train.trainer`.
    """
    place = Path(resume)
    folder_given = resume not in BEGINNINGS and not resume.isdecimal()
    if folder_given and not (place / STATE).is_file():
        raise InvalidInput(
            f"A run is resumed with {', '.join(BEGINNINGS)}, a step or the folder of a checkpoint, not with {resume!r}."
        )
    settings = TrainSettings.of(**flat) if settings is None else settings
    opened = trainset if isinstance(trainset, Trainset) else Trainset.open(trainset)
    origin = None
    if folder_given:
        origin = RunFolder(place.resolve().parents[1]).at(place.resolve().name)
    elif resume not in ("auto", "new"):
        origin = existing_run(Path(runs), name).at(resume)
    folder = ranks.told(run_folder(Path(runs), name, new=resume != "auto"))
    hear = None
    if settings.test_songs.every and test_song is None:
        raise InvalidInput("Test songs need a song to make; say its caption, or set their interval to 0.")
    if test_song is not None:
        hear = hearer(models, test_song, settings.test_songs.seed, folder / SAMPLES, monitor)
    return Trainer(
        opened, models.model, folder, settings,
        origin=origin, changed_data=changed_data, hear=hear, monitor=monitor, ranks=ranks,
    ).records()  # fmt: skip


def models_of(trainset: Trainset, path: Path | str | None = None, dtype: str = "auto", device: str = "auto") -> Models:
    """The models that a trainset was made for, or those that are there; a run then says what is wrong with them."""
    made = trainset.manifest.model.get("variant")
    with suppress(CheckpointError):
        return open_models(path, made, dtype=dtype, device=device)
    return open_models(path, dtype=dtype, device=device)


def run_folder(runs: Path, name: str, new: bool = False) -> Path:
    """Where the run called `name` lies, or would; with `new`, a name that is free."""
    stem = safe_name(name.strip(), "")
    if not stem:
        raise InvalidInput("A run needs a name, such as that of the style it learns.")
    if not new:
        return runs / stem
    taken = Taken(path.name for path in runs.iterdir()) if runs.is_dir() else Taken(())
    return runs / next(found for found in candidates(stem, PLAIN, taken) if not taken.has(found, [""]))


def existing_run(runs: Path, name: str) -> RunFolder:
    """Raises InvalidInput where there is no such run."""
    run = RunFolder(run_folder(runs, name))
    if not run.exists:
        known = ", ".join(sorted(p.parent.name for p in runs.glob("*/run.json"))) or "none"
        raise InvalidInput(f"There is no run called {name!r} in {runs}; there are: {known}.")
    return run


def hearer(models: Models, song: Song, seed: int, folder: Path, monitor: Monitor) -> Hear:
    """Makes the test song of a run as every song is made, and saves it with its record."""
    if song.duration is None:
        song = replace(song, duration=TEST_SECONDS)
    watch = Monitor(cancelled=monitor.cancelled)

    def hear(adapter: Path, step: int) -> Sequence[Path]:
        result = make(Request(song, models.with_adapter(adapter), seed, monitor=watch), TextToMusic())
        folder.mkdir(parents=True, exist_ok=True)
        return result.save(folder / f"{step:08d}.flac", monitor=watch)

    return hear


def trained_model(adapter: Path) -> ModelHandle | None:
    """The checkpoint that was trained, for an adapter or a checkpoint in the folder of a run; else None."""
    base = _base(adapter)
    return None if base is None else ModelHandle(Path(base["path"]), variant=base["variant"])


def model_in(place: Path | None, variant: str) -> ModelHandle:
    """A checkpoint to merge into, in a folder or file or the usual places: that of a run which moved, or another one.

    Raises CheckpointError where it is not.
    """
    choice = choose("dit", variant=variant, roots=place)
    return ModelHandle(choice.entry.path, variant=choice.variant or variant)


def _base(adapter: Path) -> Mapping[str, Any] | None:
    run = next((RunFolder(folder) for folder in list(adapter.parents)[:2] if RunFolder(folder).exists), None)
    return None if run is None else run.settings()["base"]


def export_suffix(format: str, model: ModelHandle | None) -> str:
    """What the name of an export ends in; empty where it is a folder."""
    folder = format == "peft" or (format == "merged" and model is not None and model.path.is_dir())
    return "" if folder else ".safetensors"


def export_run(
    run: RunFolder,
    target: Path,
    format: str = "single",
    dtype: str = "fp32",
    checkpoint: str | None = None,
    model: ModelHandle | None = None,
) -> Exported:
    """Writes what a run has learned for other programs, see `train.export`.

    Args:
        target: where a file is written, its ending may be left out; in a folder it has the run's name.
        checkpoint: a step, `best` or `latest`; None for the finished adapter.
        model: what to merge into; None for what the run has trained.

    Raises:
        InvalidInput: there is no such checkpoint, or the run has not finished yet.
    """
    if checkpoint is None and not run.about():
        raise InvalidInput(
            f"The run {run.name!r} has no finished adapter yet; let it end, or name a checkpoint such as latest."
        )
    folder = run.adapter if checkpoint is None else run.at(checkpoint).folder
    model = model or trained_model(folder)
    if suffix := export_suffix(format, model):
        target = target / run.name if target.is_dir() else target
        target = target.with_name(f"{target.name}{suffix}") if not target.suffix else target
    return _known(export(folder, target, format, dtype, model), model, folder)


def export_under(
    folder: Path, name: str, adapter: Path, format: str, dtype: str = "fp32", model: ModelHandle | None = None
) -> Exported:
    """Writes an adapter for other programs below `folder`, see `train.export`, under a name that is free.

    Args:
        name: slashes make folders.
        model: the one that was trained; where None, that of the run in whose folder the adapter lies.

    Raises:
        InvalidInput: the name is empty, or leads elsewhere.
    """
    parts = [safe_name(part, "") for part in name.removesuffix(".safetensors").replace("\\", "/").split("/")]
    if not any(parts):
        raise InvalidInput("The file needs a name, such as that of the style.")
    place = confine("/".join(filter(None, parts)), [folder])
    with clear_errors(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
    model = model or trained_model(adapter)
    suffix = export_suffix(format, model)
    with staging(place.parent) as stage:
        done = export(adapter, stage.folder / f"{place.name}{suffix}", format, dtype, model)
        return _known(replace(done, path=stage.deliver_one(done.path, place.name, suffix)), model, adapter)


def _known(done: Exported, model: ModelHandle | None, adapter: Path) -> Exported:
    """A merged checkpoint that is one file has no other place to say which variant it is; and other weights than those
    that were trained are named.
    """
    if done.format != "merged" or model is None:
        return done
    base = _base(adapter)
    if base is not None and weights_hash(model, "dit") != base["sha256"]:
        other = f"{model.path.name} has other weights than the {base['variant']} model that was trained."
        done = replace(done, remarks=(*done.remarks, other))
    if done.path.is_file() and model.variant:
        remember(done.path, model.variant)
    return done


def record_line(record: Mapping[str, Any]) -> str:
    """A record in plain words; empty for what only programs want to know."""
    match record["kind"]:
        case "start":
            at = f"Going on at step {record['step']}" if record["step"] else "Beginning"
            return f"{at}: {counted(record['steps'], 'step')}, {counted(record['epochs'], 'epoch')}. {record['text']}"
        case "step":
            smooth = "-" if record["smooth"] is None else f"{record['smooth']:.4f}"
            skipped = f", {record['skipped']} left out" if record["skipped"] else ""
            at = f"Epoch {record['epoch']}/{record['epochs']}, step {record['step']}"
            return f"{at}, loss {smooth}, {lasting(record['eta'])} left{skipped}"
        case "validation":
            return f"Epoch {record['epoch']}, songs held out: loss {record['loss']:.4f}"
        case "warning":
            return f"Note: {record['text']}"
        case "sample":
            return f"Test song: {', '.join(record['files'])}"
        case "done" | "stopped" if "adapter" in record:
            count = counted(record["steps"], "step")
            return f"{record['adapter']}  {record['step']} of {count}. {record['text']}".rstrip()
        case "stopped" | "failed":
            return str(record["text"])
    return ""
