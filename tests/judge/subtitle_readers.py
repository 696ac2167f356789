"""Reads the formats of timed lyrics that we only write, to see what is in them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Sequence

from acestep_core.judge.subtitles import parse_lrc
from acestep_core.judge.timing import Line, TimedLyrics, Word

_BREAK = re.compile(r"\r\n|\r|\n")
_CUE_TIME = r"(?:(\d{1,5}):)?(\d{1,2}):(\d{1,2})[.,](\d{3})"
_CUE_TIMES = re.compile(rf"\s*{_CUE_TIME}\s*-->\s*{_CUE_TIME}(?:\s.*)?")
_VTT_WORD = re.compile(rf"<{_CUE_TIME}>")
_VTT_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>")


def _read_cue_time(groups: Sequence[str | None]) -> float:
    hours, minutes, seconds, milliseconds = (int(group or 0) for group in groups)
    return (((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds) / 1000


def _parse_cues(text: str, lines_of: Callable[[str, float, float], Line | None]) -> TimedLyrics:
    lines: list[Line] = []
    for block in re.split(r"\n[ \t]*\n", _BREAK.sub("\n", text.removeprefix("\ufeff"))):
        rows = block.strip("\n").split("\n")
        at = next((i for i, row in enumerate(rows[:2]) if _CUE_TIMES.fullmatch(row)), None)
        if at is None:
            continue
        times = _CUE_TIMES.fullmatch(rows[at]).groups()  # type: ignore[union-attr]
        start, end = _read_cue_time(times[:4]), _read_cue_time(times[4:])
        found = (lines_of(row.strip(), start, max(start, end)) for row in rows[at + 1 :])
        lines += [line for line in found if line is not None and line.text]
    return TimedLyrics(tuple(sorted(lines, key=lambda line: line.start)))


def parse_srt(text: str) -> TimedLyrics:
    """Reads SubRip. Each text row of a cue becomes a line of its own."""
    return _parse_cues(text, lambda row, start, end: Line(row, start, end))


def parse_vtt(text: str) -> TimedLyrics:
    """Reads WebVTT, inner stamps as words, other markup dropped. Each text row of a cue becomes a line of its own."""

    def line(row: str, start: float, end: float) -> Line | None:
        row = _VTT_MARKUP.sub("", row)
        pieces = [html.unescape(piece) for piece in _VTT_WORD.split(row)[::5]]
        if len(pieces) == 1:
            return Line(pieces[0].strip(), start, end)
        stamps = [start]
        for match in _VTT_WORD.finditer(row):
            stamps.append(min(end, max(stamps[-1], _read_cue_time(match.groups()))))
        spans = [span for span in zip(pieces, stamps, [*stamps[1:], end]) if span[0]]
        words = tuple(Word(*span) for span in spans)
        return Line("".join(word.text for word in words), start, end, words=words)

    return _parse_cues(text, line)


def parse_json(text: str) -> TimedLyrics:
    """Reads what `write_json` wrote."""
    values = json.loads(text)
    lines = [Line(**{**row, "words": tuple(Word(**word) for word in row["words"])}) for row in values["lines"]]
    return TimedLyrics(tuple(lines), values["duration"], tuple(map(tuple, values["metadata"])))


PARSERS: dict[str, Callable[[str], TimedLyrics]] = {
    "lrc": parse_lrc,
    "vtt": parse_vtt,
    "srt": parse_srt,
    "json": parse_json,
}


def parse_subtitles(text: str, kind: str) -> TimedLyrics:
    return PARSERS[kind](text)
