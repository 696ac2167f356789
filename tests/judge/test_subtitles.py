"""Timed lyrics in every format: exact rounding, lossless round trips, whole characters, empty songs."""

from __future__ import annotations

import random
import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_core.errors import InvalidInput
from acestep_core.judge.subtitles import (
    LAST_LINE_SECONDS,
    WRITERS,
    parse_lrc,
    write_json,
    write_lrc,
    write_srt,
    write_subtitles,
    write_vtt,
)
from acestep_core.judge.timing import Line, TimedLyrics, Word
from tests.judge.subtitle_readers import parse_json, parse_srt, parse_subtitles, parse_vtt

SCRIPTS = [
    "hello world",
    "夜空に光る",
    "가나다 라마",
    "שלום עולם",
    "مرحبا بالعالم",
    "e\u0301te\u0301 nai\u0308f",
    "👨‍👩‍👧‍👦 family 🎵",
    "ไทยไม่มีช่องว่าง",
    "\u200fעברית\u200e mixed",
]


def lyrics_of(*lines: Line, duration: float | None = None) -> TimedLyrics:
    return TimedLyrics(tuple(lines), duration)


# Rounding


@given(st.floats(0, 35_000, allow_nan=False))
@settings(max_examples=1000)
def test_every_stamp_is_the_nearest_and_no_part_overflows(seconds):
    for digits in (2, 3):
        text = write_lrc(lyrics_of(Line("x", seconds, seconds)), digits=digits)
        minutes, whole, fraction = re.fullmatch(r"\[(\d+):(\d\d)\.(\d+)\]x\n", text).groups()
        assert int(whole) < 60 and len(fraction) == digits
        shown = int(minutes) * 60 + int(whole) + Fraction(int(fraction), 10**digits)
        assert abs(shown - Fraction(seconds)) <= Fraction(1, 2 * 10**digits)


@given(st.floats(0, 100_000, allow_nan=False))
def test_every_cue_time_is_the_nearest_millisecond(seconds):
    for write, mark in ((write_vtt, "."), (write_srt, ",")):
        start = write(lyrics_of(Line("x", seconds, seconds + 1))).split("1\n", 1)[1].split(" -->")[0]
        hours, minutes, whole, ms = map(int, re.fullmatch(rf"(\d\d+):(\d\d):(\d\d)\{mark}(\d\d\d)", start).groups())
        assert minutes < 60 and whole < 60
        shown = (hours * 60 + minutes) * 60 + whole + Fraction(ms, 1000)
        assert abs(shown - Fraction(seconds)) <= Fraction(1, 2000)


def test_a_second_never_shows_as_sixty():
    assert write_lrc(lyrics_of(Line("a", 59.996, 59.996)), digits=2) == "[01:00.00]a\n"
    assert "00:01:00.000 -->" in write_vtt(lyrics_of(Line("a", 59.9996, 61)))
    assert "01:00:00,000 -->" in write_srt(lyrics_of(Line("a", 3599.9999, 3700)))


def test_songs_longer_than_an_hour_and_a_hundred_minutes():
    text = write_lrc(lyrics_of(Line("late", 6000.5, 6001)))
    assert text == "[100:00.50]late\n[100:01.00]\n"
    assert parse_lrc(text).lines == (Line("late", 6000.5, 6001),)


# LRC


