"""What to make: the one description of a song that every stage reads."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from acestep_core.declared import Options, option, options_of
from acestep_core.errors import InvalidInput
from acestep_core.song.lyrics import read_lyrics
from acestep_core.values import as_minutes, is_unset, plain, real, truth, whole
from acestep_core.vocabulary import (
    BPM_MAX,
    BPM_MIN,
    BYTES_PER_TOKEN,
    CAPTION_TOKENS,
    DURATION_MAX,
    DURATION_MIN,
    INSTRUMENTAL_LYRICS,
    LANGUAGE_ALIASES,
    LANGUAGES,
    LYRIC_TOKENS,
    OWN_NAMES,
    PLAIN_KEYSCALES,
    PROMPT_TOKENS,
    THREE_LETTERS,
    TIME_SIGNATURES,
    UNKNOWN_LANGUAGE,
)

_MODES = {
    "major": "major, maj, M, dur, ionian, majeur, mayor, maggiore, 大调, 大調, 長調, メジャー, 장조, 메이저",
    "minor": "minor, min, m, moll, aeolian, mineur, menor, minore, 小调, 小調, 短調, マイナー, 단조, 마이너",
}
"""What the two modes that the models know are called."""
_OTHER_MODES = {"major": "lydian, mixolydian", "minor": "dorian, phrygian, locrian"}
"""Modes that they do not know, by the one that is nearest."""
_MODE_OF = {word: mode for mode, words in _MODES.items() for word in words.split(", ")}
_NEAREST = {word: mode for mode, words in _OTHER_MODES.items() for word in words.split(", ")}
_EASTERN_NOTES = dict(zip("ハニホヘトイロ다라마바사가나", "CDEFGABCDEFGAB", strict=True))
_EASTERN_SIGNS = {"嬰": "#", "変": "b", "變": "b", "올림": "#", "내림": "b", "升": "#", "降": "b"}
"""Notes, sharps and flats of Japan, Korea and China; the sign stands before the note."""
_CAMELOT = re.compile(r"0?(?P<hour>[1-9]|1[0-2])(?P<mode>[ABab])")
_FIFTHS = ["Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#"]
"""The tonics of the DJs' wheel of keys, minor at `1A` and on; the major key of a number lies three places before."""
_SOLFEGE = {"do": "C", "ut": "C", "re": "D", "ré": "D", "mi": "E", "fa": "F", "sol": "G", "la": "A", "si": "B"}
_SIGNS = {"#": "sharp, dièse, diese, diesis, sostenido, is, #, ♯", "b": "flat, bémol, bemolle, bemol, es, s, b, ♭"}
"""What sharps and flats are called; `is`, `es` and `s` are German, as in Fis, Des and As."""
_ACCIDENTALS = {word: sign for sign, words in _SIGNS.items() for word in words.split(", ")}
_KEY = re.compile(
    rf"(?:(?i:key)(?: of\b|:)?\s*)?(?P<note>(?i:{'|'.join(_SOLFEGE)})|[A-Ha-h])"
    rf"\s*(?P<accidental>-?(?i:{'|'.join(sorted(_ACCIDENTALS, key=len, reverse=True))}))?"
    r"[\s-]*(?P<mode>[^\W\d_]+)?\.?(?: (?i:key))?"
)
_GERMAN_MODES = ("dur", "moll")
_CHORD = re.compile(
    r"(?P<tonic>[A-Ga-g][#b♯♭]?)(?P<minor>min|m(?!aj)|-|dim|°|ø)?"
    r"(?P<more>(?:\(?(?:maj|M|Δ|aug|\+|sus|add|no|[#b♯♭])?(?:[2-79]|11|13)\)?|maj|M|Δ|aug|\+|sus)*(?:/[A-Ga-g][#b♯♭]?)?)"
)
"""A chord symbol, such as Am7, Cmaj9, F#m7b5 or G/B."""
_CONTROL = re.compile(r"<\|\w+\|>|</?think>")
_QUALIFIER = re.compile(
    r"(simplified|traditional|mandarin|brazilian|european|latin american|british|american|mexican) "
)
"""What stands before the name of a language without making it another one for the models."""
_TIME_SIGNATURES = {"2/4": "2", "2/2": "2", "3/4": "3", "4/4": "4", "6/8": "6"} | {t: t for t in TIME_SIGNATURES}


