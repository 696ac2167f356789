"""What lies beside a recording and tells about it: texts, timed lyrics, JSON, our own records, sheets, tags.

Later sources win over earlier ones, field by field: tags in the file, our record, texts, JSON, sheets. Source: upstream
`training/dataset_builder_modules/` (captions, lyrics, JSON, CSV); the forms of Side-Step and ai-toolkit are read, too.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acestep_core.errors import AceStepError, DatasetError
from acestep_core.io.atomic import atomic_write
from acestep_core.io.names import folded
from acestep_core.io.tags import read_tags
from acestep_core.io.text import read_text
from acestep_core.judge.subtitles import parse_lrc
from acestep_core.records.song_record import SongRecord, is_record
from acestep_core.train.dataset import Dataset, TimedText
from acestep_core.train.sample_fields import FIELDS, field_named, read_fields
from acestep_core.vocabulary import INSTRUMENTAL_LYRICS, UNKNOWN_LANGUAGE

LARGEST = 1 << 20
"""Bytes of a file that tells about one recording."""
_SIDE_STEP = re.compile(
    r"(caption|lyrics|genre|bpm|key|signature|language|custom_tag|is_instrumental|prompt_override|repeat)\s*:(.*)",
    re.IGNORECASE,
)
_AI_TOOLKIT = re.compile(r"<(CAPTION|LYRICS|BPM|KEYSCALE|TIMESIGNATURE|DURATION|LANGUAGE)>(.*?)</\1>", re.DOTALL)
_TAGS = {"genre": "genre", "bpm": "bpm", "tempo": "bpm", "key": "keyscale", "initialkey": "keyscale",
         "lyrics": "lyrics", "unsyncedlyrics": "lyrics"}  # fmt: skip
_RECORD_TAG = "acestep"

Remark = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """What one file says. `origin` goes into the sample's labels."""

    name: str
    origin: str
    values: Mapping[str, Any]


