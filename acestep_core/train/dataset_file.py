"""Datasets as files: upstream's `dataset.json`, read forgivingly and written exactly.

Our own additions stand under one key, which upstream ignores, in the metadata and in each sample. Source: upstream
`training/dataset_builder_modules/models.py` and `serialization.py`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from acestep_core.errors import DatasetError, InvalidInput
from acestep_core.io.atomic import atomic_write
from acestep_core.io.confine import confine, is_foreign
from acestep_core.io.names import folded
from acestep_core.io.text import read_text
from acestep_core.song.description import normalize_text
from acestep_core.train.dataset import Dataset, Sample, TimedText
from acestep_core.train.dataset_options import TAG_POSITIONS
from acestep_core.train.sample_fields import read_field
from acestep_core.vocabulary import INSTRUMENTAL_LYRICS

OURS: Final = "acestep_nodes"
FORMAT: Final = 1
_UNNAMED = "untitled"
"""Upstream's name of a loaded dataset that has none."""
_SAMPLE = (
    "id", "audio_path", "filename", "caption", "genre", "lyrics", "raw_lyrics", "formatted_lyrics", "bpm", "keyscale",
    "timesignature", "duration", "language", "is_instrumental", "custom_tag", "labeled", "prompt_override",
)  # fmt: skip
_METADATA = ("name", "custom_tag", "tag_position", "created_at", "num_samples", "all_instrumental", "genre_ratio")
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""How JSON may spell what is no character."""
_LOOKED_AT = 100_000
"""Files among which one that was moved is looked for."""


def load_dataset(path: Path | str, roots: Sequence[Path] = ()) -> Dataset:
    """A dataset from upstream's or our file: an object, a bare list of samples, or one sample a line (`.jsonl`).

    What is wrong with a sample becomes a problem of the dataset, and loading goes on.

    Args:
        roots: recordings outside these folders are not looked at; empty for any place.

    Raises:
        DatasetError: the file is absent or no JSON, or holds no samples at all.
    """
    path = Path(path)
    return parse_dataset(read_text(path, DatasetError), path, roots)


def parse_dataset(text: str, path: Path, roots: Sequence[Path] = ()) -> Dataset:
    """See `load_dataset`; `path` is where the text stands, for the recordings beside it."""
    values = _json_of(text, path.name)
    if _HALF.search(text):
        values = _cleaned(values)
    metadata: Any = {}
    if isinstance(values, dict):
        metadata, values = values.get("metadata"), values.get("samples")
    if not isinstance(values, list):
        raise DatasetError(f"{path.name} holds no list of samples; give a dataset file, or scan the folder again.")
    problems: list[str] = []
    known = _read_metadata(metadata, problems.append)
    finder = _Finder(path.parent, roots)
    samples: list[Sample] = []
    taken: set[str] = set()
    for index, entry in enumerate(values):
        own: list[str] = []
        sample = _read_sample(entry, finder, own.append)
        if sample is not None:
            if sample.id in taken:
                own.append(f"the id {sample.id!r} stands there twice and was changed.")
                sample = replace(sample, id=_free_id(sample.id, index, taken))
            taken.add(sample.id)
            samples.append(sample)
        name = f" ({sample.filename})" if sample is not None else ""
        problems += [f"Sample {index}{name}: {text}" for text in own]
    return Dataset(**known, samples=tuple(samples), problems=tuple(problems))


def save_dataset(dataset: Dataset, path: Path | str, *, absolute: bool = False, now: datetime | None = None) -> Dataset:
    """Writes the file, whole or not at all, and gives the dataset as it now stands there.

    Args:
        absolute: for upstream, which resolves paths against its working folder; else recordings below the file's
            folder are named relative to it.
        now: for tests.
    """
    path = Path(path)
    stamp = (now or datetime.now()).isoformat()
    saved = replace(dataset, created_at=stamp)
    with atomic_write(path) as temporary:
        temporary.write_text(dataset_json(saved, path.parent, absolute), encoding="utf-8")
    return saved


def dataset_json(dataset: Dataset, folder: Path, absolute: bool = False) -> str:
    """The text of a dataset file in `folder`."""
    metadata = {name: getattr(dataset, name, None) for name in _METADATA}
    ours = {"format": FORMAT} | ({"encoding": dataset.encoding} if dataset.encoding else {})
    metadata |= {"num_samples": len(dataset.samples), OURS: ours, **dataset.extra}
    samples = []
    for sample in dataset.samples:
        entry = {name: getattr(sample, name) for name in _SAMPLE}
        entry["audio_path"] = _written(sample.audio_path, folder, absolute)
        own = {
            "sha256": sample.sha256,
            "samples": sample.samples,
            "timing": [asdict(line) for line in sample.timing],
            "labels": dict(sample.labels),
            "repeat": sample.repeat,
            "excluded": sample.excluded,
            "problems": list(sample.problems),
        }
        samples.append({**entry, OURS: own, **sample.extra})
    return json.dumps({"metadata": metadata, "samples": samples}, ensure_ascii=False, indent=2)


def sample_id(name: str, taken: Iterable[str] = ()) -> str:
    """An id from a path relative to the dataset's folder: the same at every scan, on every machine."""
    digest, taken = hashlib.sha256(name.encode()).hexdigest(), set(taken)
    return next(digest[:size] for size in range(8, 65) if digest[:size] not in taken)


