"""Names of files: which are the same, which are allowed everywhere, and which is free."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

MAX_BYTES = 200
"""Of a safe name in UTF-8: leaves room for a number and suffixes below the 255 that file systems allow."""

_ROOM = 220
"""Bytes of a stem that gets a number."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL)
_NUMBERED = re.compile(r"(.+)_(\d{5,9})(_?)", re.DOTALL)

NUMBER = "number"
"""Naming rule: `song` becomes `song_00001`, with the number after the highest one."""
ROW = "row"
"""Naming rule: `song_00001` gets the number after the highest one, unless its own is higher; the rest as `PLAIN`."""
PLAIN = "plain"
"""Naming rule: the name itself if it is free, else with a number."""
COPY = "copy"
"""Naming rule: the name itself if it is free or has the same content, else `name (1)`, as ComfyUI does."""


def same_name(name: str, other: str) -> bool:
    """Whether some system takes the two for one file: macOS ignores case and the form of accents, Windows case."""
    return folded(name) == folded(other)


def safe_name(name: str, fallback: str = "_") -> str:
    """`name` as one part of a path that every system can write: no separators, drives, devices or endless names.

    Characters that are not allowed become `_`; dots and spaces at the ends go; `fallback` if nothing is left.
    """
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).strip(" .")
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    return _cut(name, MAX_BYTES).rstrip(" .") or fallback


def as_pasted(path: str) -> str:
    """A path without what a copy of it brings along: spaces and line breaks around it, quotes (Explorer's "Copy as
    path"), or `file://`.
    """
    text = path.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    if text[:7].lower() == "file://":
        text = unquote(text[7:].removeprefix("localhost"))
        return text[1:] if re.match(r"/[A-Za-z]:", text) else text
    return text


def spellings(path: str) -> list[str]:
    """What a path may mean here, likeliest first: itself, as it was pasted, and with the slashes of another system."""
    pasted = as_pasted(path)
    own = [path] if pasted == path.strip() else []  # names may end with a space
    turned = [pasted.replace("\\", "/")] if os.sep != "\\" else []
    return list(dict.fromkeys([*own, pasted, *turned]))


def meant(path: str | os.PathLike[str]) -> Path:
    """The file that a path means: the first spelling that is there, or, where none is, the path without what a copy of
    it brought along.
    """
    text = os.fspath(path)
    there = (spelling for spelling in spellings(text) if os.path.exists(spelling))  # noqa: PTH110 - takes any text
    return Path(next(there, as_pasted(text)))


class Taken:
    """The names in a folder."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, list[str]] = {}
        self.add(names)

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            self._names.setdefault(folded(name), []).append(name)

    def spellings(self, name: str) -> list[str]:
        """How those that are the same as `name` are written, `name` itself first."""
        return sorted(self._names.get(folded(name), ()), key=lambda other: (other != name, other))

    def has(self, stem: str, suffixes: Iterable[str]) -> bool:
        """Whether a file has this stem with one of the suffixes."""
        return any(folded(stem + suffix) in self._names for suffix in suffixes)

    def highest(self, stem: str) -> int:
        """The highest number that a file `stem_00001…` has, whatever its suffix; 0 where there is none."""
        pattern = re.compile(rf"\.?{re.escape(folded(stem))}_(\d{{5,9}})_?(\..*)?", re.DOTALL)
        found = (pattern.fullmatch(name) for name in self._names)
        return max((int(match[1]) for match in found if match), default=0)


def candidates(stem: str, rule: str, taken: Taken, end: str = "") -> Iterator[str]:
    """Stems for a song, best first. `end` follows the number, where the rule gives one."""
    number = 1
    numbered = _NUMBERED.fullmatch(stem) if rule == ROW else None
    if numbered:
        stem, number, end = numbered[1], int(numbered[2]), numbered[3]
    elif rule != NUMBER:
        yield stem
    stem = _cut(stem, _ROOM)
    if rule == COPY:
        while True:
            yield f"{stem} ({number})"
            number += 1
    number = max(number, taken.highest(stem) + 1)
    while True:
        yield f"{stem}_{number:05d}{end}"
        number += 1


def by_stem(names: Sequence[str]) -> dict[str, list[str]]:
    """Files that belong together, as stem -> suffixes: `a.flac`, `a.json` and `a.lyrics.json` are one song."""
    songs: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        own = name.rpartition(".")[0] or name
        stem = next((stem for stem in songs if name.startswith(f"{stem}.")), own)
        songs.setdefault(stem, []).append(name[len(stem) :])
    return dict(sorted(songs.items()))


def _cut(name: str, size: int) -> str:
    return name.encode(errors="surrogateescape")[:size].decode(errors="ignore") if len(name) * 4 > size else name


def folded(name: str) -> str:
    """A name as every system compares it: macOS writes accents and syllables apart, Windows ignores case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