@dataclass(frozen=True)
class Song(Options):
    """A song to make. Values are checked and brought to the models' spelling on construction.

    Args:
        caption: style, instruments, mood. Used verbatim.
        lyrics: with section tags such as `[Verse]`; headings of other kinds and time stamps are understood, see
            `song.lyrics.read_lyrics`, everything else is used verbatim, apart from line ends.
        language: of the vocals: a code, a name in English or its own, or `unknown`.
        bpm: 30 to 300; None, 0 or -1 leave it open.
        keyscale: such as `C major`, `F# minor`, `Bb major`; `Am` and `A♭` are understood. Empty leaves it open. Of a
            mode that the models do not know, such as `D dorian`, the nearest key counts and the caption names it; a
            chord such as `Am7` is taken for the key of its root.
        timesignature: 2, 3, 4 or 6; `4/4` and `6/8` are understood. Empty leaves it open.
        duration: seconds, 10 to 600, or a time such as `3:20`; None, 0 or -1 leave it open.
        instrumental: no vocals; lyrics become `[Instrumental]` and the language `unknown`.

    `notes` say what was not taken as it was written, one sentence each; they are no part of the value.

    Raises:
        InvalidInput: a value is out of range or not understood; the message gives the range.
    """

    # fmt: off
    caption: str = option("",
        "Style, instruments, voice, mood, production. About 140 English words or 190 Chinese characters are read.",
        example="warm lo-fi hip hop, mellow electric piano, soft vinyl crackle, relaxed female vocals",
        field={"multiline": True})
    lyrics: str = option("",
        "Lyrics with section tags such as [Verse] and [Chorus]. "
        "About 1500 English words or 2000 Chinese characters are read.",
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
    notes: tuple[str, ...] = field(default=(), init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        instrumental = truth(self.instrumental)
        if instrumental is None:
            raise InvalidInput(f"instrumental must be true or false, not {self.instrumental!r}.")
        lyrics, notes = read_lyrics(normalize_text("lyrics", self.lyrics))
        language = normalize_language(self.language)
        chord = _key_of_chord(self.keyscale)
        caption, (key, mode) = normalize_text("caption", self.caption), _key_and_mode(chord or self.keyscale)
        if chord:
            notes = (*notes, f"{self.keyscale!r} is a chord; {key!r} is taken as the key.")
        if mode:
            notes = (*notes, f"The models know no {mode} keys: {key!r} is the key, and the caption names the mode.")
            if mode not in caption.lower():
                caption = ", ".join(part for part in (caption, f"{key.split()[0]} {mode}") if part.strip())
        normalized = {
            "caption": caption,
            "lyrics": INSTRUMENTAL_LYRICS if instrumental else lyrics,
            "language": UNKNOWN_LANGUAGE if instrumental else language,
            "bpm": normalize_bpm(self.bpm),
            "keyscale": key,
            "timesignature": normalize_timesignature(self.timesignature),
            "duration": normalize_duration(self.duration),
            "instrumental": instrumental,
            "notes": notes,
        }
        for name, value in normalized.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `Song.from_dict` reads it back."""
        return {o.name: getattr(self, o.name) for o in options_of(type(self))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Song:
        """A song from a dictionary; absent and null entries take their defaults.

        Raises:
            InvalidInput: an entry is not a field of a song, or its value is not valid.
        """
        known = {o.name for o in options_of(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InvalidInput(f"A song has no field {unknown[0]!r}; its fields are {', '.join(sorted(known))}.")
        return cls(**{name: value for name, value in values.items() if value is not None})

    def remarks(self) -> list[str]:
        """What was not taken as it was written, or does something that is not seen, one sentence each."""
        found = list(self.notes)
        if self.duration and not self.instrumental:
            from acestep_core.song.singing import CROWDED, singing_seconds

            needed, there = singing_seconds(self.lyrics), self.duration
            if needed > there * CROWDED:
                times = f"take about {as_minutes(needed)} to sing, and the song is {as_minutes(there)} long"
                found.append(f"The lyrics {times}; some words may be rushed or left out.")
        for name, text in (("caption", self.caption), ("lyrics", self.lyrics)):
            if token := _CONTROL.search(text):
                found.append(f"The {name} contains the control token {token[0]}, which cuts or changes the prompt.")
        return found

    def warnings(self) -> list[str]:
        """The remarks, and what may be too long to be read whole; only the model's tokenizer knows."""
        found = self.remarks()
        for name, text, limit in (("caption", self.caption, CAPTION_TOKENS), ("lyrics", self.lyrics, LYRIC_TOKENS)):
            tokens, most = len(text.encode()) // BYTES_PER_TOKEN, limit - PROMPT_TOKENS
            if tokens > most:
                found.append(f"The {name} may have {tokens} tokens; about {most} are read, and not what follows.")
        return found


_NO_TEXT = re.compile("[\ud800-\udfff]")


def normalize_text(name: str, value: Any) -> str:
    """The text with `\\n` line ends; it must be text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise InvalidInput(f"The {name} must be text, not {type(value).__name__}.")
    if (not value.isascii() and _NO_TEXT.search(value)) or "\0" in value:
        raise InvalidInput(f"The {name} contains characters that are not text; paste it again as plain text.")
    return value.replace("\r\n", "\n").replace("\r", "\n")


def normalize_language(value: Any) -> str:
    """A language code from a code (`EN`, `pt-BR`), a name in English or its own, or an alias; nothing is `unknown`."""
    if value is None:
        return UNKNOWN_LANGUAGE
    if not isinstance(value, str):
        raise InvalidInput(f"The language must be text such as 'en' or 'English', not {value!r}.")
    word, known = _without_accents(value), _language_words()
    for candidate in (word, re.split(r"[-_]| ?\(", word, maxsplit=1)[0], _QUALIFIER.sub("", word)):
        if candidate in known:
            return known[candidate]
    raise InvalidInput(f"The language {value!r} is not known; use one of {', '.join(LANGUAGES)}.")


@cache
def _language_words() -> dict[str, str]:
    """Code, alias or name of a language -> its code."""
    names = [(name, code) for code, own in OWN_NAMES.items() for name in own.split(", ")]
    names += [(name, code) for code, name in LANGUAGES.items()]
    own_codes = {code: code for code in LANGUAGES}
    own_codes |= dict(pair.split(":") for pair in THREE_LETTERS.split())
    return own_codes | LANGUAGE_ALIASES | {_without_accents(name): code for name, code in names}


def _without_accents(text: str) -> str:
    """In lower case, for people write `francais` too."""
    return unicodedata.normalize(
        "NFC", re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", plain(text).lower()))
    )


def normalize_bpm(value: Any) -> int | None:
    """Beats per minute as an int, or None when unset."""
    if is_unset(value):
        return None
    bpm = whole(value)
    if bpm is None or not BPM_MIN <= bpm <= BPM_MAX:
        raise InvalidInput(f"bpm must be a whole number from {BPM_MIN} to {BPM_MAX}, or empty, not {value!r}.")
    return bpm


def normalize_keyscale(value: Any) -> str:
    """`C major`, `F# minor`, `Bb major` …, or an empty string when unset. A note alone is taken as major.

    Raises:
        InvalidInput: it is no key, or one in a mode that the models do not know; the message names the nearest.
    """
    key, mode = _key_and_mode(value)
    if mode:
        raise InvalidInput(
            f"The models know no {mode} keys; give {key!r} as the key and write "
            f"'{key.split()[0]} {mode}' into the caption."
        )
    return key


def _key_and_mode(value: Any) -> tuple[str, str]:
    """A key, or the nearest one and the mode that the models do not know."""
    if is_unset(value):
        return "", ""
    match = _KEY.fullmatch(_western(plain(value))) if isinstance(value, str) else None
    word = (match and match["mode"]) or "major"
    mode = _MODE_OF.get(word) or _MODE_OF.get(word.lower())
    nearest = _NEAREST.get(word.lower())
    unknown_h = match and match["note"] in "Hh" and word.lower() not in _GERMAN_MODES
    if match is None or unknown_h or (mode is None and nearest is None):
        raise InvalidInput(
            f"The key {value!r} is not known; write a note A to G, an optional # or b, and major or minor, "
            "such as 'C major' or 'F# minor'."
        )
    note, accidental = match["note"].lower(), _ACCIDENTALS.get((match["accidental"] or "").lower().lstrip("-"), "")
    german = word.lower() in _GERMAN_MODES
    if german and note == "b":  # which is B flat there; B is called H
        accidental = "b"
    tonic = _SOLFEGE.get(note, "B" if german and note == "h" else note.upper()) + accidental
    return (f"{tonic} {mode}", "") if mode else (f"{tonic} {nearest}", word.lower())


def _key_of_chord(value: Any) -> str:
    """`Am` for a chord such as `Am7`; nothing for what is a key, or neither."""
    match = _CHORD.fullmatch(plain(value)) if isinstance(value, str) else None
    minor = match and match["minor"]
    if not match or (match["more"] in _MODE_OF if match["more"] else minor in (None, "m", "min")):
        return ""
    return f"{match['tonic']}{'m' if minor else ''}"


def _western(key: str) -> str:
    """A key as Japan (`嬰ヘ短調`), Korea (`내림나장조`), China (`降B大调`) or DJs (`8A`) write it, in our letters."""
    if wheel := _CAMELOT.fullmatch(key):
        minor = wheel["mode"] in "Aa"
        return f"{_FIFTHS[(int(wheel['hour']) - 1 - (0 if minor else 3)) % 12]} {'minor' if minor else 'major'}"
    return _eastern_key().sub(
        lambda m: f"{_EASTERN_NOTES.get(m['note'], m['note'])}{_EASTERN_SIGNS.get(m['sign'], '')} ", key
    )


@cache
def _eastern_key() -> re.Pattern[str]:
    """Built when it is needed: its thousands of characters take longer than all else that is prepared here."""
    return re.compile(
        rf"\A(?P<sign>{'|'.join(_EASTERN_SIGNS)})?\s*"
        rf"(?P<note>[{''.join(_EASTERN_NOTES)}A-Ga-g])(?=\s*[\u3040-\u9fff\uac00-\ud7a3])"
    )


def normalize_timesignature(value: Any) -> str:
    """`2`, `3`, `4` or `6`, or an empty string when unset."""
    if is_unset(value):
        return ""
    text = (
        plain(str(value)).replace(" ", "").removesuffix(".0").removesuffix("time")
        if not isinstance(value, bool)
        else ""
    )
    if text not in _TIME_SIGNATURES:
        raise InvalidInput(f"The time signature {value!r} is not known; use 2, 3, 4 or 6 (2/4, 3/4, 4/4 or 6/8).")
    return _TIME_SIGNATURES[text]


def normalize_duration(value: Any) -> float | None:
    """Seconds as a float, from a number or a time such as `3:20` or `2 min`, or None when unset."""
    if is_unset(value):
        return None
    seconds = real(value)
    if seconds is None or not DURATION_MIN <= seconds <= DURATION_MAX:
        raise InvalidInput(
            f"The duration must be from {DURATION_MIN:g} to {DURATION_MAX:g} seconds, or empty, not {value!r}."
        )
    return seconds