def _free_id(wanted: str, index: int, taken: set[str]) -> str:
    return sample_id(f"{wanted} {index}", taken)


def _json_of(text: str, name: str) -> Any:
    def number(digits: str) -> float | None:
        value = float(digits)
        return value if math.isfinite(value) else None

    def read(part: str) -> Any:
        return json.loads(part, parse_constant=lambda _: None, parse_float=number)

    try:
        return read(text)
    except (ValueError, RecursionError):
        lines = [line for line in text.split("\n") if line.strip()]
        try:
            found = [read(line) for line in lines]
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{name} is no JSON; give a dataset file, or scan the folder again.") from error
        if not found:
            raise DatasetError(f"{name} is empty; give a dataset file, or scan the folder again.") from None
        return found


def _cleaned(value: Any) -> Any:
    """Without what UTF-8 cannot hold."""
    if isinstance(value, str):
        return value if value.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value]
    return {_cleaned(key): _cleaned(entry) for key, entry in value.items()} if isinstance(value, dict) else value


class _Taker:
    """Takes values out of a table, each with a type and a default; what does not fit is remarked."""

    def __init__(self, values: Mapping[str, Any], remark: Callable[[str], None]) -> None:
        self.values, self.remark = values, remark

    def take(self, name: str, kind: type, default: Any, check: Callable[[Any], bool] = lambda _: True) -> Any:
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, float) and kind is int and value == int(value):
            value = int(value)
        if type(value) is kind and check(value):
            return value
        self.remark(f"{name} cannot be {_short(value)} and was left out")
        return default

    def text(self, name: str, default: str = "") -> str:
        value = self.take(name, str, default)
        try:
            return normalize_text(name, value)
        except InvalidInput as error:
            self.remark(str(error))
            return default

    def field(self, name: str, default: Any) -> Any:
        """One of `sample_fields.FIELDS`."""
        value = self.values.get(name)
        if value is None:
            return default
        try:
            return read_field(name, value)
        except InvalidInput as error:
            self.remark(str(error))
            return default


def _read_metadata(values: Any, problem: Callable[[str], None]) -> dict[str, Any]:
    if values is not None and not isinstance(values, dict):
        problem("metadata is no table and was left out.")
    taker = _Taker(values if isinstance(values, dict) else {}, lambda text: problem(f"metadata: {text}."))
    own = taker.values.get(OURS)
    ours = _Taker(own if isinstance(own, dict) else {}, taker.remark)
    return {
        "name": taker.text("name", _UNNAMED),
        "custom_tag": taker.text("custom_tag").strip(),
        "tag_position": taker.take("tag_position", str, TAG_POSITIONS[0], lambda v: v in TAG_POSITIONS),
        "created_at": taker.text("created_at"),
        "all_instrumental": taker.take("all_instrumental", bool, True),
        "genre_ratio": taker.take("genre_ratio", int, 0, lambda v: 0 <= v <= 100),
        "encoding": ours.text("encoding"),
        "extra": {name: value for name, value in taker.values.items() if name not in (*_METADATA, OURS)},
    }


