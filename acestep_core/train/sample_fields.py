"""What may be said about a recording, and the one spelling of it. People, sheets, files of other programs and language
models write these values in many ways.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from acestep_core.errors import InvalidInput
from acestep_core.song.description import (
    normalize_bpm,
    normalize_keyscale,
    normalize_language,
    normalize_text,
    normalize_timesignature,
)
from acestep_core.values import number, plain, truth, whole
from acestep_core.vocabulary import UNKNOWN_LANGUAGE

FIELDS: Final = (
    "caption", "genre", "lyrics", "bpm", "keyscale", "timesignature", "language", "is_instrumental", "custom_tag",
    "prompt_override", "repeat", "excluded",
)  # fmt: skip
"""What can be set, in the order of tables."""
ALIASES: Final = {
    "key": "keyscale",
    "signature": "timesignature",
    "time_signature": "timesignature",
    "vocal_language": "language",
    "instrumental": "is_instrumental",
    "tag": "custom_tag",
    "raw_lyrics": "lyrics",
    "genres": "genre",
    "tempo": "bpm",
}
"""Other names that people give them."""
REPEAT_MAX: Final = 1000
_MINOR = ["Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "Db"]
_MAJOR = ["B", "F#", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E"]
_CAMELOT = {
    f"{number}{letter}": f"{tonic} {mode}"
    for letter, mode, tonics in (("A", "minor", _MINOR), ("B", "major", _MAJOR))
    for number, tonic in enumerate(tonics, start=1)
}
"""The wheel of disc jockeys; 10B is D major, as in upstream's example of a CSV."""
_WORDS = {"instrumental": True, "vocal": False, "vocals": False, "": False}
"""What people write for a switch besides yes and no."""


def read_field(name: str, value: Any) -> Any:
    """A value in its one spelling; None, empty and `unknown` leave it open.

    Raises:
        InvalidInput: it is none that the models know; the message says which there are.
    """
    return _READERS[name](value)


def read_fields(values: Mapping[str, Any], remark: Callable[[str], None]) -> dict[str, Any]:
    """The values of all known fields under any of their names; what does not fit is left out with a remark.

    The language `instrumental`, which upstream writes, means a piece without vocals.
    """
    found: dict[str, Any] = {}
    for given, value in values.items():
        name = field_named(given)
        if name is None or value is None:
            continue
        if name == "language" and isinstance(value, str) and value.strip().lower() == "instrumental":
            found |= {"language": UNKNOWN_LANGUAGE, "is_instrumental": True}
            continue
        try:
            found[name] = read_field(name, value)
        except InvalidInput as error:
            remark(str(error))
    return found


def field_named(name: Any) -> str | None:
    """The field that people call by this name, if any."""
    word = re.sub(r"[\s-]+", "_", str(name).strip().lower())
    word = ALIASES.get(word, word)
    word = {"timesignature": "timesignature", "customtag": "custom_tag"}.get(word.replace("_", ""), word)
    return word if word in FIELDS else None


def _text(name: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)  # a number that a sheet or YAML took for one, such as the genre 80
        return normalize_text(name, "" if value is None else value).strip()

    return read


def _bpm(value: Any) -> int | None:
    """Rounded half up."""
    spelled = re.sub(r"\s*bpm$", "", value.strip(), flags=re.IGNORECASE) if isinstance(value, str) else value
    found = number(spelled)
    return normalize_bpm(value if found is None or found <= 0 else math.floor(found + 0.5))


def _keyscale(value: Any) -> str:
    if isinstance(value, str) and (key := _CAMELOT.get(value.strip().upper())):
        return key
    return normalize_keyscale(value)


def _timesignature(value: Any) -> str:
    if value is not None and not isinstance(value, str | int | float):
        raise InvalidInput(f"The time signature must be text such as '4/4', not {_shown(value)}.")
    return normalize_timesignature(value)


def _switch(name: str) -> Callable[[Any], bool]:
    def read(value: Any) -> bool:
        word = plain(value).casefold() if isinstance(value, str) else value
        found = _WORDS.get(word) if isinstance(word, str) else None
        found = truth(value) if found is None and isinstance(value, str | int) else found
        if found is None:
            raise InvalidInput(f"{name} must be true or false, not {_shown(value)}.")
        return found

    return read


def _override(value: Any) -> str | None:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (None, "", "none", "auto"):
        return None
    if word not in ("caption", "genre"):
        raise InvalidInput(f"prompt_override must be caption, genre or nothing, not {_shown(value)}.")
    return str(word)


def _repeat(value: Any) -> int:
    found = whole(value)
    if found is None or not 1 <= found <= REPEAT_MAX:
        raise InvalidInput(f"repeat must be a whole number from 1 to {REPEAT_MAX}, not {_shown(value)}.")
    return found


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


_READERS: dict[str, Callable[[Any], Any]] = {
    "caption": _text("caption"),
    "genre": _text("genre"),
    "lyrics": _text("lyrics"),
    "bpm": _bpm,
    "keyscale": _keyscale,
    "timesignature": _timesignature,
    "language": normalize_language,
    "is_instrumental": _switch("is_instrumental"),
    "custom_tag": _text("custom tag"),
    "prompt_override": _override,
    "repeat": _repeat,
    "excluded": _switch("excluded"),
}
