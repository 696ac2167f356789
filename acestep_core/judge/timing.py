"""Lyrics with times: what the aligner returns, what the subtitle formats carry, what players show."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from acestep_core.errors import InvalidInput
from acestep_core.song.lyrics import is_heading

_LINE_BREAK = re.compile(r"[\r\n]")


def _check(what: str, text: str, start: float, end: float, confidence: float) -> None:
    if _LINE_BREAK.search(text):
        raise InvalidInput(f"The text of a {what} must be one line; split {text!r} at its line breaks.")
    if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or end < start:
        raise InvalidInput(f"The times of {what} {text!r} must satisfy 0 <= start <= end, but are {start} and {end}.")
    if not 0 <= confidence <= 1:
        raise InvalidInput(f"The confidence of {what} {text!r} must lie between 0 and 1, but is {confidence}.")


@dataclass(frozen=True)
class Word:
    """One word, or one character in scripts written without spaces. Times in seconds, confidence 0 to 1.

    `text` includes the white space after the word, so the words of a line joined are the text of the line.
    """

    text: str
    start: float
    end: float
    confidence: float = 1.0

    def __post_init__(self) -> None:
        _check("word", self.text, self.start, self.end, self.confidence)


@dataclass(frozen=True)
class Line:
    """One line of lyrics, or a section tag such as `[Verse 1]`. Times in seconds, confidence 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float = 1.0
    words: tuple[Word, ...] = ()

    def __post_init__(self) -> None:
        _check("line", self.text, self.start, self.end, self.confidence)
        if self.words and "".join(word.text for word in self.words) != self.text:
            raise InvalidInput(f"The words of line {self.text!r} joined must be its text.")

    @property
    def is_tag(self) -> bool:
        """True for a section tag, see `song.lyrics.is_heading`."""
        return is_heading(self.text)


@dataclass(frozen=True)
class TimedLyrics:
    """The lines of a song in order of their start. An empty or instrumental song has no lines.

    `duration` is the length of the song in seconds where it is known; `metadata` holds pairs such as `("ti", "Title")`.
    """

    lines: tuple[Line, ...] = ()
    duration: float | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.duration is not None and not (math.isfinite(self.duration) and self.duration >= 0):
            raise InvalidInput(f"The duration of timed lyrics must be at least 0 seconds, but is {self.duration}.")
        if any(later.start < earlier.start for earlier, later in zip(self.lines, self.lines[1:])):
            raise InvalidInput("The lines of timed lyrics must be sorted by their start.")

    def without_tags(self) -> TimedLyrics:
        """The same lyrics without section tags."""
        return replace(self, lines=tuple(line for line in self.lines if not line.is_tag))
