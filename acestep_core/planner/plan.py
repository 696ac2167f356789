"""The plan of a song: what the language model decided, as a value, as text to edit, and merged into the song."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import yaml

from acestep_core.errors import InvalidInput, PlanError
from acestep_core.planner.metas import PLAN_FIELDS, dump, entries, scalar, serialize_cot
from acestep_core.song.description import (
    Song,
    normalize_bpm,
    normalize_duration,
    normalize_keyscale,
    normalize_language,
    normalize_text,
    normalize_timesignature,
)
from acestep_core.vocabulary import KEYSCALES, UNKNOWN_LANGUAGE


def _keyscale(value: Any) -> str:
    """A key as the language model may spell it: unlike a song, a plan keeps the signs ♯ and ♭."""
    return value if value in KEYSCALES else normalize_keyscale(value)


def _caption(value: Any) -> str:
    """Every kind of line break becomes `\\n`: YAML cannot tell them apart."""
    return _LINE_BREAKS.sub("\n", normalize_text("caption", "" if value is None else value))


def _language(value: Any) -> str:
    """A language code; unlike in a song, unset and `unknown` are two things."""
    unset = value is None or (isinstance(value, str) and value.strip().lower() in ("", "n/a"))
    return "" if unset else normalize_language(value)


_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")
ASKED = object()
_WHOLE = ("bpm", "timesignature")
_NORMALIZE: dict[str, Callable[[Any], Any]] = {
    "bpm": normalize_bpm,
    "caption": _caption,
    "duration": normalize_duration,
    "keyscale": _keyscale,
    "language": _language,
    "timesignature": normalize_timesignature,
}


@dataclass(frozen=True)
class Plan:
    """What a song will be. An unset field is None or empty and does not appear in the plan's text.

    Raises:
        InvalidInput: a value is out of range or not understood.
    """

    bpm: int | None = None
    caption: str = ""
    duration: float | None = None
    keyscale: str = ""
    language: str = ""
    timesignature: str = ""

    def __post_init__(self) -> None:
        for name in PLAN_FIELDS:
            object.__setattr__(self, name, _NORMALIZE[name](getattr(self, name)))

    @classmethod
    def from_metas(cls, metas: Mapping[str, Any]) -> Plan:
        """A plan from parsed language model output. Values that are not legal are left out."""
        values = dict(metas)
        values.setdefault("language", values.get("vocal_language"))
        if isinstance(values.get("bpm"), float):
            values["bpm"] = int(values["bpm"])
        return cls(**{name: _or_none(name, values[name]) for name in PLAN_FIELDS if values.get(name) is not None})

    @classmethod
    def of_song(cls, song: Song) -> Plan:
        """The fields that the user has decided. The caption is not one of them: planning is there to rewrite it."""
        language = "" if song.language == UNKNOWN_LANGUAGE else song.language
        return cls(song.bpm, "", song.duration, song.keyscale, language, song.timesignature)

    def fields(self) -> dict[str, Any]:
        """The fields that are set, in the model's order."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    def or_else(self, other: Plan) -> Plan:
        """This plan, its unset fields taken from another."""
        return replace(other, **self.fields())

    def to_cot(self) -> str:
        """The text the language model reads, `<think>` tags included; seconds are whole there."""
        return serialize_cot(self.fields())

    def to_text(self) -> str:
        """The plan as text to show and edit, one field a line. `Plan.from_text` reads it back."""
        fields = {name: int(value) if name in _WHOLE else value for name, value in self.fields().items()}
        if self.duration is not None and self.duration == int(self.duration):
            fields["duration"] = int(self.duration)
        return dump(fields)

    @classmethod
    def from_text(cls, text: str) -> Plan:
        """Reads a plan that a user may have edited. `<think>` tags are allowed and ignored.

        Raises:
            PlanError: a line cannot be understood; the message names it.
        """
        return cls(**dict(_read(text, {})))


@dataclass(frozen=True)
class PlanDraft:
    """A plan that is made in part: `wanted` are the fields that the model is asked for, given as `?`."""

    given: Plan
    wanted: tuple[str, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> PlanDraft:
        """Reads a plan as `Plan.from_text` does, and a `?` as a field to ask for."""
        read = dict(_read(text, {"?": ASKED}))
        wanted = tuple(name for name, value in read.items() if value is ASKED)
        return cls(Plan(**{name: value for name, value in read.items() if value is not ASKED}), wanted)


def _read(text: str, signs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of each field of a plan's text. `signs` mean something else than a value, in any field."""
    lines = text.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in line):
            raise PlanError(f"Line {number} of the plan holds a character that is not text; delete it.")
        if line.strip() in ("<think>", "</think>"):
            lines[number - 1] = ""
    names: set[str] = set()
    for entry in entries("\n".join(lines)):
        where = f"Line {entry.line} of the plan"
        if not entry.name:
            raise PlanError(f"{where} has no field; write 'field: value', or indent the line to continue the last.")
        if entry.name not in PLAN_FIELDS:
            raise PlanError(f"{where} has the field {entry.name!r}, which is none of {', '.join(PLAN_FIELDS)}.")
        if entry.name in names:
            raise PlanError(f"{where} gives {entry.name} a second time; remove one of the lines.")
        names.add(entry.name)
        try:
            yield entry.name, signs.get(entry.value.strip()) or _NORMALIZE[entry.name](scalar(entry.value))
        except yaml.YAMLError as error:
            raise PlanError(f"{where} starts with a quote that does not end with the value; close it.") from error
        except InvalidInput as error:
            raise PlanError(f"{where} is not usable: {error}") from error


def merge(song: Song, plan: Plan, *, caption: bool = True, language: bool = True) -> Song:
    """The song that is rendered. This is the one rule for what of a plan reaches it:

    1. The user's values win while planning: they stand in the plan as they are, and the model fills only the rest.
    2. From then on the plan is the last word, so that a plan edited by hand means what it says: bpm, key, time
       signature and duration come from the plan, and from the song where the plan is silent.
    3. The plan's caption replaces the song's if `caption` is on, its language if `language` is on.
    4. Lyrics are always the song's.
    """
    decided = plan.fields()
    if not caption:
        decided.pop("caption", None)
    if not language:
        decided.pop("language", None)
    return replace(song, **decided)


def _or_none(name: str, value: Any) -> Any:
    try:
        return _NORMALIZE[name](value)
    except InvalidInput:
        return "" if name in ("caption", "keyscale", "language", "timesignature") else None