def random_lrc(rng: random.Random) -> str:
    """As found in the wild: metadata, repeats, decimals of every kind, word stamps, junk, unsorted lines."""

    def time() -> str:
        minutes, seconds = rng.choice([rng.randrange(5), rng.randrange(130)]), rng.randrange(62)
        fraction = rng.choice(["", ".0", ".5", ".50", f".{rng.randrange(100):02d}", f":{rng.randrange(100):02d}"])
        if rng.random() < 0.2:
            fraction = f".{rng.randrange(1000):03d}"
        return f"{minutes:02d}:{seconds:02d}{fraction}"

    def content() -> str:
        kind = rng.random()
        text = rng.choice([*SCRIPTS, "[Verse 1]", "[Chorus]", "<3 a & b -->", "", "  ", "[00:99] x"])
        if kind < 0.5:
            return text
        parts = []
        for word in re.findall(r"\S+\s*", text):
            parts += [f"<{time()}>", rng.choice(["", " "]), word]
            if rng.random() < 0.2:
                parts.append(f"<{time()}>")
        return rng.choice(["", "oh "]) + "".join(parts) + rng.choice(["", f"<{time()}>"])

    rows = [
        rng.choice(["[ti:A song]", "[ar: The [Band] ]", "[offset:+350]", "[offset:-1200]", "[length: 03:20.5]", "[x]"])
    ]
    for _ in range(rng.randrange(12)):
        kind = rng.random()
        if kind < 0.1:
            rows.append(rng.choice(["", "plain words", "# comment", "[by:someone]", "[00:1x.00]broken"]))
        else:
            stamps = "".join(f"[{time()}]" for _ in range(rng.choice([1, 1, 1, 1, 2, 3])))
            rows.append(f"{stamps}{rng.choice(['', ' '])}{content()}")
    return rng.choice(["", "\ufeff"]) + rng.choice(["\n", "\r\n"]).join(rows)


def test_a_thousand_random_lrc_files_survive_parse_write_parse():
    rng = random.Random(6)
    found = words = 0
    for _ in range(1000):
        text = random_lrc(rng)
        once = parse_lrc(text)
        assert parse_lrc(write_lrc(once)) == once, text
        found += len(once.lines)
        words += sum(len(line.words) for line in once.lines)
    assert found > 3000 and words > 3000  # the files are not empty


def test_lrc_reads_repeats_offset_clearing_stamps_and_length():
    text = "[ti:T]\n[offset:+500]\n[length:01:00]\n[00:10.50][00:30.5]la\n[00:12.50]\n"
    text += "[00:20.500]<00:20.50>so <00:21.00>far\n"
    parsed = parse_lrc(text)
    assert parsed.metadata == (("ti", "T"),) and parsed.duration == 60
    assert [(line.text, line.start, line.end) for line in parsed.lines] == [
        ("la", 10.0, 12.0),
        ("so far", 20.0, 30.0),
        ("la", 30.0, 60.0),
    ]
    assert parsed.lines[1].words == (Word("so ", 20.0, 20.5), Word("far", 20.5, 30.0))


def test_last_line_of_lrc_ends_with_the_song_or_after_a_while():
    assert parse_lrc("[00:01.00]a").lines[0].end == 1 + LAST_LINE_SECONDS
    assert parse_lrc("[00:01.00]a", duration=20).lines[0].end == 20


def test_enhanced_lrc_shows_words_pauses_and_ends():
    line = Line("so far away", 1, 4, words=(Word("so ", 1, 1.5), Word("far ", 2, 2.5), Word("away", 2.5, 4)))
    text = write_lrc(lyrics_of(line))
    assert text == "[00:01.00]<00:01.00>so <00:01.50><00:02.00>far <00:02.50>away<00:04.00>\n"
    assert parse_lrc(text).lines == (line,)
    assert write_lrc(lyrics_of(line), words=False) == "[00:01.00]so far away\n[00:04.00]\n"


def test_decimals_follow_the_times_unless_chosen():
    exact, fine = lyrics_of(Line("a", 1.25, 2)), lyrics_of(Line("a", 1.256, 2))
    assert write_lrc(exact).startswith("[00:01.25]") and write_lrc(fine).startswith("[00:01.256]")
    assert write_lrc(fine, digits=2).startswith("[00:01.26]") and write_lrc(exact, digits=3).startswith("[00:01.250]")
    with pytest.raises(InvalidInput, match="2 or 3"):
        write_lrc(exact, digits=1)


def test_text_that_looks_like_a_stamp_stays_text():
    line = Line("[00:05.00] is when", 1, 2)
    assert parse_lrc(write_lrc(lyrics_of(line))).lines == (line,)


# WebVTT, SRT, JSON


timed_lines = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.integers(1, 9_000), st.sampled_from([*SCRIPTS, "<3 & -->", "[Bridge]"])),
    max_size=8,
).map(lambda rows: [Line(text, start / 1000, (start + length) / 1000) for start, length, text in sorted(rows)])


