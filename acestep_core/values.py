"""Numbers and switches as people and spreadsheets write them: the one reader of every door."""

from __future__ import annotations

import math
import re
import unicodedata
from numbers import Integral, Real
from typing import Any

RANDOM = "random"
"""What is written for a seed that is drawn."""
_TRUE = ("true", "yes", "on", "1", "wahr", "ja", "vrai", "oui", "verdadero", "sí", "vero")
_FALSE = ("false", "no", "off", "0", "falsch", "nein", "faux", "non", "falso")
_UNSET = ("", "-", "n/a", "none", "null", "auto", "unknown", "0", "-1")
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d\d(?:\.\d+)?)", re.ASCII)
_LENGTH = re.compile(
    r"(?=.*\d)(?:(?P<minutes>\d+(?:[.,]\d+)?) ?(?:m(?:in(?:ute)?s?)?\.?|分钟?|分鐘|분))? ?"
    r"(?:(?P<seconds>\d+(?:[.,]\d+)?) ?(?:s(?:ec(?:ond)?s?)?\.?|秒|초))?",
    re.ASCII | re.IGNORECASE,
)
_WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d{1,4})?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?\d{1,3},\d{3}", re.ASCII)


def plain(text: str) -> str:
    """The text with ordinary digits, letters, minus signs and single spaces in place of their typographic kin."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("\u2212", "-").split())


def number(value: Any) -> int | float | None:
    """The number that a value is or spells, such as 7, "7.5", "7,5" or "７"; None for anything else.

    "1,000" could be two numbers, so it is none.
    """
    if isinstance(value, str):
        text = plain(value)
        if _WHOLE.fullmatch(text):
            return int(text)
        if not _DECIMAL.fullmatch(text) or _THOUSANDS.fullmatch(text):
            return None
        value = float(text.replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if isinstance(value, Integral):
        return int(value)
    return float(value) if math.isfinite(value) else None


def whole(value: Any) -> int | None:
    """The whole number that a value is or spells; 1.0 is one, and a tempo may say `bpm`."""
    found = number(re.sub(r"\s*bpm$", "", value, flags=re.IGNORECASE) if isinstance(value, str) else value)
    return int(found) if found is not None and found == int(found) else None


def real(value: Any) -> float | None:
    """The finite number that a value is or spells, as a float; a time such as 3:20 or 2 min is its seconds."""
    if isinstance(value, str) and (clock := _CLOCK.fullmatch(re.sub(r"\s*min$", "", plain(value)))):
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    if isinstance(value, str) and (length := _LENGTH.fullmatch(plain(value))):
        minutes, seconds = (float((part or "0").replace(",", ".")) for part in length.group("minutes", "seconds"))
        return minutes * 60 + seconds
    try:
        found = number(value)
        return None if found is None else float(found)
    except OverflowError:
        return None


def as_minutes(seconds: float) -> str:
    """72.4 -> `1:12`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def shown_size(count: float) -> str:
    """Bytes as people read them: `350 MiB`, `4.5 GiB`."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def lasting(seconds: float) -> str:
    """How long something takes, as the canvas says it: `45 s`, `12 min`, `4 h 25 min`."""
    minutes = round(seconds / 60)
    if minutes >= 90:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if seconds >= 60 else f"{seconds:.0f} s"


def counted(count: int, one: str) -> str:
    """(1, "song") -> `1 song`, (2, "song") -> `2 songs`."""
    return f"{count} {one}{'' if count == 1 else 's'}"


def is_unset(value: Any) -> bool:
    """Whether a value is one of the words and numbers that leave a choice open, here or in other programs."""
    if isinstance(value, str):
        return plain(value).lower().removesuffix(".0") in _UNSET
    return value is None or number(value) in (0, -1)


def is_random(value: Any) -> bool:
    """Whether a value asks for a seed to be drawn: `random`, or -1, as other programs write it."""
    return (isinstance(value, str) and plain(value).casefold() == RANDOM) or whole(value) == -1


def truth(value: Any) -> bool | None:
    """Whether a value is or spells true or false; None if neither."""
    if isinstance(value, bool):
        return value
    word = plain(value).casefold() if isinstance(value, str) else str(whole(value))
    return True if word in _TRUE else False if word in _FALSE else None
