"""All songs of a folder and of those below it, newest batch first: an index that reads a record again when it changes.

A song is an audio file with our record beside it or in its tags. Hidden folders are left out, and links are not
followed. A folder is looked through again when it has changed, so a thousand songs cost a few file system calls.
"""

from __future__ import annotations

import os
import re
import threading
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from acestep_core.errors import InvalidInput
from acestep_core.io.formats import FORMATS
from acestep_core.io.trash import Deleted, bring_back, move_away
from acestep_core.records.favourites import favourites, mark
from acestep_core.records.headings import Heading, heading_of
from acestep_core.records.keeping import RECORD, family
from acestep_core.song.description import normalize_keyscale

_AUDIO = frozenset(form.suffix for form in FORMATS.values())
_SETTLED = 2_000_000_000
"""Nanoseconds: a folder that changed just before it was read may have changed once more in the same tick."""
_FRESH = 10_000_000_000
"""Nanoseconds after which files are looked at too, as one may be written into without a change of its folder."""
_KEY = re.compile(r"(?<!\w)(?:(?i:[a-g][#b♯♭]?\s*(?:major|maj|minor|min))|[A-G][#b♯♭]?m)(?!\w)")
_RANGE = re.compile(r"(\d{2,3})\s*[-–]\s*(\d{2,3})(?:\s*bpm)?", re.IGNORECASE)


@dataclass(frozen=True)
class Listed:
    """One song as the index knows it.

    name: its path below the folder, with slashes; time: when it was written, in seconds; bytes: of the audio.
    batch: the number of its batch, the oldest is 1; take: its place there, from 1; takes: of the whole batch.
    """

    name: str
    time: float
    bytes: int
    heading: Heading
    batch: int = 0
    take: int = 1
    takes: int = 1


@dataclass(frozen=True)
class Search:
    """Which songs are wanted: every word of `words` in caption, lyrics, name or models, a key or a tempo among them
    in `keyscale` and `bpm`; `model`, `keyscale`, `bpm` (lowest, highest) as they are; only favourites."""

    words: str = ""
    keyscale: str = ""
    model: str = ""
    bpm: tuple[int, int] | None = None
    favourites: bool = False

    def finds(self, song: Listed, favourite: bool) -> bool:
        heading = song.heading
        if (self.favourites and not favourite) or self.keyscale not in ("", heading.keyscale):
            return False
        if self.model not in ("", heading.model):
            return False
        if self.bpm is not None and not self.bpm[0] <= (heading.bpm or 0) <= self.bpm[1]:
            return False
        return all(_has(song, word) for word in _words(self.words))


@dataclass
class _Song:
    stamp: tuple[int, ...]
    listed: Listed | None  # None for audio that is no song of ours


@dataclass
class _Folder:
    changed: int
    read: int
    folders: list[str] = field(default_factory=list)
    songs: dict[str, _Song] = field(default_factory=dict)