def _read_sample(values: Any, finder: _Finder, remark: Callable[[str], None]) -> Sample | None:
    if not isinstance(values, dict):
        remark("it is no table and was left out.")
        return None

    def said(text: str) -> None:
        remark(text if text.endswith(".") else f"{text}.")

    taker = _Taker(values, said)
    own = values.get(OURS)
    ours = _Taker(own if isinstance(own, dict) else {}, said)
    written = taker.text("audio_path")
    if not written:
        said("it names no recording and was left out")
        return None
    path = finder.find(written, said)
    if path is None:
        return None
    identity = taker.text("id")
    if not _ID.fullmatch(identity):
        if identity:
            said("its id cannot name a file and was changed")
        identity = sample_id(written)
    instrumental_word = str(values.get("language", "")).strip().lower() == "instrumental"
    instrumental = taker.take("is_instrumental", bool, True)
    language = "unknown" if instrumental_word else taker.field("language", "unknown")
    caption = taker.field("caption", "")
    labels = ours.take("labels", dict, {})
    timing = ours.take("timing", list, [])
    return Sample(
        id=identity,
        audio_path=str(path),
        filename=taker.text("filename") or path.name,
        caption=caption,
        genre=taker.field("genre", ""),
        lyrics=taker.text("lyrics", INSTRUMENTAL_LYRICS),
        raw_lyrics=taker.text("raw_lyrics"),
        formatted_lyrics=taker.text("formatted_lyrics"),
        bpm=taker.field("bpm", None),
        keyscale=taker.field("keyscale", ""),
        timesignature=taker.field("timesignature", ""),
        duration=taker.take("duration", int, 0, lambda v: v >= 0),
        language=language,
        is_instrumental=instrumental,
        custom_tag=taker.field("custom_tag", ""),
        labeled=taker.take("labeled", bool, False),
        prompt_override=taker.field("prompt_override", None),
        sha256=ours.take("sha256", str, "", lambda v: re.fullmatch("[0-9a-f]{64}", v) is not None),
        samples=ours.take("samples", int, 0, lambda v: v >= 0),
        timing=tuple(line for entry in timing if (line := _timed(entry)) is not None),
        labels={str(name): str(origin) for name, origin in labels.items()},
        repeat=ours.field("repeat", 1),
        excluded=ours.take("excluded", bool, False),
        problems=tuple(str(text) for text in ours.take("problems", list, [])),
        extra={name: value for name, value in values.items() if name not in (*_SAMPLE, OURS)},
    )


def _timed(values: Any) -> TimedText | None:
    if not isinstance(values, dict):
        return None
    start, end, text = values.get("start"), values.get("end"), values.get("text")
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (start, end))
    return TimedText(float(start), float(end), text) if numbers and isinstance(text, str) else None  # type: ignore[arg-type]


@dataclass
class _Finder:
    """Where recordings are that a file names."""

    folder: Path
    roots: Sequence[Path] = ()
    _named: dict[str, list[Path]] = field(default_factory=dict)
    _inside: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()

    def find(self, written: str, remark: Callable[[str], None]) -> Path | None:
        """The recording; where it cannot be found, the place where it should be, with a remark. None is forbidden."""
        spelled, foreign = written.replace("\\", "/"), is_foreign(written)
        places = [Path(os.path.normpath(self.folder / name)) for name in dict.fromkeys((written, spelled))]
        for place in () if foreign else places:
            if _is_file(place):
                return self._allowed(place, remark)
        name = spelled.rpartition("/")[2]
        found = self._below().get(folded(name), [])
        if len(found) == 1:
            remark(f"{written!r} is not there; {found[0].relative_to(self.folder).as_posix()!r} is taken")
            return found[0]
        remark(f"there is no recording {written!r}; put it back, or correct the path")
        return self._allowed(Path(os.path.normpath(self.folder / name)) if foreign else places[-1], remark)

    def _allowed(self, place: Path, remark: Callable[[str], None]) -> Path | None:
        parent = place.parent
        if not self.roots or (parent in self._inside and not place.is_symlink()):
            return place
        try:
            confine(place, self.roots)
        except InvalidInput as error:
            remark(str(error))
            return None
        with suppress(InvalidInput):  # its neighbours that are no links need no look of their own
            confine(parent, self.roots)
            self._inside.add(parent)
        return place

    def _below(self) -> dict[str, list[Path]]:
        if not self._named:
            count = 0
            for parent, folders, files in os.walk(self.folder):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in files:
                    self._named.setdefault(folded(name), []).append(Path(parent, name))
                count += len(files)
                if count > _LOOKED_AT:
                    break
            self._named.setdefault("", [])
        return self._named


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name, a null byte
        return False


def _written(path: str, folder: Path, absolute: bool) -> str:
    place = Path(path)
    if not absolute and place.is_absolute():
        with_folder = folder.absolute()
        if place.is_relative_to(with_folder):
            place = place.relative_to(with_folder)
    return place.as_posix()


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
