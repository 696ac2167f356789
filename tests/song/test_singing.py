"""About how long lyrics take to sing, in any script."""

from __future__ import annotations

import pytest

from acestep_core.song.description import Song
from acestep_core.song.singing import singing_seconds, syllables


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("City lights are fading slow", 7),
        ("Hold the night a little more", 7),
        ("[Chorus] la la", 2),
        ("don't you leave me", 5),
        ("été à la plage", 5),
        ("Ночь нежна", 3),
        ("你好世界", 4),
        ("きょうのよる", 5),
        ("スーパー", 2),
        ("사랑해요", 4),
        ("สวัสดีครับ", 4),
        ("नमस्ते", 3),
        ("مرحبا بك", 3),
        ("la 24", 3),
        ("", 0),
        ("[Verse]", 0),
        ("... — !", 0),
    ],
)
def test_syllables(line: str, count: int) -> None:
    assert syllables(line) == count


def test_seconds_grow_with_words_and_with_parts_that_are_played() -> None:
    verse = "[Verse]\nCity lights are fading slow\nFootsteps where the rivers go"
    assert singing_seconds("") == singing_seconds("[Verse]\n[Chorus]") == 0
    assert 6 < singing_seconds(verse) < 9
    assert singing_seconds("[Intro]\n\n" + verse) == singing_seconds(verse) + 8
    assert singing_seconds("[Intro]\nla la\n" + verse) < singing_seconds(verse) + 3


def test_a_song_says_when_its_words_take_longer_than_it_lasts() -> None:
    lyrics = "[Verse]\n" + "Hold the night a little more\n" * 20
    (said,) = Song(lyrics=lyrics, duration=30).remarks()
    assert "1:12" in said and "0:30" in said and said.endswith(".")
    for fits in (
        Song(lyrics=lyrics),
        Song(lyrics=lyrics, duration=70),
        Song(lyrics=lyrics, duration=30, instrumental=True),
    ):
        assert fits.remarks() == []


def test_a_word_without_end_is_counted_in_time_that_grows_with_it() -> None:
    assert syllables("a" * 2_000_000) == 1