class Songbook:
    """The songs below `root`; may be used by several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lock = threading.Lock()
        self._folders: dict[str, _Folder] = {}
        self._songs: tuple[Listed, ...] = ()
        self._revision = 0

    def songs(self) -> tuple[int, tuple[Listed, ...]]:
        """A number that changes whenever something has changed, and all songs, newest batch first."""
        with self._lock:
            if self._refresh() or not self._revision:
                self._revision += 1
                self._songs = tuple(_batched([song for folder in self._folders.values() for song in _of(folder)]))
            return self._revision, self._songs

    def find(self, search: Search) -> tuple[int, list[Listed], frozenset[str]]:
        """The revision, the songs that are wanted, and all favourites."""
        revision, songs = self.songs()
        loved = favourites(self.root)
        return revision, [song for song in songs if search.finds(song, song.name in loved)], loved

    def delete(self, songs: Sequence[Path]) -> Deleted:
        """Moves songs with all that lies beside them into the trash. See `acestep_core.io.trash.move_away`."""
        for song in songs:
            inside = song.relative_to(self.root).parts if song.is_relative_to(self.root) else (".",)
            if song.suffix.lower() not in _AUDIO or any(part.startswith(".") for part in inside):
                raise InvalidInput(f"{song.name[:80]!r} is no song of the output folder; choose one from the songbook.")
        names = [song.relative_to(self.root).as_posix() for song in songs]
        loved = sorted(favourites(self.root).intersection(names))
        deleted = move_away(self.root, songs, _own_family, loved)
        mark(self.root, loved, False)  # the next song of that name has to earn it
        return deleted

    def restore(self, entry: str) -> list[Path]:
        """Undoes `delete`; gives the audio of each song where it is now."""
        known, moved = bring_back(self.root, entry)
        audio = [(Path(one.folder) / f"{one.stem}{one.suffixes[-1]}").as_posix() for one in known.bundles]
        back = {name: moved[name] for name in audio if name in moved}
        loved = [back[name].relative_to(self.root).as_posix() for name in known.note or () if name in back]
        mark(self.root, loved, True)
        return list(back.values())

    def _refresh(self) -> bool:
        """Looks through the folders that have changed; whether songs have."""
        changed, seen, waiting = False, set(), ["."]
        while waiting:
            name = waiting.pop()
            path = self.root / name
            try:
                stamp = path.stat().st_mtime_ns
            except OSError:  # gone meanwhile
                continue
            seen.add(name)
            known, now = self._folders.get(name), time.time_ns()
            if known is None or _stale(known, stamp, now):
                read = _look(self.root, name, known)
                read.changed, read.read = stamp, now
                changed |= known is None or _stamps(known) != _stamps(read)
                self._folders[name] = known = read
            waiting += known.folders
        gone = self._folders.keys() - seen
        for name in gone:
            del self._folders[name]
        return changed or bool(gone)


def _stale(known: _Folder, stamp: int, now: int) -> bool:
    return known.changed != stamp or known.read - stamp < _SETTLED or not 0 <= now - known.read < _FRESH


def _stamps(folder: _Folder) -> dict[str, tuple[int, ...]]:
    return {name: song.stamp for name, song in folder.songs.items()}


def _of(folder: _Folder) -> Iterator[Listed]:
    return (song.listed for song in folder.songs.values() if song.listed is not None)


def _look(root: Path, name: str, known: _Folder | None) -> _Folder:
    """What is in a folder; records are read only where they are new or have changed."""
    found, records, audio = _Folder(0, 0), {}, {}
    try:
        with os.scandir(root / name) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.is_symlink():
                    continue
                if entry.is_dir():
                    found.folders.append((Path(name) / entry.name).as_posix())
                elif (suffix := PurePath(entry.name).suffix.lower()) in _AUDIO:
                    audio[entry.name] = entry.stat()
                elif suffix == RECORD:
                    records[entry.name] = entry.stat()
    except OSError:  # closed to us, or something vanished: what was known stays until the next look
        return known or found
    for file, about in audio.items():
        record = records.get(PurePath(file).with_suffix(RECORD).name)
        stamp = (about.st_mtime_ns, about.st_size, *((record.st_mtime_ns, record.st_size) if record else ()))
        before = None if known is None else known.songs.get(file)
        if before is None or before.stamp != stamp:
            heading = heading_of(root / name / file, record is not None)
            listed = (
                Listed((Path(name) / file).as_posix(), about.st_mtime_ns / 1e9, about.st_size, heading)
                if heading
                else None
            )
            before = _Song(stamp, listed)
        found.songs[file] = before
    return found


def _batched(songs: list[Listed]) -> list[Listed]:
    """The songs with their batches, the newest first and in each the first take first.

    Songs are of one batch if they were made from the same in one go; the same seeds once more are another one.
    """
    songs.sort(key=lambda song: (song.time, song.name))
    batches: list[dict[Any, Listed]] = []
    latest: dict[Any, dict[Any, Listed]] = {}
    for song in songs:
        key, place = song.heading.batch, song.heading.place
        batch = latest.get(key) if key else None
        if batch is None or place in batch:
            batch = latest[key] = {}
            batches.append(batch)
        batch[place] = song
    found = []
    for number, batch in reversed(list(enumerate(batches, 1))):
        for place, song in sorted(batch.items()):
            found.append(replace(song, batch=number, take=place + 1, takes=len(batch)))
    return found


def _own_family(audio: Path) -> list[Path]:
    """A song with what lies beside it, unless that belongs to the same song in another format too."""
    twins = [path for path in audio.parent.glob(f"{_literal(audio.stem)}.*") if path.suffix.lower() in _AUDIO]
    return [audio] if any(path.stem == audio.stem and path != audio for path in twins) else family(audio)


def _literal(stem: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", stem)


def _words(text: str) -> list[str | tuple[int, int]]:
    """The words of a search: keys as they are spelled in records, ranges of tempo as two numbers."""
    found: list[str | tuple[int, int]] = []

    def key(match: re.Match[str]) -> str:
        found.append(normalize_keyscale(match[0]))
        return " "

    def tempo(match: re.Match[str]) -> str:
        found.append((int(match[1]), int(match[2])))
        return " "

    rest = _RANGE.sub(tempo, _KEY.sub(key, unicodedata.normalize("NFC", text)))
    return [*found, *(word for word in rest.casefold().split() if word != "bpm")]


def _has(song: Listed, word: str | tuple[int, int]) -> bool:
    heading = song.heading
    if isinstance(word, tuple):
        return word[0] <= (heading.bpm or 0) <= word[1]
    if word == heading.keyscale or (word.isdecimal() and heading.bpm == int(word)):
        return True
    return word.casefold() in heading.text or word in song.name.casefold()


def choices(songs: Sequence[Listed]) -> Mapping[str, list[str]]:
    """Keys and models of these songs, to choose from."""
    keys, models = ({getattr(song.heading, name) for song in songs} - {""} for name in ("keyscale", "model"))
    return {"keys": sorted(keys), "models": sorted(models)}
