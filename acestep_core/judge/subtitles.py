"""Timed lyrics as text: LRC (plain and word by word), WebVTT, SRT and JSON; LRC is read, too.

Every writer first rounds the exact value of a time to whole units (centiseconds or milliseconds) and then splits them
into minutes and seconds, so a second never shows as 60. Lyrics without lines give a valid file without lines.

Sources: the LRC of music players with the word stamps of A2 ("enhanced LRC"), W3C WebVTT, SubRip.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import groupby

from acestep_core.errors import InvalidInput
from acestep_core.judge.timing import Line, TimedLyrics, Word
from acestep_core.song.lyrics import LRC_STAMP, LRC_TIME, LRC_WORD, lrc_seconds

LAST_LINE_SECONDS = 5.0
"""How long the last line of an LRC file shows where neither the file nor the caller says so."""

SHORTEST_CUE_SECONDS = 1.0
"""WebVTT and SRT have no cues of zero length; a line without length shows this long, or until the next line."""

_BREAK = re.compile(r"\r\n|\r|\n")
_LRC_METADATA = re.compile(r"\[\s*([A-Za-z#]+)\s*:(.*)\]\s*")


def _units(seconds: float, per_second: int) -> int:
    """`seconds` in whole units, rounded from its exact binary value."""
    return round(Fraction(seconds) * per_second)


# LRC


def _lrc_time(seconds: float, digits: int) -> str:
    minutes, rest = divmod(_units(seconds, 10**digits), 60 * 10**digits)
    whole, fraction = divmod(rest, 10**digits)
    return f"{minutes:02d}:{whole:02d}.{fraction:0{digits}d}"


def _lrc_digits(lyrics: TimedLyrics) -> int:
    """2 where every time is a whole number of centiseconds, else 3."""
    times = [lyrics.duration or 0.0]
    for line in lyrics.lines:
        times += [line.start, line.end, *(t for word in line.words for t in (word.start, word.end))]
    return 2 if all(_units(t, 100) * 10 == _units(t, 1000) for t in times) else 3


def write_lrc(lyrics: TimedLyrics, *, words: bool = True, tags: bool = True, digits: int | None = None) -> str:
    """LRC text.

    A line that ends before the next begins is followed by an empty stamp, which is how players learn to clear it; a
    line with words ends with the stamp behind its last word. Plain LRC cannot say that a line goes on after the next
    has begun.

    Args:
        words: also write a `<mm:ss.cc>` stamp before each word of lines that have words (enhanced LRC).
        tags: keep section tags such as `[Verse]`.
        digits: decimals of a second, 2 or 3; by default 2, unless some time needs 3.
    """
    if digits not in (None, 2, 3):
        raise InvalidInput(f"LRC stamps have 2 or 3 decimals, not {digits}; leave digits empty to choose by the times.")
    if not tags:
        lyrics = lyrics.without_tags()
    if not words:
        lyrics = replace(lyrics, lines=tuple(replace(line, words=()) for line in lyrics.lines))
    precision = digits or _lrc_digits(lyrics)

    def stamp(seconds: float) -> str:
        return _lrc_time(seconds, precision)

    out = [f"[{key}:{value}]" for key, value in lyrics.metadata]
    if lyrics.duration is not None:
        out.append(f"[length:{stamp(lyrics.duration)}]")
    together = [list(group) for _, group in groupby(lyrics.lines, key=lambda line: stamp(line.start))]
    for group, following in zip(together, [*together[1:], None]):
        out += [f"[{stamp(x.start)}]{_lrc_words(x, stamp) if x.words else _lrc_text(x.text)}" for x in group]
        limit = following[0].start if following else math.inf
        ends = [x.end for x in group if not x.words and x.end <= limit and stamp(x.end) != stamp(x.start)]
        if ends and not (following and stamp(max(ends)) == stamp(limit)):
            out.append(f"[{stamp(max(ends))}]")
    return "\n".join(out) + "\n" if out else ""


def _lrc_text(text: str) -> str:
    return f" {text}" if LRC_STAMP.match(text) else text


def _lrc_words(line: Line, stamp: Callable[[float], str]) -> str:
    parts = []
    for word, following in zip(line.words, [*line.words[1:], None]):
        parts.append(f"<{stamp(word.start)}>{word.text}")
        if following is None or stamp(word.end) != stamp(following.start):
            parts.append(f"<{stamp(word.end)}>")
    return "".join(parts)


def parse_lrc(text: str, duration: float | None = None) -> TimedLyrics:
    """Reads LRC, plain or enhanced.

    Lines may carry several stamps (repeats), two or three decimals or none; an `offset` is applied; an empty stamp ends
    the line before it. Text without a stamp is skipped, as players do. A line ends where the next one starts; the last
    one after `duration`, else the file's `length`, else `LAST_LINE_SECONDS` later.
    """
    metadata: list[tuple[str, str]] = []
    entries: list[tuple[float, str]] = []
    offset = 0.0
    for row in _BREAK.split(text.removeprefix("\ufeff")):
        row = row.strip()
        stamps, position = [], 0
        while match := LRC_STAMP.match(row, position):
            stamps.append(lrc_seconds(match))
            position = match.end()
        if stamps:
            content = row[position:].strip()
            entries += [(time, _shift_words(content, time - stamps[0])) for time in stamps]
        elif match := _LRC_METADATA.fullmatch(row):
            key, value = match[1].lower(), match[2].strip()
            if key == "offset" and re.fullmatch(r"[+-]?\d+", value):
                offset = int(value) / 1000
            elif key == "length" and (length := re.fullmatch(LRC_TIME, value)):
                duration = lrc_seconds(length) if duration is None else duration
            elif key not in ("offset", "length"):
                metadata.append((key, value))
    entries = sorted(((_moved(time, -offset), content) for time, content in entries), key=lambda entry: entry[0])
    lines = _lrc_lines(entries, offset, duration)
    return TimedLyrics(tuple(lines), duration, tuple(metadata))


def _moved(time: float, by: float) -> float:
    return max(0.0, round((time + by) * 1000) / 1000)


def _shift_words(content: str, by: float) -> str:
    """A repeated line repeats its word stamps as well, as far from the line's stamp as they were."""
    if not by:
        return content
    return LRC_WORD.sub(lambda match: f"<{_lrc_time(_moved(lrc_seconds(match), by), 3)}>", content)