@given(timed_lines)
def test_cue_formats_keep_every_line_to_the_millisecond(lines):
    lyrics = lyrics_of(*lines)
    for text, parse in ((write_vtt(lyrics), parse_vtt), (write_srt(lyrics), parse_srt)):
        assert parse(text) == lyrics


@given(timed_lines)
def test_json_keeps_everything(lines):
    worded = [Line(x.text, x.start, x.end, 0.25, (Word(x.text, x.start, x.end, 0.5),)) for x in lines]
    lyrics = TimedLyrics(tuple(worded), 99.5, (("ti", "x"),))
    assert parse_json(write_json(lyrics)) == lyrics


def test_vtt_words_are_inner_stamps():
    line = Line("so far", 1, 3, words=(Word("so ", 1, 2), Word("far", 2, 3)))
    text = write_vtt(lyrics_of(line))
    assert text == "WEBVTT\n\n1\n00:00:01.000 --> 00:00:03.000\nso <00:00:02.000>far\n"
    assert parse_vtt(text).lines == (line,)
    assert "<" not in write_vtt(lyrics_of(line), words=False)


def test_cues_always_have_a_length():
    lyrics = lyrics_of(Line("a", 1, 1), Line("b", 1.4, 1.4), Line("c", 9, 9))
    assert [(x.start, x.end) for x in parse_srt(write_srt(lyrics)).lines] == [(1, 1.4), (1.4, 2.4), (9, 10)]


# What every format shares


@pytest.mark.parametrize("kind", WRITERS)
def test_section_tags_are_kept_or_dropped(kind):
    lyrics = lyrics_of(Line("[Verse 1]", 0, 1), Line("[spoken] hello", 1, 2), Line("[Outro] [fade]", 2, 3))
    kept = parse_subtitles(write_subtitles(lyrics, kind, tags=True), kind)
    dropped = parse_subtitles(write_subtitles(lyrics, kind, tags=False), kind)
    assert [x.text for x in kept.lines] == ["[Verse 1]", "[spoken] hello", "[Outro] [fade]"]
    assert [x.text for x in dropped.lines] == ["[spoken] hello"]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("text", SCRIPTS)
def test_every_script_stays_whole(kind, text):
    assert parse_subtitles(write_subtitles(lyrics_of(Line(text, 1, 2)), kind), kind).lines[0].text == text


@pytest.mark.parametrize("kind", WRITERS)
def test_empty_songs_give_valid_empty_files(kind):
    assert parse_subtitles(write_subtitles(TimedLyrics(), kind), kind) == TimedLyrics()
    tag_only = lyrics_of(Line("[Instrumental]", 0, 9))
    assert parse_subtitles(write_subtitles(tag_only, kind, tags=False), kind).lines == ()


def test_empty_files_are_the_smallest_valid_ones():
    written = {kind: write_subtitles(TimedLyrics(), kind) for kind in ("lrc", "vtt", "srt")}
    assert written == {"lrc": "", "vtt": "WEBVTT\n", "srt": ""}
    assert write_lrc(TimedLyrics(duration=61)) == "[length:01:01.00]\n"


def test_unknown_formats_are_refused():
    with pytest.raises(InvalidInput, match="lrc, vtt, srt, json"):
        write_subtitles(TimedLyrics(), "ass")


def test_timing_values_are_checked():
    with pytest.raises(InvalidInput, match="0 <= start <= end"):
        Line("a", 2, 1)
    with pytest.raises(InvalidInput, match="one line"):
        Line("a\nb", 0, 1)
    with pytest.raises(InvalidInput, match="confidence"):
        Word("a", 0, 1, 1.5)
    with pytest.raises(InvalidInput, match="joined"):
        Line("a b", 0, 1, words=(Word("a", 0, 1),))
    with pytest.raises(InvalidInput, match="sorted"):
        TimedLyrics((Line("a", 2, 3), Line("b", 1, 3)))
    with pytest.raises(InvalidInput, match="duration"):
        TimedLyrics(duration=-1)
