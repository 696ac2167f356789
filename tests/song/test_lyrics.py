"""Lyrics as people bring them: what becomes a heading, what is taken off, and what stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.song.description import Song
from acestep_core.song.lyrics import is_heading, is_known, read_lyrics


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
        ("夜が来る\nサビ\n星が降る", "夜が来る\n[サビ]\n星が降る"),
        ("1番\nAメロ\n夜\n2番\n朝\n大サビ\n星", "[1番]\n[Aメロ]\n夜\n[2番]\n朝\n[大サビ]\n星"),
        ("2番サビ\n夜\n2番のAメロ\n朝", "[2番サビ]\n夜\n[2番のAメロ]\n朝"),
        ("主歌\n你好\n副歌\n再见\n第二段\n好", "[主歌]\n你好\n[副歌]\n再见\n[第二段]\n好"),
        ("你好\n副歌二\n啊", "你好\n[副歌二]\n啊"),
        ("1절\n가\n후렴\n나\n2 절\n다\n간주\n라", "[1절]\n가\n[후렴]\n나\n[2 절]\n다\n[간주]\n라"),
        ("la\nприпев\nlo", "la\n[припев]\nlo"),
        ("rock &amp; roll\ndon&#39;t &quot;go&quot;&nbsp;now", 'rock & roll\ndon\'t "go" now'),
        ("la<br>lo<br/>\nli<BR />\n\nlu", "la\nlo\nli\n\nlu"),
        ("<p>la</p>\n<p class='x'><i>lo</i></p>", "la\nlo"),
        ("<div>la</div><div>lo</div>", "la\nlo"),
        ("&amp;#39;Cause &lt;br&gt;la", "'Cause \nla"),
        ("\ufeff[Verse]\nla\u200b la\u00ad\nlo\u200d", "[Verse]\nla la\nlo"),
        ("\u200bChorus:\u200b\nla", "[Chorus]\nla"),
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
        "R&B and AT&T; Q&A &c; &unknown; <3 you <b> and <i>",
        "یک می\u200cخواهم\nक्\u200dष\n👩\u200d🎤",
        "一番\n절\n番\n段\n1番好きな歌\n2절기",
    ],
)
def test_words_stay_as_they_are(lyrics: str) -> None:
    assert read_lyrics(lyrics) == (lyrics, ())


def test_what_was_changed_is_said_in_a_sentence_each() -> None:
    stamps, headings = Song(lyrics="[00:01.00]Chorus:\n[00:02.00]la").remarks()
    assert "time stamps" in stamps
    assert headings.endswith("[Chorus].")


def test_what_cannot_be_seen_is_said() -> None:
    (html,) = Song(lyrics="la &amp; lo").remarks()
    (unseen,) = Song(lyrics="la\u200b").remarks()
    assert "HTML" in html and "nvisible" in unseen


@pytest.mark.parametrize(
    "heading", ["[Verse 1: soft]", "[サビ]", "[2番]", "[1절]", "[x2]", "[Male Vocal]", "[Intro - Guitar]"]
)
def test_headings_that_the_models_were_taught(heading: str) -> None:
    assert is_known(heading)


@pytest.mark.parametrize("heading", ["[Vrese]", "[asdf 2]", "[ラララ]"])
def test_headings_that_mean_nothing_to_them(heading: str) -> None:
    assert not is_known(heading)


PARTS = [*"[]【】():：*#-", "Chorus", "Verse 1", "x2", "[00:01.00]", "[00:02.00]", "<00:01.00>", "la", "副歌", "[ar:x]"]
PARTS += ["&amp;", "<br>", "\u200b", "2番"]


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
    texts = ("[" * 2_000_000, "(x" * 50_000, "a:" * 50_000, "[00:01.00]" * 5_000, "1" * 2_000_000, "Chorus: " * 10_000)
    for text in texts:
        read_lyrics(text)
