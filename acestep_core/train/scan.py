"""From a folder of recordings to a dataset: who is there, how long, and what is said about them."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from acestep_core.errors import AceStepError, AudioError, DatasetError
from acestep_core.io.measure import Measure, measured
from acestep_core.io.names import folded
from acestep_core.io.stamps import file_stamp
from acestep_core.monitor import SILENT, Monitor
from acestep_core.records.fingerprints import sha256_of
from acestep_core.train.dataset import UNTITLED, Dataset, Sample
from acestep_core.train.dataset_file import sample_id
from acestep_core.train.dataset_options import Scanning
from acestep_core.train.sidecars import Source, read_sheet, told_about
from acestep_core.train.trainset import MANIFEST
from acestep_core.vocabulary import INSTRUMENTAL_LYRICS, SAMPLE_RATE

EXTENSIONS: Final = ("wav", "mp3", "flac", "ogg", "opus", "m4a", "aac", "wma", "aif", "aiff", "caf")
"""What counts as a recording; upstream reads the first five, and the sixth in one place."""
SHORTEST: Final = 1.0
"""Seconds from which on a recording can be trained with."""


Look = tuple[Measure, str]
"""How long a recording is, and its SHA-256."""


def look_at(file: Path) -> Look:
    """Raises AudioError if it cannot be read."""
    return measured(file), sha256_of(file)


def scan(
    folder: Path | str,
    options: Scanning = Scanning(),  # noqa: B008
    roots: Sequence[Path] = (),
    monitor: Monitor = SILENT,
    ahead: Callable[[Sequence[Path]], Mapping[Path, Look]] = lambda files: {},
) -> Dataset:
    """Finds the recordings below a folder, with what lies beside them. Files that are none become problems.

    Args:
        roots: symbolic links are followed only into these folders; the folder itself always counts.
        ahead: is shown all files and may have looked at some of them already.

    Raises:
        DatasetError: the folder is absent, or holds no recording, or more than `options.max_files`.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {str(folder)!r}; check the name.")
    problems: list[str] = []
    listing = _Listing((folder.resolve(), *(root.resolve() for root in roots)), problems.append)
    listing.walk(folder)
    files = sorted(listing.recordings, key=lambda file: file.relative_to(folder).as_posix())
    if not files:
        more = f" ({problems[0]})" if problems else ""
        raise DatasetError(f"There is no recording in {folder.name!r}{more}; put some there ({', '.join(EXTENSIONS)}).")
    if len(files) > options.max_files:
        raise DatasetError(
            f"There are {len(files)} recordings in {folder.name!r}, more than {options.max_files}; "
            "choose a smaller folder, or raise max_files."
        )
    rows = _rows(listing.sheets, files, options.encoding, problems.append)
    samples: list[Sample] = []
    taken: set[str] = set()
    seen: set[tuple[Path, str, str]] = set()
    looks = ahead(files)
    for number, file in enumerate(files, start=1):
        name = file.relative_to(folder).as_posix()
        try:
            sample = _sample(
                file, name, listing.beside[file.parent], rows.get(file, []), options, taken, looks.get(file)
            )
        except AceStepError as error:
            problems.append(str(error) if name in str(error) else f"{name}: {error}")
        except OSError:
            problems.append(f"{name} cannot be opened; check that it may be read.")
        else:
            alike = (file.parent, folded(file.name), sample.sha256)
            if alike in seen:
                problems.append(f"{name} is there twice, its name written in two ways; delete one.")
            else:
                seen.add(alike)
                taken.add(sample.id)
                samples.append(sample)
        monitor.tick("Scanning", number, len(files))
    if not samples:
        raise DatasetError(f"None of the {len(files)} recordings in {folder.name!r} can be used: {problems[0]}")
    return Dataset(
        name=options.name.strip() or UNTITLED,
        custom_tag=options.custom_tag.strip(),
        tag_position=options.tag_position,
        all_instrumental=options.all_instrumental,
        genre_ratio=options.genre_ratio,
        encoding=options.encoding.strip(),
        samples=tuple(samples),
        problems=tuple(problems),
    )


def rescanned(new: Dataset, old: Dataset) -> Dataset:
    """A new scan with what people and models have written about the samples of the old dataset."""
    before = {sample.id: sample for sample in old.samples}
    return replace(new, samples=tuple(_kept(sample, before.get(sample.id)) for sample in new.samples))


