"""`acestep dataset scan | show | edit | label | preprocess | export`: from a folder of recordings to a trainset."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width, normalize

from acestep_core.commands.dataset_stages import on_ray
from acestep_core.commands.engine import add_engine_options
from acestep_core.commands.flags import add_flags, examples, given
from acestep_core.commands.report import built_in_note
from acestep_core.declared import options_of
from acestep_core.errors import DatasetError
from acestep_core.monitor import Monitor
from acestep_core.pipeline.progress import ProgressBar
from acestep_core.train.dataset_options import Labelling, Preprocessing, Scanning
from acestep_core.values import as_minutes, counted

if TYPE_CHECKING:
    from acestep_core.models.handles import Models
    from acestep_core.train.dataset import Dataset, Sample

_WIDTHS = (8, 10, 6, 24, 32, 20, 4, 9)


def add_parser(subparsers: Any) -> None:
    """Adds `dataset` and its actions."""
    parser = subparsers.add_parser(
        "dataset",
        help="make a dataset of recordings to train with",
        description=__doc__,
        **examples(
            "acestep dataset scan my_songs -o my_songs.json --tag my_style",
            "acestep dataset label my_songs.json",
            'acestep dataset edit my_songs.json song.wav bpm=92 "caption=slow blues"',
            "acestep dataset preprocess my_songs.json --variant base",
            "acestep dataset preprocess my_songs.json --engine ray --workers 4",
        ),
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    scan = actions.add_parser("scan", help="find the recordings of a folder and what lies beside them")
    scan.add_argument("folder", type=Path)
    scan.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="dataset file (.json); one that "
                      "is there keeps what people and models wrote into it")  # fmt: skip
    add_flags(scan, options_of(Scanning))
    _add_word(scan, "--instrumental", "all_instrumental", True, "recordings without lyrics have no vocals (default)")
    add_engine_options(scan, "what takes long")
    _add_word(scan, "--vocals", "all_instrumental", False, "recordings without lyrics are sung, too")

    show = actions.add_parser("show", help="show a dataset as a table")
    show.add_argument("file", type=Path)
    show.add_argument("--problems", action="store_true", help="only what is wrong, or probably not meant")
    show.add_argument("--json", action="store_true", help="for programs")

    edit = actions.add_parser("edit", help="set fields of a sample, or of many from a sheet")
    edit.add_argument("file", type=Path)
    edit.add_argument("sample", nargs="?", metavar="ID", help="id or file name")
    edit.add_argument("changes", nargs="*", metavar="FIELD=VALUE", help="such as bpm=120 or 'caption=a slow song'")
    edit.add_argument(
        "--from", dest="sheet", type=Path, metavar="CSV", help="a sheet with a column File (or ids in it)"
    )
    add_flags(edit, (option for option in options_of(Scanning) if option.name == "encoding"))

    label = actions.add_parser("label", help="let the language model write captions, genres, tempo and key")
    label.add_argument("file", type=Path)
    add_flags(label, options_of(Labelling))
    _add_word(label, "--all", "only_unlabeled", False, "also listen to samples that have a caption")
    label.add_argument("--seed", type=int, default=0, metavar="N", help="another one hears it in other words")
    label.add_argument("--lm", metavar="NAME", help="language model: a folder, or part of a name such as 1.7B")
    label.add_argument("--cache", type=Path, metavar="FOLDER", help="keeps latents and codes (default: the trainset)")
    _add_models(label)
    add_engine_options(label, "what takes long")

    preprocess = actions.add_parser("preprocess", help="turn a dataset into tensors to train with")
    preprocess.add_argument("file", type=Path)
    preprocess.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                            help="trainset (default: beside the file, called <name>_trainset)")  # fmt: skip
    add_flags(preprocess, options_of(Preprocessing))
    preprocess.add_argument("--prune", action="store_true", help="remove files that no song needs any more")
    _add_models(preprocess)
    add_engine_options(preprocess, "what takes long")

    export = actions.add_parser("export", help="write a dataset for another program")
    export.add_argument("file", type=Path)
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="dataset file (.json)")
    export.add_argument("--for", dest="reader", choices=("us", "upstream"), default="us",
                        help="upstream wants whole paths (default: us)")  # fmt: skip
    export.add_argument("--sidecars", type=Path, metavar="FOLDER", help="write texts and JSON for each recording there")
    parser.set_defaults(run=run)


def _add_word(parser: argparse.ArgumentParser, flag: str, name: str, value: bool, text: str) -> None:
    """One more word for a switch of the table of options."""
    parser.add_argument(flag, dest=name, action="store_const", const=value, default=argparse.SUPPRESS, help=text)


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", type=Path, metavar="PATH", help="where the models are")
    parser.add_argument("--variant", metavar="NAME", help="which checkpoint, such as base")
    parser.add_argument("--dtype", default="auto", help=argparse.SUPPRESS)
    parser.add_argument("--device", default="auto", help="where to compute (default auto)")


def run(told: argparse.Namespace) -> int:
    """Runs one action; 0 if it is done. Errors are raised for the caller to show."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "scan": _scan,
        "show": _show,
        "edit": _edit,
        "label": _label,
        "preprocess": _preprocess,
        "export": _export,
    }
    return actions[told.action](told)