@dataclass
class Told:
    """All that is said about one recording, later sources last."""

    sources: list[Source] = field(default_factory=list)
    timing: tuple[TimedText, ...] = ()
    problems: list[str] = field(default_factory=list)

    def merged(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Values in their one spelling, and where each comes from. Where two sources disagree, that is a problem."""
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        names: dict[str, str] = {}
        disputed: dict[str, str] = {}
        for source in self.sources:
            remarks: list[str] = []
            read = read_fields(source.values, remarks.append)
            self.problems += [f"{source.name}: {text}" for text in remarks]
            for name, value in read.items():
                if value in (None, "", UNKNOWN_LANGUAGE):
                    continue
                if name in values and values[name] != value:
                    disputed[name] = f"{names[name]} and {source.name} disagree about {name}; {source.name} counts."
                values[name], origins[name], names[name] = value, source.origin, source.name
        self.problems += disputed.values()
        return values, origins


def told_about(audio: Path, beside: Mapping[str, Path], rows: Iterable[Source] = (), encoding: str = "") -> Told:
    """Reads everything that belongs to a recording; what cannot be read is a problem.

    Args:
        beside: the files in its folder, by `folded` name.
        rows: what sheets say about it.
        encoding: of texts that are neither UTF-8 nor UTF-16.
    """
    told = Told()
    stem = folded(audio.stem)

    def read(suffix: str) -> tuple[str, str] | None:
        """Name and text of a file beside it."""
        path = beside.get(f"{stem}{suffix}")
        if path is None:
            return None
        try:
            return path.name, sidecar_text(path, encoding)
        except DatasetError as error:
            told.problems.append(str(error))
            return None

    told.sources += _of_tags(audio, told.problems.append)
    if (found := read(".json")) is not None:
        record, plain = _of_json(*found, told.problems.append)
        told.sources += record
    else:
        plain = []
    text = read(".txt")
    lyrics_file = read(".lyrics.txt")
    if text is not None:
        values = text_values(text[1])
        if lyrics_file is not None and set(values) == {"lyrics"}:
            values = {}  # upstream takes the more exact name
        told.sources.append(Source(text[0], "file", values))
    if (found := read(".lrc")) is not None:
        told.timing = _timed(found[1])
        if lyrics_file is None and not (text and "lyrics" in values):
            lyrics = "\n".join(line.text for line in told.timing)
            told.sources.append(Source(found[0], "file", {"lyrics": lyrics}))
    if lyrics_file is not None:
        told.sources.append(Source(lyrics_file[0], "file", {"lyrics": lyrics_file[1].strip()}))
    if (found := read(".caption.txt")) is not None:
        told.sources.append(Source(found[0], "file", {"caption": found[1].strip()}))
    told.sources += plain
    told.sources += rows
    return told


def sidecar_text(path: Path, encoding: str = "", largest: int = LARGEST) -> str:
    """The text of a small file, with `\\n` line ends.

    Raises:
        DatasetError: it is too large, or its encoding is not known.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be opened; check that it is a file and may be read.") from error
    if size > largest:
        raise DatasetError(f"{path.name} is larger than {largest >> 20} MB; that tells of no recording, so remove it.")
    try:
        text = read_text(path, DatasetError, encoding)
    except DatasetError as error:
        if not isinstance(error.__cause__, ValueError | LookupError):  # its encoding is not what is wrong
            raise
        raise DatasetError(
            f"{path.name} is neither UTF-8 nor UTF-16 with a byte order mark; save it as UTF-8, or give its encoding, "
            "for example cp949."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_values(text: str) -> dict[str, Any]:
    """The fields of a plain text: Side-Step's `field: value` lines, ai-toolkit's tags, or lyrics alone."""
    if tags := _AI_TOOLKIT.findall(text):
        return {name.lower(): value.strip() for name, value in tags if name != "DURATION"}
    first = next((line for line in text.split("\n") if line.strip()), "")
    if not _SIDE_STEP.fullmatch(first.strip()):
        return {"lyrics": text.strip()} if text.strip() else {}
    values: dict[str, str] = {}
    name = ""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        found = _SIDE_STEP.fullmatch(line.strip())
        if found:
            name = found[1].lower()
            if name == "lyrics":  # which runs to the end
                values[name] = "\n".join([found[2], *lines[number + 1 :]]).strip()
                break
            values[name] = found[2].strip()
        elif name and line.strip():
            values[name] = f"{values[name]} {line.strip()}".strip()
    return values


def _of_tags(audio: Path, remark: Remark) -> Iterator[Source]:
    try:
        tags = read_tags(audio)
    except AceStepError as error:
        remark(str(error))
        return
    values = {_TAGS[name]: value for name, value in tags.items() if name in _TAGS and value.strip()}
    if values:
        yield Source(f"{audio.name} (tags)", "file", values)
    if record := tags.get(_RECORD_TAG):
        try:
            yield Source(f"{audio.name} (record)", "file", _record_values(SongRecord.from_json(record)))
        except AceStepError as error:
            remark(f"{audio.name}: {error}")


def _of_json(name: str, text: str, remark: Remark) -> tuple[list[Source], list[Source]]:
    """Our own record, and any other object: they do not count the same."""
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            remark(f"{name} holds no object and was passed over.")
        elif is_record(values):
            return [Source(name, "file", _record_values(SongRecord.from_dict(values)))], []
        else:
            known = {key: value for key, value in values.items() if field_named(key) in _IN_JSON}
            return [], [Source(name, "file", known)]
    except (ValueError, RecursionError):
        remark(f"{name} is no JSON and was passed over.")
    except AceStepError as error:
        remark(f"{name}: {error}")
    return [], []


_IN_JSON = tuple(name for name in FIELDS if name != "excluded")


def _record_values(record: SongRecord) -> dict[str, Any]:
    song = record.to_song()
    values = {
        name: getattr(song, name) for name in ("caption", "lyrics", "language", "bpm", "keyscale", "timesignature")
    }
    if song.instrumental or values["lyrics"] == INSTRUMENTAL_LYRICS:
        values |= {"lyrics": "", "is_instrumental": True}
    return values


def _timed(text: str) -> tuple[TimedText, ...]:
    return tuple(TimedText(line.start, line.end, line.text) for line in parse_lrc(text).lines)


@dataclass(frozen=True)
class Sheet:
    """A CSV file: what it says about the recordings in its folder and below."""

    path: Path
    rows: tuple[tuple[str, Mapping[str, str]], ...]

    def rows_for(self, files: Sequence[Path], problem: Remark) -> dict[Path, list[Source]]:
        """The rows of each recording: by path relative to the sheet, or by a file name that only one of them has."""
        folder = self.path.parent
        below = [file for file in files if file.is_relative_to(folder)]
        by_path = {folded(file.relative_to(folder).as_posix()): file for file in below}
        by_name: dict[str, list[Path]] = {}
        for file in below:
            by_name.setdefault(folded(file.name), []).append(file)
        found: dict[Path, list[Source]] = {}
        for name, values in self.rows:
            wanted = folded(name.replace("\\", "/").removeprefix("./"))
            named = by_name.get(wanted, [])
            match = by_path.get(wanted, named[0] if len(named) == 1 else None)
            if match is None:
                reason = "several files are called so; give the path" if named else "there is no such file"
                problem(f"{self.path.name}: row {name!r} was passed over, because {reason}.")
            elif match in found:
                problem(f"{self.path.name}: there is more than one row for {name!r}; the first one counts.")
            else:
                found[match] = [Source(self.path.name, "csv", values)]
        return found


def read_sheet(path: Path, encoding: str = "", columns: Sequence[str] = _IN_JSON) -> Sheet:
    """A CSV file with a column `File`; its delimiter is a comma, semicolon or tab.

    Args:
        columns: of `sample_fields.FIELDS`, those that count.

    Raises:
        DatasetError: it cannot be read, or has no such column.
    """
    text = sidecar_text(path, encoding, largest=64 << 20)
    for delimiter in ",;\t":
        try:
            rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
        except csv.Error as error:
            raise DatasetError(f"{path.name} cannot be read as a table ({error}); export it again.") from error
        header = [cell.strip() for cell in rows[0]] if rows else []
        lower = [cell.lower() for cell in header]
        if "file" not in lower:
            continue
        place = lower.index("file")
        known = {n: name for n, name in enumerate(header) if n != place and field_named(name) in columns}
        found = [
            (row[place].strip(), {name: row[n].strip() for n, name in known.items() if n < len(row) and row[n].strip()})
            for row in rows[1:]
            if len(row) > place and row[place].strip()
        ]
        return Sheet(path, tuple(found))
    raise DatasetError(f"{path.name} has no column 'File' that names the recordings; add one, or remove the sheet.")


def write_sidecars(dataset: Dataset, folder: Path) -> list[Path]:
    """Writes what is said about each recording beside a name of its own, for other programs: `.caption.txt`,
    `.lyrics.txt` and `.json`, in folders like those of the recordings.

    Raises:
        StorageError: a file of that name is there already; it is left alone.
    """
    places = [Path(sample.audio_path) for sample in dataset.samples]
    common = Path(os.path.commonpath([place.parent for place in places])) if places else folder
    written: list[Path] = []
    for sample, place in zip(dataset.samples, places, strict=True):
        base = folder / place.relative_to(common).with_suffix("")
        base.parent.mkdir(parents=True, exist_ok=True)
        values = {name: getattr(sample, name) for name in _IN_JSON if name not in ("lyrics", "repeat")}
        kept = {name: value for name, value in values.items() if value not in (None, "")}
        texts = {
            ".caption.txt": sample.caption,
            ".lyrics.txt": "" if sample.is_instrumental else sample.lyrics,
            ".json": json.dumps(kept, ensure_ascii=False, indent=1),
        }
        for suffix, text in texts.items():
            if text:
                path = base.with_name(base.name + suffix)
                with atomic_write(path, new=True) as temporary:
                    temporary.write_text(text + "\n", encoding="utf-8")
                written.append(path)
    return written