def _kept(new: Sample, old: Sample | None) -> Sample:
    if old is None:
        return new
    written = {name: origin for name, origin in old.labels.items() if origin == "user" or origin.startswith("lm:")}
    values = {name: getattr(old, name) for name in written if hasattr(old, name)}
    if "lyrics" in values or old.formatted_lyrics:
        values |= {name: getattr(old, name) for name in ("lyrics", "raw_lyrics", "formatted_lyrics")}
    values.setdefault("is_instrumental", new.is_instrumental and not values.get("raw_lyrics", new.raw_lyrics))
    labeled = new.labeled or (old.labeled and "caption" in values)
    return replace(new, **values, labeled=labeled, labels={**new.labels, **written}, extra=old.extra)


def folder_stamp(folder: Path | str) -> str:
    """Changes when a file below the folder comes, goes or changes; for hosts that cache what they have."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_passed_over(name))
        for path in (Path(parent, name) for name in sorted(files)):
            with suppress(OSError):  # gone since it was listed
                found.append(file_stamp(path))
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _sample(
    file: Path,
    name: str,
    beside: dict[str, Path],
    rows: list[Source],
    options: Scanning,
    taken: set[str],
    look: Look | None,
) -> Sample:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DatasetError(f"{name!r} has a name that is no text; rename it.") from None
    measure, digest = look or look_at(file)
    if measure.seconds < SHORTEST:
        raise AudioError(f"{name} is {measure.seconds:.2f} s long; at least {SHORTEST:g} s are needed.")
    told = told_about(file, beside, rows, options.encoding)
    values, origins = told.merged()
    words = values.pop("lyrics", "")
    lyrics = "" if words.lower() == INSTRUMENTAL_LYRICS.lower() else words
    if words and not lyrics:
        values.setdefault("is_instrumental", True)
        origins.setdefault("is_instrumental", origins["lyrics"])
    instrumental = values.pop("is_instrumental", options.all_instrumental and not lyrics)
    return Sample(
        id=sample_id(unicodedata.normalize("NFC", name), taken),
        audio_path=str(file),
        filename=file.name,
        lyrics=lyrics,
        raw_lyrics=lyrics,
        is_instrumental=instrumental,
        duration=int(measure.seconds),
        labeled=bool(values.get("caption")),
        sha256=digest,
        samples=round(measure.frames * SAMPLE_RATE / measure.rate),
        timing=told.timing,
        labels=origins,
        problems=tuple(told.problems),
        **values,
    )


def _rows(
    sheets: Sequence[Path], files: Sequence[Path], encoding: str, problem: Callable[[str], None]
) -> dict[Path, list[Source]]:
    found: dict[Path, list[Source]] = {}
    for sheet in sorted(sheets):
        try:
            rows = read_sheet(sheet, encoding).rows_for(files, problem)
        except DatasetError as error:
            problem(str(error))
            continue
        for file, sources in rows.items():
            found.setdefault(file, []).extend(sources)
    return found


@dataclass
class _Listing:
    """What lies below a folder. Each real folder is visited once."""

    roots: tuple[Path, ...]
    problem: Callable[[str], None]
    recordings: list[Path] = field(default_factory=list)
    sheets: list[Path] = field(default_factory=list)
    beside: dict[Path, dict[str, Path]] = field(default_factory=dict)
    visited: set[Path] = field(default_factory=set)

    def walk(self, folder: Path) -> None:
        waiting: list[Path] = [folder]
        links: list[Path] = []
        while waiting or links:
            here = (waiting or links).pop()  # a folder's own place comes before the links to it
            try:
                real = here.resolve()
                entries = sorted(os.scandir(here), key=lambda entry: entry.name)
            except OSError:
                self.problem(f"The folder {here.name!r} cannot be opened; check that it may be read.")
                continue
            names = {entry.name for entry in entries}
            if real in self.visited or _is_ours(names):
                continue
            self.visited.add(real)
            files = {}
            for entry in entries:
                if _is_passed_over(entry.name) or not self._may_follow(entry):
                    continue
                path = here / entry.name
                if entry.is_dir():
                    (links if entry.is_symlink() else waiting).append(path)
                elif entry.is_file():
                    files[folded(entry.name)] = path
                    self._sort_in(path)
            self.beside[here] = files

    def _sort_in(self, path: Path) -> None:
        suffix = path.suffix.lower().removeprefix(".")
        if suffix in EXTENSIONS:
            self.recordings.append(path)
        elif suffix == "csv":
            self.sheets.append(path)

    def _may_follow(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return True
        try:
            target = Path(entry.path).resolve(strict=True)
        except (OSError, RuntimeError):
            self.problem(f"The link {entry.name!r} leads nowhere; remove it.")
            return False
        if any(target.is_relative_to(root) for root in self.roots):
            return True
        self.problem(f"The link {entry.name!r} leads out of the folders that may be used; move the files there.")
        return False


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_ours(names: set[str]) -> bool:
    """Whether a folder with these files was written by preprocessing or training."""
    return {MANIFEST, "latents"} <= names or {"run.json", "checkpoints"} <= names
