"""Lyrics as people bring them: what becomes a heading, what is taken off, and what stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.song.description import Song
from acestep_core.song.lyrics import is_heading, read_lyrics


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("【副歌】\n你好", "[副歌]\n你好"),
        ("【副歌】你好", "[副歌]你好"),
        ("［Verse 1］\nla", "[Verse 1]\nla"),
        ("〔間奏〕\n", "[間奏]\n"),
        ("Chorus:\nla", "[Chorus]\nla"),
        ("PRE-CHORUS：\nla", "[PRE-CHORUS]\nla"),
        ("Chorus: la la", "[Chorus]\nla la"),
        ("副歌：你好", "[副歌]\n你好"),
        ("[Chorus]:\nla", "[Chorus]\nla"),
        ("**Verse 2**\nla", "[Verse 2]\nla"),
        ("**[Verse 2]**\nla", "[Verse 2]\nla"),
        ("### Bridge\nla", "[Bridge]\nla"),
        ("(Chorus)\nla", "[Chorus]\nla"),
        ("（合）\n（副歌）", "（合）\n[副歌]"),
        ("{Outro}\nla", "[Outro]\nla"),
        ("<Intro>\nla", "[Intro]\nla"),
        ("「サビ」\n夜", "[サビ]\n夜"),
        ("--- Final Chorus ---\nla", "[Final Chorus]\nla"),
        ("[Verse\nla", "[Verse]\nla"),
        ("Verse 1\nla\nVerse II:\nla", "[Verse 1]\nla\n[Verse II]\nla"),
        ("Chorus\nla\n\nChorus", "[Chorus]\nla\n\n[Chorus]"),
        ("Pre-Chorus\nla\n\nFinal Chorus\nlo", "[Pre-Chorus]\nla\n\n[Final Chorus]\nlo"),
        ("Verse 1 -\nla\n\nHook (x2):\nlo", "[Verse 1]\nla\n\n[Hook (x2)]\nlo"),
        ("2절\n가", "[2절]\n가"),
        ("Ａメロ\n夜", "[Ａメロ]\n夜"),
        ("Припев:\nла", "[Припев]\nла"),
        ("(guitar solo)\n(Spoken)\n(ad-libs)\n(fade out)", "[guitar solo]\n[Spoken]\n[ad-libs]\n[fade out]"),
        ("[Chorus] x2\nla\n【副歌】×3\nlo", "[Chorus x2]\nla\n[副歌 ×3]\nlo"),
        ("la la (x2)\nlo (3X)", "la la [x2]\nlo [3X]"),
        ("[00:12.00]la la\n[00:15.50]lo lo", "la la\nlo lo"),
        ("[ti:X]\n[ar: Y]\n[00:01.00]la\n[00:02]\n[0:03:123]lo", "la\nlo"),
        ("[00:01.00]<00:01.00>la <00:01.50>lo", "la lo"),
        ("[00:01.00][Chorus]\n[00:02.00]la", "[Chorus]\nla"),
        ("[00:01.00]Chorus:\n[00:02.00]la", "[Chorus]\nla"),
        ("［00:12.00］la", "la"),
        ("[00:01.00][00:21.00]la\n[00:11.00]lo", "la\nlo\nla"),
        ("[Verse]\n[00:01.00]lo\n\n[Chorus]\n[00:05.00][00:25.00]la", "[Verse]\nlo\n\n[Chorus]\nla\nla"),
        ("1\n00:00:01,000 --> 00:00:04,000\nla\n\n2\n00:00:05,000 --> 00:00:08,000\n99\nlo\n", "la\n99\nlo\n"),
        ("WEBVTT\n\n00:01.000 --> 00:04.000\n<00:01.000>la <00:02.000>lo", "la lo"),
    ],
)
def test_headings_and_stamps_of_every_kind(written: str, read: str) -> None:
    song = Song(lyrics=written)
    assert song.lyrics == read
    assert song.remarks() or "[Chorus]" in written or "[Verse 2]" in written, "what was changed is said"


@pytest.mark.parametrize(
    "lyrics",
    [
        "",
        "[Verse 1: soft]\n  la \n\n[Chorus]\nla (ooh)\n",
        "[Intro - Guitar]\n[Verse]\n(background)\n(repeat after me)",
        "3:20 in the morning\n10:04",
        "Bridge\nSolo tu\nHook me up",
        "She said: la la\nTonight: Chorus girls\nSolo: me and you",
        "I wrote a chorus\nverse by verse",
        "[Chorus (x2)]\nla\n[Hook (2x)] lo",
        "Last\nfirst and final\n\nThird -",
        "*you* and **me**\n# 1 girl",
        "「きっと」\n(softly)",
        "[ti:me] is up\n[by: the river]",
        "<3\n-\n--\n:\n[]\n()",
        "a\u2028b\x0bc",
    ],
)
def test_words_stay_as_they_are(lyrics: str) -> None:
    assert read_lyrics(lyrics) == (lyrics, ())


def test_what_was_changed_is_said_in_a_sentence_each() -> None:
    stamps, headings = Song(lyrics="[00:01.00]Chorus:\n[00:02.00]la").remarks()
    assert "time stamps" in stamps
    assert headings.endswith("[Chorus].")


PARTS = [*"[]【】():：*#-", "Chorus", "Verse 1", "x2", "[00:01.00]", "[00:02.00]", "<00:01.00>", "la", "副歌", "[ar:x]"]


@given(st.lists(st.sampled_from([*PARTS, " ", "\n", "00:01.000 --> 00:02.000"]), max_size=24))
def test_read_lyrics_read_again_are_the_same(parts: list[str]) -> None:
    read, _ = read_lyrics("".join(parts))
    assert read_lyrics(read) == (read, ())


@pytest.mark.parametrize("line", ["[Verse]", " [Verse] [x2] ", "【副歌】", "［A］【B】", "[open"])
def test_headings(line: str) -> None:
    assert is_heading(line)


@pytest.mark.parametrize("line", ["", "  ", "la [x2]", "(ooh)", "「あ」", "]la["])
def test_what_is_no_heading(line: str) -> None:
    assert not is_heading(line)


def test_long_texts_are_read_in_time_that_grows_with_them() -> None:
    for text in ("[" * 100_000, "(x" * 50_000, "a:" * 50_000, "[00:01.00]" * 5_000, "Chorus: " * 10_000):
        read_lyrics(text)
