"""The one reader of text files that people write: lyrics, JSON, sheets, settings."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any, Final

from acestep_core.errors import AceStepError, InvalidInput
from acestep_core.io.kinds import START, kind_of
from acestep_core.io.names import meant

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_LARGEST = 64 << 20
"""Bytes. Larger files are no text that anybody wrote."""


def read_text(path: Path | str, error: type[AceStepError] = InvalidInput, encoding: str = "") -> str:
    """The text of a file, without a byte order mark; line ends stay as they are.

    Args:
        error: raised where it cannot be read.
        encoding: of files that are neither UTF-8 nor UTF-16, such as `cp949`; empty where there should be none.

    Raises:
        error: it is absent, too large, neither UTF-8 nor UTF-16 with a byte order mark, or what came in its place, such
            as a web page.
    """
    path = meant(path)
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise error(f"There is no file {str(path)!r}; check the name and the folder.") from None
    except (OSError, ValueError) as cause:
        raise error(f"{path.name!r} cannot be opened; check that it is a file and may be read.") from cause
    if len(data) > _LARGEST:
        raise error(f"{path.name} is larger than {_LARGEST >> 20} MB; that is no text file, so check the name.")
    return decode_text(data, path.name, error, encoding)


def json_object(text: str, name: str, cure: str, error: type[AceStepError] = InvalidInput) -> dict[str, Any]:
    """A JSON object that a text holds.

    Args:
        name: what holds the text; `cure`: what to do where it is none.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise error(f"{name} cannot be read as JSON; {cure}.") from cause
    if not isinstance(values, dict):
        raise error(f"{name} does not hold a JSON object; {cure}.")
    return values


def decode_text(data: bytes, name: str, error: type[AceStepError] = InvalidInput, encoding: str = "") -> str:
    """The text that bytes hold: UTF-8 with or without a byte order mark, or UTF-16 with one. See `read_text`.

    Args:
        name: what the bytes are called in messages.
    """
    kind = kind_of(data[:START]) if data else None
    if kind is not None and kind.instead:
        raise error(f"{name} {kind.says}; {kind.for_text}.")
    mark, marked = next(((mark, marked) for mark, marked in _MARKS if data.startswith(mark)), (b"", ""))
    for tried in (marked,) if marked else ("utf-8", encoding) if encoding else ("utf-8",):
        try:
            text = data[len(mark) :].decode(tried)
        except (ValueError, LookupError) as problem:
            cause = problem
            continue
        if "\0" not in text:  # UTF-16 without a mark, UTF-32, or no text at all
            return text
        cause = ValueError("null characters")
    if kind is not None:
        raise error(f"{name} {kind.says}; {kind.for_text}.")
    raise error(f"{name} cannot be read as text; save it as UTF-8.") from cause