def _lrc_lines(entries: Sequence[tuple[float, str]], offset: float, duration: float | None) -> list[Line]:
    lines = []
    for index, (start, content) in enumerate(entries):
        if not content:
            continue
        later = next((entry for entry in entries[index + 1 :] if entry[0] > start), None)
        if later is not None:
            end = later[0]
        else:
            end = duration if duration is not None and duration > start else _moved(start, LAST_LINE_SECONDS)
        line = _lrc_line(content, start, end, offset)
        if line is not None:
            lines.append(line)
    return lines


def _lrc_line(content: str, start: float, end: float, offset: float) -> Line | None:
    """One line that ends at `end`, or at the stamp behind its last word."""
    pieces = LRC_WORD.split(content)[::4]
    if len(pieces) == 1:
        return Line(content, start, end)
    stamps = [start]
    for match in LRC_WORD.finditer(content):
        stamps.append(max(stamps[-1], _moved(lrc_seconds(match), -offset)))
    last = max(stamps[-1], end) if pieces[-1].strip() else stamps[-1]
    words: list[Word] = []
    for piece, word_start, word_end in zip(pieces, stamps, [*stamps[1:], last]):
        if not words or words[-1].text[-1].isspace():
            piece = piece.lstrip()
        if piece.strip():
            words.append(Word(piece, word_start, word_end))
        elif piece:
            words[-1] = replace(words[-1], text=words[-1].text + piece)
    if not words:
        return None
    words[-1] = replace(words[-1], text=words[-1].text.rstrip())
    return Line("".join(word.text for word in words), start, words[-1].end, words=tuple(words))


# WebVTT and SRT


def _cue_time(milliseconds: int, mark: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{milliseconds:03d}"


def _cues(lyrics: TimedLyrics, mark: str, body: Callable[[Line], str]) -> str:
    cues = []
    for number, line in enumerate(lyrics.lines, start=1):
        start, end = _units(line.start, 1000), _units(line.end, 1000)
        if end <= start:
            following = (_units(later.start, 1000) for later in lyrics.lines[number:])
            limit = next((time for time in following if time > start), start + round(1000 * SHORTEST_CUE_SECONDS))
            end = min(limit, start + round(1000 * SHORTEST_CUE_SECONDS))
        cues.append(f"{number}\n{_cue_time(start, mark)} --> {_cue_time(end, mark)}\n{body(line)}\n")
    return "\n".join(cues)


def write_vtt(lyrics: TimedLyrics, *, words: bool = True, tags: bool = True) -> str:
    """WebVTT text; with `words`, inner stamps make players highlight word by word. `tags` keeps section tags."""

    def body(line: Line) -> str:
        if not (words and line.words):
            return html.escape(line.text, quote=False)
        parts, shown = [], _units(line.start, 1000)
        for word in line.words:
            start = _units(word.start, 1000)
            if shown < start < _units(line.end, 1000):  # WebVTT: inside the cue and rising
                parts.append(f"<{_cue_time(start, '.')}>")
                shown = start
            parts.append(html.escape(word.text, quote=False))
        return "".join(parts)

    cues = _cues(lyrics if tags else lyrics.without_tags(), ".", body)
    return f"WEBVTT\n\n{cues}" if cues else "WEBVTT\n"


def write_srt(lyrics: TimedLyrics, *, tags: bool = True) -> str:
    """SubRip text. `tags` keeps section tags."""
    return _cues(lyrics if tags else lyrics.without_tags(), ",", lambda line: line.text)


# JSON


def write_json(lyrics: TimedLyrics, *, tags: bool = True) -> str:
    """JSON with everything: `lines` of text, start, end, confidence and `words`; `duration`; `metadata`. In seconds."""
    return json.dumps(asdict(lyrics if tags else lyrics.without_tags()), ensure_ascii=False, indent=2) + "\n"


# By name

WRITERS: dict[str, Callable[..., str]] = {"lrc": write_lrc, "vtt": write_vtt, "srt": write_srt, "json": write_json}


def write_subtitles(lyrics: TimedLyrics, kind: str, *, words: bool = True, tags: bool = True) -> str:
    """The text of a `lrc`, `vtt`, `srt` or `json` file. `words` matters to LRC and WebVTT; `tags` keeps the tags."""
    if kind not in WRITERS:
        raise InvalidInput(f"There is no subtitle format {kind!r}; choose one of {', '.join(WRITERS)}.")
    return WRITERS[kind](lyrics, tags=tags, **({"words": words} if kind in ("lrc", "vtt") else {}))
