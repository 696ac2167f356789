"""About how long lyrics take to sing.

A rule of thumb, for a remark and never for a decision: pop songs are sung at two to three syllables a second, with a
breath after each line; a part that is only played lasts a few bars.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

from acestep_core.song.lyrics import heading_spans, is_heading, is_played

SYLLABLES_A_SECOND = 2.5
CROWDED = 1.3
"""How much longer than the song its words may seem before that is said; singers differ."""
BREATH = 0.8
"""Seconds after a line."""
PLAYED = 8.0
"""Seconds of a part without words, such as an intro."""

_VOWELS = re.compile("[aeiouy]+|[αεηιουω]+|[аеиоуыэюяіє]")
_SILENT = re.compile("[^aeiouy]*[aeiouy].*[^aeiouyl]e", re.DOTALL)
_SMALL_KANA = frozenset("ゃゅょぁぃぅぇぉャュョァィゥェォー")
_WHOLE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003134f]")
"""Scripts with a syllable in each character: kana, Chinese characters, Hangul."""
_CONSONANTS = frozenset({"THAI", "LAO", "KHMER", "MYANMAR", "ARABIC", "HEBREW"})
"""Scripts that write few of their vowels, or write them around the consonants: two letters to a syllable."""


def syllables(line: str) -> int:
    """About how many syllables are sung; headings in square brackets are not."""
    for start, end in reversed(list(heading_spans(line))):
        line = line[:start] + " " + line[end:]
    runs = groupby(unicodedata.normalize("NFC", line.lower()), lambda char: unicodedata.category(char)[0] in "LMN")
    return sum(_syllables_of("".join(run)) for is_word, run in runs if is_word)


def singing_seconds(lyrics: str) -> float:
    """About how long lyrics, as a `Song` holds them, take to sing, with the parts that are only played."""
    seconds, rows = 0.0, [row for row in lyrics.split("\n") if row.strip()]
    for row, following in zip(rows, [*rows[1:], ""][: len(rows)], strict=True):
        if count := syllables(row):
            seconds += count / SYLLABLES_A_SECOND + BREATH
        elif is_heading(row) and is_played(row) and (not following or is_heading(following)):
            seconds += PLAYED
    return seconds


def _syllables_of(word: str) -> int:
    """Of a word in lower case, or of a number, which has one for each digit at least."""
    whole = len(_WHOLE.findall(word)) - sum(char in _SMALL_KANA for char in word)
    rest = _WHOLE.sub("", word).replace("ー", "")
    if not rest:
        return whole
    if rest.isdecimal():
        return whole + len(rest)
    kinds = [unicodedata.category(char) for char in rest]
    letters = kinds.count("Lo")
    if unicodedata.name(rest[0], "").split(" ")[0] in _CONSONANTS:
        return whole + max(1, round(letters / 2))
    if kinds[0] == "Lo":  # Devanagari and its kin: a consonant carries its vowel
        return whole + max(1, letters - sum("VIRAMA" in unicodedata.name(char, "") for char in rest))
    bare = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", rest.replace("й", "j")))
    vowels = len(_VOWELS.findall(bare))
    return whole + max(1, vowels - bool(_SILENT.fullmatch(rest)))
