"""Bars and beats as people write them, and when they are played: the one reader of every door.

Bar 1 begins with the recording, and the tempo stays the same. A text names the first and the last bar or beat, both
included: "bars 9-12", "bar 9", "9.3 to 12.1" (from the third beat of bar 9 to the first of bar 12), "from bar 9". It
may bring a tempo and a meter of its own: "bars 9-12 at 92 bpm in 3/4".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from acestep_core.errors import InvalidInput
from acestep_core.values import plain
from acestep_core.vocabulary import BPM_MAX, BPM_MIN

_TEMPO = re.compile(r"(?:\bat |@ ?|, ?)?(?<![\d.])(\d{1,4}(?:\.\d+)?) ?bpm\b")
_METER = re.compile(r"(?:\bin |, ?)?\b(\d{1,2})/[248]\b")
_WORDS = re.compile(r"\b(?:bars?|measures?)\b|마디|小节|小節|第")
_TO = re.compile("[\u2010-\u2015~\u301c]|\\bto\\b")
_REGION = re.compile(r"(from )?(\d{1,4})(?:\.(\d{1,2}))?( ?- ?)?(?:(?<=[- ])(\d{1,4})(?:\.(\d{1,2}))?)?")
_LENGTH = re.compile(r"(\d{1,4}(?:\.\d+)?)(?: (before|after))?")


@dataclass(frozen=True)
class Meter:
    """Attributes:
    bpm: beats per minute.
    beats: of a bar.
    """

    bpm: float
    beats: int = 4

    @classmethod
    def of(cls, bpm: float | None, timesignature: str = "") -> Meter | None:
        """That of a song, see `Song`; None where its tempo is not known. Without a time signature a bar has 4 beats."""
        return cls(bpm, int(timesignature or 4)) if bpm else None

    @property
    def bar(self) -> float:
        """Seconds."""
        return self.beats * 60 / self.bpm


def region_in_bars(text: str, meter: Meter | None) -> tuple[float, float | None]:
    """Where a region begins and ends, in seconds; None is the end of the recording.

    Args:
        meter: of the recording; what the text says of it goes first.

    Raises:
        InvalidInput: the text is not understood, or there is no tempo.
    """
    first, last, open_ended = _region(text)
    meter = _meter(text, meter)
    start, end = _place(text, first, meter)[0], None if open_ended else _place(text, last, meter)[1]
    if end is not None and end <= start:
        raise InvalidInput(f"{text!r} ends before it starts; name the earlier bar first.")
    return start, end


def length_in_bars(text: str, meter: Meter | None) -> tuple[float, float]:
    """Seconds before and after a recording: of "8 bars" (after), or "4 before, 8 after". Arguments as above."""
    before, after = _lengths(text)
    bar = _meter(text, meter).bar
    return before * bar, after * bar


def check_region(text: str) -> None:
    """Raises InvalidInput where `region_in_bars` does not understand a text; empty is no region."""
    if text:
        _region(text)


def check_length(text: str) -> None:
    """The same for `length_in_bars`."""
    if text:
        _lengths(text)


_Place = tuple[int, int | None]
"""A bar and perhaps a beat of it, counted from 1."""


def _region(text: str) -> tuple[_Place, _Place, bool]:
    found = _REGION.fullmatch(_bare(text))
    if found is None or (found[1] and found[5]):
        raise InvalidInput(f"Write bars as 'bars 9-12', 'bar 9', or '9.3-12.1' for beats, not {text!r:.80}.")
    first = _bar_and_beat(found[2], found[3])
    last = _bar_and_beat(found[5], found[6]) if found[5] else first
    return first, last, bool(found[1] or (found[4] and not found[5]))


def _bar_and_beat(bar: str, beat: str | None) -> _Place:
    return int(bar), None if beat is None else int(beat)


def _lengths(text: str) -> tuple[float, float]:
    sides: dict[str, float] = {}
    for part in re.split(r",|\band\b", _bare(text)):
        found = _LENGTH.fullmatch(part.strip(" +"))
        if found is None or (side := found[2] or "after") in sides:
            raise InvalidInput(f"Write how many bars to add as '8 bars' or '4 before, 8 after', not {text!r:.80}.")
        sides[side] = float(found[1])
    return sides.get("before", 0.0), sides.get("after", 0.0)


def _place(text: str, place: _Place, meter: Meter) -> tuple[float, float]:
    """The seconds where a bar or beat begins and ends."""
    bar, beat = place
    if bar < 1 or (beat is not None and not 1 <= beat <= meter.beats):
        raise InvalidInput(f"Bars and beats count from 1, and a bar here has {meter.beats} beats, not {text!r:.80}.")
    begin, long = (bar - 1) * meter.beats + (beat or 1) - 1, meter.beats if beat is None else 1
    return begin * 60 / meter.bpm, (begin + long) * 60 / meter.bpm


def _meter(text: str, meter: Meter | None) -> Meter:
    tempo, beats = _TEMPO.search(_said(text)), _METER.search(_said(text))
    bpm = float(tempo[1]) if tempo else meter.bpm if meter else None
    if bpm is None:
        raise InvalidInput(
            f"The tempo is not known, so {text!r:.80} has no times; write it behind, such as 'bars 9-12 at 92 bpm', "
            "or give seconds."
        )
    per_bar = int(beats[1]) if beats else meter.beats if meter else 4
    if not BPM_MIN <= bpm <= BPM_MAX or not per_bar:
        raise InvalidInput(f"{text!r:.80} must have a tempo from {BPM_MIN} to {BPM_MAX} bpm and a meter such as 4/4.")
    return Meter(bpm, per_bar)


def _bare(text: str) -> str:
    """The text without its tempo and meter, and without the words for bars."""
    bare = _METER.sub("", _TEMPO.sub("", _said(text)))
    return " ".join(_TO.sub("-", _WORDS.sub(" ", bare)).split())


def _said(text: str) -> str:
    """In ordinary characters."""
    return plain(text).lower()
