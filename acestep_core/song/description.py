"""What to make: the one description of a song that every stage reads."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from acestep_core.declared import Options, option
from acestep_core.errors import InvalidInput
from acestep_core.vocabulary import (
    BPM_MAX,
    BPM_MIN,
    CAPTION_MAX_CHARS,
    DURATION_MAX,
    DURATION_MIN,
    INSTRUMENTAL_LYRICS,
    LANGUAGE_ALIASES,
    LANGUAGES,
    LYRICS_MAX_CHARS,
    OWN_NAMES,
    PLAIN_KEYSCALES,
    TIME_SIGNATURES,
    UNKNOWN_LANGUAGE,
)

_UNSET = ("", "-", "n/a", "none", "null", "auto", "unknown", "0", "-1")
_MODES = {
    "major": "major, maj, M, dur, ionian, majeur, mayor, maggiore, 大调, 大調, 長調, メジャー, 장조, 메이저",
    "minor": "minor, min, m, moll, aeolian, mineur, menor, minore, 小调, 小調, 短調, マイナー, 단조, 마이너",
}
"""What the two modes that the models know are called."""
_OTHER_MODES = {"major": "lydian, mixolydian", "minor": "dorian, phrygian, locrian"}
"""Modes that they do not know, by the one that is nearest."""
_MODE_OF = {word: mode for mode, words in _MODES.items() for word in words.split(", ")}
_NEAREST = {word: mode for mode, words in _OTHER_MODES.items() for word in words.split(", ")}
_KEY = re.compile(r"(?P<note>[A-Ga-g])\s*(?P<accidental>#|♯|b|♭|-?(?i:sharp|flat))?[\s-]*(?P<mode>[^\W\d_]+)?\.?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d\d(?:\.\d+)?)", re.ASCII)
_CONTROL = re.compile(r"<\|\w+\|>|</?think>")
_ACCIDENTALS = {"": "", "#": "#", "♯": "#", "sharp": "#", "b": "b", "♭": "b", "flat": "b"}
_TIME_SIGNATURES = {"2/4": "2", "2/2": "2", "3/4": "3", "4/4": "4", "6/8": "6"} | {t: t for t in TIME_SIGNATURES}


@dataclass(frozen=True)
class Song(Options):
    """A song to make. Values are checked and brought to the models' spelling on construction.

    Args:
        caption: style, instruments, mood. Used verbatim.
        lyrics: with section tags such as `[Verse]`. Used verbatim, apart from line ends.
        language: of the vocals: a code, a name in English or its own, or `unknown`.
        bpm: 30 to 300; None, 0 or -1 leave it open.
        keyscale: such as `C major`, `F# minor`, `Bb major`; `Am` and `A♭` are understood. Empty leaves it open.
        timesignature: 2, 3, 4 or 6; `4/4` and `6/8` are understood. Empty leaves it open.
        duration: seconds, 10 to 600, or a time such as `3:20`; None, 0 or -1 leave it open.
        instrumental: no vocals; lyrics become `[Instrumental]` and the language `unknown`.

    Raises:
        InvalidInput: a value is out of range or not understood; the message gives the range.
    """

    # fmt: off
    caption: str = option("", "Style, instruments, voice, mood, production. Up to about 512 characters are read.",
        example="warm lo-fi hip hop, mellow electric piano, soft vinyl crackle, relaxed female vocals",
        field={"multiline": True})
    lyrics: str = option("",
        "Lyrics with section tags such as [Verse] and [Chorus]. Up to about 4096 characters are read.",
        example="[Verse]\nRain on the window, slow and low\n\n[Chorus]\nStay a little, let it go",
        field={"multiline": True})
    language: str = option(UNKNOWN_LANGUAGE,
        "Language of the vocals, as a code. 'unknown' lets the models decide.",
        choices=(UNKNOWN_LANGUAGE, *(code for code in LANGUAGES if code != UNKNOWN_LANGUAGE)))
    bpm: int | None = option(None, "Beats per minute, 30 to 300. 0 leaves it open.",
        low=BPM_MIN, high=BPM_MAX, empty=0)
    keyscale: str = option("", "Musical key. 'auto' leaves it open.", choices=PLAIN_KEYSCALES, empty="auto")
    timesignature: str = option("",
        "Beats per bar: 4 for 4/4, 3 for 3/4, 6 for 6/8. 'auto' leaves it open.",
        choices=TIME_SIGNATURES, empty="auto")
    duration: float | None = option(None, "Length in seconds, 10 to 600. 0 leaves it to the planner.",
        low=DURATION_MIN, high=DURATION_MAX, step=1.0, unit="seconds", empty=0.0, example=30.0, field={"round": 0.01})
    instrumental: bool = option(False, "No vocals. Lyrics and language are then left out.",
        field={"label_on": "instrumental", "label_off": "vocals"})
    # fmt: on

    def __post_init__(self) -> None:
        if not isinstance(self.instrumental, bool):
            raise InvalidInput(f"instrumental must be true or false, not {self.instrumental!r}.")
        lyrics = normalize_text("lyrics", self.lyrics)
        language = normalize_language(self.language)
        normalized = {
            "caption": normalize_text("caption", self.caption),
            "lyrics": INSTRUMENTAL_LYRICS if self.instrumental else lyrics,
            "language": UNKNOWN_LANGUAGE if self.instrumental else language,
            "bpm": normalize_bpm(self.bpm),
            "keyscale": normalize_keyscale(self.keyscale),
            "timesignature": normalize_timesignature(self.timesignature),
            "duration": normalize_duration(self.duration),
        }
        for name, value in normalized.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `Song.from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Song:
        """A song from a dictionary; absent and null entries take their defaults.

        Raises:
            InvalidInput: an entry is not a field of a song, or its value is not valid.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InvalidInput(f"A song has no field {unknown[0]!r}; its fields are {', '.join(sorted(known))}.")
        return cls(**{name: value for name, value in values.items() if value is not None})

    def warnings(self) -> list[str]:
        """What is allowed but probably not meant, one sentence each."""
        found = []
        if len(self.caption) > CAPTION_MAX_CHARS:
            found.append(
                f"The caption has {len(self.caption)} characters; beyond about {CAPTION_MAX_CHARS} "
                "(256 tokens) the model does not read it."
            )
        if len(self.lyrics) > LYRICS_MAX_CHARS:
            found.append(
                f"The lyrics have {len(self.lyrics)} characters; beyond about {LYRICS_MAX_CHARS} "
                "(2048 tokens) the model does not read them."
            )
        for name, text in (("caption", self.caption), ("lyrics", self.lyrics)):
            if token := _CONTROL.search(text):
                found.append(f"The {name} contains the control token {token[0]}, which cuts or changes the prompt.")
        return found


