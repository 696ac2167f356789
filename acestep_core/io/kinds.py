"""What a file is that is not what was asked for, told from its first bytes. Doors ask once their readers gave up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

START: Final = 1 << 16
"""Bytes from the start that are looked at; within them an Office file names its first parts."""
_FETCH = "fetch it again"
_LINK = "sign in where that is asked for, and download it by its direct link"
_PLAIN_NAME = "choose the one without ._ in front of its name"
_AS_TEXT = "save its words as plain text in UTF-8"
_CHOOSE = "choose a recording"
_PART = r"(?=PK\x03\x04).*?PK\x03\x04.{26}"
"""In front of the name of a part of a ZIP archive, as Office files are."""


@dataclass(frozen=True)
class Kind:
    """What a file is, and what to do about it.

    Attributes:
        says: what it is, after the file's name.
        for_sound, for_text: what to do where a recording, or a text, was wanted.
        instead: whether it came in place of the file itself, whatever that should have been.
    """

    says: str
    for_sound: str
    for_text: str = "choose a text file"
    instead: bool = False


def _pattern(text: str) -> re.Pattern[bytes]:
    return re.compile(text.encode(), re.IGNORECASE | re.DOTALL)


_TABLE: Final = tuple(
    (_pattern(pattern), kind)
    for pattern, kind in (
        (r"\Z", Kind("is empty", "export it or fetch it again", "write it or fetch it again", True)),
        (r"\0+\Z", Kind("begins with nothing but zeros, as broken copies do", _FETCH, _FETCH, True)),
        (
            r"version https://git-lfs\.github\.com/spec/",
            Kind("is a git-LFS pointer, not the file itself (`git lfs pull` brings that)", _FETCH, _FETCH, True),
        ),
        (
            r"(?:\.\./)*(?:\.git)?/annex/objects/",
            Kind("is a git-annex pointer, not the file itself (`git annex get` brings that)", _FETCH, _FETCH, True),
        ),
        (
            r"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*"
            r"<(?:!doctype html|html|head|body|script)\b",
            Kind("is a web page, not the file itself", _LINK, _LINK, True),
        ),
        (
            r"<\?xml[^>]*>\s*<Error>|\s*(?:(?:40\d:? )?Not Found|Entry not found|Repository not found|Access denied|"
            r"Invalid username or password|Invalid credentials.{0,99}|Access to model .{1,200})\.?\s*\Z",
            Kind("is the refusal of a server, not the file itself", _LINK, _LINK, True),
        ),
        (
            r"\0\x05\x16\x07",
            Kind("holds what macOS remembers of another file", _PLAIN_NAME, _PLAIN_NAME),
        ),
        (r"MThd|RIFF....RMID", Kind("is a MIDI file, which holds notes and no sound", "export it as audio")),
        (
            r"#EXTM3U|\[playlist\]|ffconcat version",
            Kind("is a playlist", "choose one of the recordings that it names"),
        ),
        (
            r"FLhd|<REAPER_PROJECT|SQLite format 3\0.{52}AUDY|.?FICHIER GUITAR|"
            r"<\?xml[^>]*>\s*(?:<![^>]*>\s*)?<(?:project\b[^>]*audacity|score-partwise|museScore|Ableton)",
            Kind("is the project of a music program, which holds no finished sound", "export it as audio"),
        ),
        (
            _PART + r"(?:xl/|Index/Document\.iwa|mimetypeapplication/vnd\.oasis\.opendocument\.spreadsheet)",
            Kind("is a workbook", _CHOOSE, "save its sheet as CSV and name that file"),
        ),
        (
            _PART + r"(?:word/|mimetypeapplication/vnd\.oasis\.opendocument\.text)",
            Kind("is a document of a word processor", _CHOOSE, _AS_TEXT),
        ),
        (r"\{\\rtf\d", Kind("is a document of a word processor", _CHOOSE, _AS_TEXT, True)),
        (
            r"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            Kind("is an Office file", _CHOOSE, "save a sheet as CSV, or a text as plain text in UTF-8"),
        ),
        (
            r"PK\x03\x04|PK\x05\x06|7z\xbc\xaf\x27\x1c|Rar!|\x1f\x8b\x08|BZh\d|\xfd7zXZ",
            Kind("is an archive", "unpack it and choose a recording in it", "unpack it and choose a file in it"),
        ),
        (r"%PDF-", Kind("is a PDF document", _CHOOSE, _AS_TEXT)),
        (r"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|....ftyp(?:heic|avif|mif1)", Kind("is a picture", _CHOOSE)),
        (r"MZ\x90\0|\x7fELF", Kind("is a program", _CHOOSE)),
        (r"L\0\0\0\x01\x14\x02\0", Kind("is a shortcut", "choose the file that it leads to")),
        (r"GGUF|.{7}\0\{\"", Kind("holds the weights of a model", _CHOOSE)),
        (r"(?:[\t\n\f\r\x20-\x7e]|[\xc2-\xf4][\x80-\xbf]{1,3}){12,}[\xc2-\xf4]?\Z", Kind("is a text file", _CHOOSE)),
    )
)
"""The first that fits counts."""


def kind_of(start: bytes) -> Kind | None:
    """What a file is that begins with these bytes, its first `START`; None for what is not in the table."""
    return next((kind for pattern, kind in _TABLE if pattern.match(start)), None)


def came_instead(path: Path) -> str:
    """What came in place of a file, after its name; empty where it is the file, or damaged in another way."""
    try:
        with path.open("rb") as file:
            kind = kind_of(file.read(START))
    except OSError:
        return ""
    return kind.says if kind is not None and kind.instead else ""