def _scan(told: argparse.Namespace) -> int:
    from acestep_core.train.dataset_file import load_dataset, save_dataset
    from acestep_core.train.scan import rescanned, scan

    before = load_dataset(told.output) if told.output.exists() else None
    kept = {o.flat: getattr(before, o.name) for o in options_of(Scanning) if hasattr(before, o.name)}
    with ProgressBar() as bar:
        workers, options = on_ray(told, bar), Scanning.from_flat(kept | given(told, (Scanning,)))
        ahead: dict[str, Any] = {} if workers is None else {"ahead": workers.look}
        found = scan(told.folder, options, monitor=Monitor(bar), **ahead)
    if before is not None:
        found = rescanned(found, before)
    told.output.parent.mkdir(parents=True, exist_ok=True)
    save_dataset(found, told.output)
    _tell(found)
    _say(f"{counted(len(found.samples), 'recording')}, {_minutes(found)} minutes: {told.output}")
    return 0


def _show(told: argparse.Namespace) -> int:
    from acestep_core.train.dataset_file import dataset_json, load_dataset

    dataset = load_dataset(told.file)
    if told.json:
        _say(dataset_json(dataset, told.file.parent))
        return 0
    if not told.problems:
        _say(_row("id", "state", "length", "file", "caption", "lyrics", "bpm", "key"))
        for sample in dataset.samples:
            lines = [line for line in sample.lyrics.split("\n") if line.strip()]
            words = next((line for line in lines if not line.lstrip().startswith("[")), "".join(lines[:1]))
            length = as_minutes(sample.duration)
            facts = (sample.caption or sample.genre, words, str(sample.bpm or ""), sample.keyscale)
            _say(_row(sample.id, _state(sample), length, sample.filename, *facts))
    _tell(dataset, whole=told.problems)
    _say(f"{dataset.name}: {counted(len(dataset.samples), 'recording')}, {_minutes(dataset)} minutes")
    return 0


def _edit(told: argparse.Namespace) -> int:
    from acestep_core.train.dataset_file import load_dataset, save_dataset
    from acestep_core.train.sample_fields import FIELDS
    from acestep_core.train.sidecars import read_sheet

    dataset = load_dataset(told.file)
    edits: dict[str, dict[str, Any]] = {}
    if told.sheet is not None:
        encoding = getattr(told, "encoding", dataset.encoding)
        edits |= {name: dict(values) for name, values in read_sheet(told.sheet, encoding, FIELDS).rows}
    if told.sample is not None:
        changes = dict(_change(text) for text in told.changes)
        edits[told.sample] = {**edits.get(told.sample, {}), **changes}
    if not any(edits.values()):
        raise DatasetError("There is nothing to edit; give an id and FIELD=VALUE, or a sheet with --from.")
    save_dataset(dataset.edited(edits), told.file)
    _say(f"{counted(len(edits), 'sample')} edited: {told.file}")
    return 0


