"""The record of a song: everything needed to make it again, as the JSON that lies beside the saved file.

Readers take what they know and keep what they do not, so a record survives being read and written by an older or newer
version. It names files without their folders: a record can be shared.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from acestep_core import __version__
from acestep_core.errors import AudioError, InvalidInput
from acestep_core.io.atomic import atomic_write
from acestep_core.io.formats import FORMATS
from acestep_core.io.tags import read_tags
from acestep_core.io.text import read_text
from acestep_core.options import MAX_SEED, known
from acestep_core.records.fingerprints import sha256_of
from acestep_core.song.codes import check_codes
from acestep_core.song.description import Song

FORMAT = "acestep-song"
VERSION = 1
TAG = "acestep"
"""The tag of a sound file that holds its record."""
ROLES = ("dit", "text_encoder", "vae", "lm", "adapter", "source", "reference", "latent")
"""What a file was for; others may follow."""

_WEIGHTS = (".safetensors", ".gguf", ".pt", ".bin", ".ckpt", ".pth")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NUMBERS = re.compile(r"\[\n\s+((?:-?\d+,\n\s+)*-?\d+)\n\s+\]")


@dataclass(frozen=True)
class FileRecord:
    """A file that went into a song.

    role: what for, see `ROLES`.
    name: of the file or folder, without its path.
    sha256: of its content, 64 hexadecimal digits; empty where nobody computed it.
    strength: of an adapter.
    extra: keys that this version does not know.
    """

    role: str
    name: str
    sha256: str = ""
    strength: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.role or self.name in ("", ".", "..") or {"/", "\\", "\0"} & set(self.name):
            raise InvalidInput(f"A file of a record needs a role and a name without folders, not {self.name!r}.")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise InvalidInput(f"The SHA-256 of {self.name} must be 64 hexadecimal digits, not {self.sha256!r}.")
        if self.strength is not None and not math.isfinite(self.strength):
            raise InvalidInput(f"The strength of {self.name} must be a number, not {self.strength}.")

    def to_dict(self) -> dict[str, Any]:
        known = {"role": self.role, "name": self.name, "sha256": self.sha256, "strength": self.strength}
        return {**{key: value for key, value in known.items() if value not in ("", None)}, **self.extra}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FileRecord:
        read, extra = _split(cls, values)
        return cls(**read, extra=extra)


@dataclass(frozen=True)
class SongRecord:
    """One song of a batch and what made it. All values are plain JSON.

    song: the `Song` that was rendered, as `Song.to_dict`.
    seeds: the ones really used: `noise` of this item, and `plan`, `reference`, `retake` where they mattered.
    plan: the language model's plan as text (`Plan.to_text`); empty for none.
    codes: semantic codes; empty for none.
    task: its `name`; the `call` of the front door that made it with its `arguments`; the `seeds` (and `codes`, where
        they differ) of the whole batch and this item's `index` in it, since a batch differs from single songs in its
        last bits; `at_once`, how many were sampled together, where these were not all of the batch, or songs of others
        among them; `think`, how the language model was asked.
    settings: how it was sampled, presets resolved to numbers.
    finish: peak level and fades, and the format of the file.
    files: models, adapters, sources and references, with their hashes.
    machine: `device`, its `name`, and the number format of each model; on others the same song may differ in its last
        bits.
    versions: of this library, Python and torch.
    seconds: wall time of each stage.
    scores: by name, where the song was judged.
    graph: the API-format workflow, where a graph made it.
    extra: keys that this version does not know.
    """

    song: Mapping[str, Any]
    seeds: Mapping[str, int]
    plan: str = ""
    codes: tuple[int, ...] = ()
    task: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    finish: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[FileRecord, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    graph: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _MAPPINGS:
            object.__setattr__(self, name, _plain(name, getattr(self, name)))
        if self.graph is not None:
            object.__setattr__(self, "graph", _plain("graph", self.graph))
        object.__setattr__(self, "codes", check_codes(self.codes))
        if not isinstance(self.plan, str):
            raise InvalidInput("The plan of a record must be text.")
        for name, seed in self.seeds.items():
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
                raise InvalidInput(f"The seed {name!r} of a record must be a whole number from 0 to {MAX_SEED}.")
        if "noise" not in self.seeds:
            raise InvalidInput("A record needs the seed of the song's noise, seeds.noise.")
        self.to_song()

    def to_song(self) -> Song:
        """The song to make again; fields that this version does not know are left out."""
        return Song.from_dict(known(self.song, Song))

    def to_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = {"format": FORMAT, "version": VERSION}
        for entry in fields(self):
            if entry.name != "extra":
                values[entry.name] = getattr(self, entry.name)
        values["codes"] = list(self.codes)
        values["files"] = [file.to_dict() for file in self.files]
        return {**values, **self.extra}

    def to_json(self) -> str:
        """The text of the JSON file; runs of numbers stay on one line."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        return _NUMBERS.sub(lambda found: "[" + " ".join(found[1].split()) + "]", text) + "\n"

    @classmethod
    def from_dict(cls, values: Any) -> SongRecord:
        """Reads a record; absent keys take their defaults, unknown ones are kept.

        Raises:
            InvalidInput: it is no record, or a value cannot be used.
        """
        if not is_record(values):
            raise InvalidInput(f"This is not the record of a song; its format would be {FORMAT!r}.")
        head = {"format": FORMAT, "version": VERSION}  # another version's number is kept
        read, extra = _split(cls, {key: value for key, value in values.items() if value != head.get(key, ...)})
        try:
            read["files"] = tuple(FileRecord.from_dict(file) for file in read.get("files", ()))
            read["codes"] = tuple(read.get("codes", ()))
            return cls(**read, extra=extra)
        except (TypeError, AttributeError) as error:
            raise InvalidInput(f"The record of this song is damaged: {error}.") from error

    @classmethod
    def from_json(cls, text: str) -> SongRecord:
        """Reads the text of a record's file. Raises InvalidInput where it is something else."""
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise InvalidInput(f"The record is not JSON (line {error.lineno}): {error.msg}.") from error

    def save(self, path: Path) -> None:
        """Writes the record, never leaving half a file."""
        with atomic_write(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> SongRecord:
        """Reads a record's file, or the record in a song's file. Raises InvalidInput where there is none."""
        if path.suffix.lower() not in {form.suffix for form in FORMATS.values()}:
            return cls.from_json(read_text(path))
        try:
            text = read_tags(path).get(TAG)
        except AudioError as error:
            raise InvalidInput(f"The record in {path.name} cannot be read: {error}") from error
        if not text:
            raise InvalidInput(f"{path.name} does not say how it was made; choose a file that Save Song wrote.")
        return cls.from_json(text)

    def differences(self, other: SongRecord) -> list[str]:
        """Why making this song under the conditions of `other` may give something else, one sentence each."""
        found = []
        mine, theirs = _by_role(self.files), _by_role(other.files)
        for place in [*mine, *(place for place in theirs if place not in mine)]:
            before, now = mine.get(place), theirs.get(place)
            if before is None and now is not None:
                found.append(f"The {now.role} {now.name} was not used then.")
            elif now is None and before is not None:
                found.append(f"The {before.role} {before.name} is not used now.")
            elif before is not None and now is not None:
                if before.sha256 and now.sha256 and before.sha256 != now.sha256:
                    found.append(f"The {now.role} {now.name} is another file than {before.name} was.")
                if before.strength != now.strength:
                    found.append(f"The {now.role} {now.name} has strength {now.strength}, not {before.strength}.")
        for what in ("machine", "versions"):
            then, today = getattr(self, what), getattr(other, what)
            changed = (name for name in then if then[name] != today.get(name))
            found += [f"{name} was {then[name]}, now it is {today.get(name)}." for name in changed]
        return found


_MAPPINGS = tuple(entry.name for entry in fields(SongRecord) if entry.name not in ("plan", "codes", "files", "graph"))


def is_record(values: Any) -> bool:
    """Whether parsed JSON is the record of a song, and not, for example, a workflow."""
    return isinstance(values, Mapping) and values.get("format") == FORMAT


def versions() -> dict[str, str]:
    """Versions of this library, Python and torch, without importing torch."""
    return {"acestep-nodes": __version__, "python": platform.python_version(), "torch": metadata.version("torch")}


def describe_file(role: str, path: Path, strength: float | None = None) -> FileRecord:
    """The record of a file, or of a folder by the weights in it and below.

    Raises:
        InvalidInput: there is no such file, or no weights are in the folder.
    """
    path = Path(path)
    name = path.resolve().name if path.name in ("", "..") else path.name  # of a link, not of what it points to
    files = sorted(file for file in path.rglob("*") if file.suffix in _WEIGHTS) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise InvalidInput(f"There is nothing to describe at {path.name}; give a file, or a folder with weights.")
    hashes = [sha256_of(file) for file in files]
    if len(files) > 1:
        listed = zip(hashes, (file.relative_to(path).as_posix() for file in files), strict=True)
        lines = "".join(f"{digest}  {inside}\n" for digest, inside in listed)
        hashes = [hashlib.sha256(lines.encode()).hexdigest()]
    return FileRecord(role, name, hashes[0], strength)


def _split(cls: type, values: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the fields of `cls`, and everything else."""
    if not isinstance(values, Mapping):
        raise InvalidInput(f"A part of the record should be a table, not {values!r}.")
    names = {entry.name for entry in fields(cls)} - {"extra"}
    known = {key: value for key, value in values.items() if key in names}
    return known, {key: value for key, value in values.items() if key not in names}


def _plain(name: str, value: Any) -> dict[str, Any]:
    """A copy made of plain JSON values."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name} of a record must be a table, not {value!r}.")
    try:
        return json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} of a record must hold plain JSON values: {error}.") from error


def _by_role(files: Iterable[FileRecord]) -> dict[tuple[str, int], FileRecord]:
    """Files by role and by their place among those of the same role."""
    counted: dict[str, int] = {}
    out = {}
    for file in files:
        counted[file.role] = counted.get(file.role, 0) + 1
        out[file.role, counted[file.role]] = file
    return out