def normalize_text(name: str, value: Any) -> str:
    """The text with `\\n` line ends; it must be text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise InvalidInput(f"The {name} must be text, not {type(value).__name__}.")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in value) or "\0" in value:
        raise InvalidInput(f"The {name} contains characters that are not text; paste it again as plain text.")
    return value.replace("\r\n", "\n").replace("\r", "\n")


def normalize_language(value: Any) -> str:
    """A language code from a code (`EN`, `pt-BR`), a name in English or its own, or an alias; nothing is `unknown`."""
    if value is None:
        return UNKNOWN_LANGUAGE
    if not isinstance(value, str):
        raise InvalidInput(f"The language must be text such as 'en' or 'English', not {value!r}.")
    word = _plain(value).lower()
    names = [(name, code) for code, own in OWN_NAMES.items() for name in own.split(", ")]
    names += [(name, code) for code, name in LANGUAGES.items()]
    known = dict.fromkeys(LANGUAGES) | LANGUAGE_ALIASES | {_plain(name).lower(): code for name, code in names}
    for candidate in (word, re.split("[-_]", word, maxsplit=1)[0]):
        if candidate in known:
            return known[candidate] or candidate
    raise InvalidInput(f"The language {value!r} is not known; use one of {', '.join(LANGUAGES)}.")


def normalize_bpm(value: Any) -> int | None:
    """Beats per minute as an int, or None when unset."""
    if _is_unset(value):
        return None
    problem = f"bpm must be a whole number from {BPM_MIN} to {BPM_MAX}, or empty, not {value!r}."
    number = _number(re.sub(r"\s*bpm$", "", value, flags=re.IGNORECASE) if isinstance(value, str) else value, problem)
    if number != int(number) or not BPM_MIN <= number <= BPM_MAX:
        raise InvalidInput(problem)
    return int(number)


def normalize_keyscale(value: Any) -> str:
    """`C major`, `F# minor`, `Bb major` …, or an empty string when unset. A note alone is taken as major.

    Raises:
        InvalidInput: it is no key, or one in a mode that the models do not know; the message names the nearest.
    """
    if _is_unset(value):
        return ""
    match = _KEY.fullmatch(_plain(value)) if isinstance(value, str) else None
    word = (match and match["mode"]) or "major"
    mode = _MODE_OF.get(word) or _MODE_OF.get(word.lower())
    nearest = _NEAREST.get(word.lower())
    if match is None or (mode is None and nearest is None):
        raise InvalidInput(
            f"The key {value!r} is not known; write a note A to G, an optional # or b, and major or minor, "
            "such as 'C major' or 'F# minor'."
        )
    tonic = match["note"].upper() + _ACCIDENTALS[(match["accidental"] or "").lower().lstrip("-")]
    if mode is None:
        raise InvalidInput(
            f"The models know no {word.lower()} keys; give '{tonic} {nearest}' as the key and write "
            f"'{tonic} {word.lower()}' into the caption."
        )
    return f"{tonic} {mode}"


def normalize_timesignature(value: Any) -> str:
    """`2`, `3`, `4` or `6`, or an empty string when unset."""
    if _is_unset(value):
        return ""
    text = _plain(str(value)).replace(" ", "").removesuffix(".0") if not isinstance(value, bool) else ""
    if text not in _TIME_SIGNATURES:
        raise InvalidInput(f"The time signature {value!r} is not known; use 2, 3, 4 or 6 (2/4, 3/4, 4/4 or 6/8).")
    return _TIME_SIGNATURES[text]


def normalize_duration(value: Any) -> float | None:
    """Seconds as a float, from a number or a time such as `3:20`, or None when unset."""
    if _is_unset(value):
        return None
    problem = f"The duration must be from {DURATION_MIN:g} to {DURATION_MAX:g} seconds, or empty, not {value!r}."
    text = re.sub(r"\s*s(ec(onds)?)?$", "", _plain(value)) if isinstance(value, str) else value
    if isinstance(text, str) and (clock := _CLOCK.fullmatch(text)):
        text = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    number = _number(text, problem)
    if not DURATION_MIN <= number <= DURATION_MAX:
        raise InvalidInput(problem)
    return number


def _plain(text: str) -> str:
    """The text with ordinary digits, letters, minus signs and single spaces in place of their typographic kin."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("\u2212", "-").split())


def _is_unset(value: Any) -> bool:
    """Whether a value is one of the words and numbers that leave a choice open, here or in other programs."""
    if isinstance(value, str):
        return _plain(value).lower().removesuffix(".0") in _UNSET
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value in (0, -1))


def _number(value: Any, problem: str) -> float:
    """The finite number that `value` is or spells."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidInput(problem)
    try:
        number = float(_plain(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        raise InvalidInput(problem) from None
    if not math.isfinite(number):
        raise InvalidInput(problem)
    return number