def _change(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise DatasetError(f"A change is written as FIELD=VALUE, not {text!r}.")
    return name, value.replace("\\n", "\n")


def _label(told: argparse.Namespace) -> int:
    from acestep_core.io.locks import locked
    from acestep_core.train.dataset_file import load_dataset, save_dataset
    from acestep_core.train.label import label

    dataset = load_dataset(told.file)
    options = Labelling.from_flat(given(told, (Labelling,)))
    models = _models(told, told.lm)
    if models.lm is None:
        raise DatasetError("There is no language model to label with; fetch one with `acestep models download main`.")
    with locked(told.file.with_name(f".{told.file.name}.lock")), ProgressBar() as bar:
        folder = (told.cache or _trainset_of(told.file)).absolute()
        workers = on_ray(told, bar)
        ahead: dict[str, Any] = {}
        if workers is not None:
            ahead["ahead"] = lambda some, take: workers.label(some, models, folder, options, told.seed, take)
        done = label(
            dataset,
            models.model,
            models.vae,
            models.lm,
            folder,
            options,
            seed=told.seed,
            save=lambda changed: save_dataset(changed, told.file),
            monitor=Monitor(bar),
            **ahead,
        )
    _tell(done)
    changed = sum(a != b for a, b in zip(dataset.samples, done.samples, strict=True))
    _say(f"{changed} of {counted(len(done.samples), 'sample')} changed: {told.file}")
    if not changed and options.only_unlabeled:
        _say("All of them have captions already; --all listens to them, too.")
    return 0


def _preprocess(told: argparse.Namespace) -> int:
    from acestep_core.train.dataset_file import load_dataset
    from acestep_core.train.preprocess import preprocess, report_of

    dataset = load_dataset(told.file)
    options = Preprocessing.from_flat(given(told, (Preprocessing,)))
    models = _models(told)
    folder = told.output or _trainset_of(told.file)
    with ProgressBar() as bar:
        workers = on_ray(told, bar)
        known = {} if workers is None else workers.prepare(dataset, models, folder.absolute(), options)
        more: dict[str, Any] = {"prune": told.prune, "monitor": Monitor(bar), "known": known}
        made = preprocess(dataset, models.model, models.vae, folder, options, **more)
    for text in (*dataset.problems, *dataset.remarks()):
        _note(text)
    _say(report_of(made))
    return 0


def _export(told: argparse.Namespace) -> int:
    from acestep_core.train.dataset_file import load_dataset, save_dataset
    from acestep_core.train.sidecars import write_sidecars

    dataset = load_dataset(told.file)
    if told.output is None and told.sidecars is None:
        raise DatasetError("There is nowhere to export to; give a file with -o, or a folder with --sidecars.")
    if told.output is not None:
        save_dataset(dataset, told.output, absolute=told.reader == "upstream")
        _say(str(told.output))
    if told.sidecars is not None:
        _say(f"{counted(len(write_sidecars(dataset, told.sidecars)), 'file')}: {told.sidecars}")
    return 0


def _models(told: argparse.Namespace, lm: str | None = None) -> Models:
    from acestep_core.pipeline.opening import open_models

    models = open_models(told.models, told.variant, lm, dtype=told.dtype, device=told.device)
    sys.stderr.write(built_in_note(models))
    return models


def _trainset_of(file: Path) -> Path:
    return file.with_name(f"{file.stem}_trainset")


def _tell(dataset: Dataset, *, whole: bool = False) -> None:
    for text in (*dataset.problems, *(f"{s.filename}: {text}" for s in dataset.samples for text in s.problems)):
        _note(text)
    own = (text for texts in dataset.sample_remarks().values() for text in texts)
    for text in own if whole else dataset.remarks():
        _note(text)


def _state(sample: Sample) -> str:
    if sample.excluded:
        return "excluded"
    return "problem" if sample.problems else "ready" if sample.labeled else "unlabeled"


def _minutes(dataset: Dataset) -> str:
    return f"{sum(sample.duration for sample in dataset.samples) / 60:.1f}"


def _row(*cells: str) -> str:
    return "  ".join(_fitted(cell, width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def _fitted(cell: str, width: int) -> str:
    """A cell of so many columns of a terminal, where letters of East Asia take two and marks none."""
    cell = normalize("NFC", cell)
    columns = [0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in cell]
    if sum(columns) > width:
        kept = next(n for n in range(len(cell)) if sum(columns[: n + 1]) > width - 1)
        cell, columns = f"{cell[:kept]}…", [*columns[:kept], 1]
    return cell + " " * (width - sum(columns))


def _note(text: str) -> None:
    sys.stderr.write(f"Note: {_printable(text)}\n")


def _say(text: str) -> None:
    sys.stdout.write(_printable(text, "\n") + "\n")


def _printable(text: str, kept: str = "") -> str:
    """Names of files may hold what a terminal would obey."""
    return "".join(char if char.isprintable() or char in kept else "?" for char in text)
