"""From lyric tokens to characters, words, lines and section tags, without ever cutting a character in two.

A byte-level tokenizer splits characters of several bytes over tokens, so everything here works on the bytes of the
tokens and knows for each character which tokens carry it.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from acestep_core.song.lyrics import heading_spans

_LYRIC_HEADER = b"# Lyric\n"
_END_OF_LYRICS = b"<|endoftext|>"
_UNSPACED = ((0x3001, 0x312F), (0x31F0, 0x9FFF), (0xF900, 0xFAFF), (0xFF00, 0xFF9F), (0x20000, 0x3FFFF))
_SMALL_KANA = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶー")


def lyric_span(pieces: Sequence[bytes]) -> slice:
    """Which tokens of a lyric prompt are the lyrics: those behind its `# Lyric` header, up to the end-of-text token.

    A token that holds the end of the header and the start of the lyrics counts as lyrics.
    """
    stop = next((i for i, piece in enumerate(pieces) if piece == _END_OF_LYRICS), len(pieces))
    at = b"".join(pieces[:stop]).find(_LYRIC_HEADER)
    header = 0 if at < 0 else at + len(_LYRIC_HEADER)
    start, seen = 0, 0
    while start < stop and seen + len(pieces[start]) <= header:
        seen += len(pieces[start])
        start += 1
    return slice(start, stop)


@dataclass(frozen=True)
class Character:
    """A character and the tokens `first` to `last` that carry its bytes.

    `begin` is where in the first token it starts and `end` where in the last one it ends, 0 to 1: the visible
    characters of a token share it evenly, white space takes no share.
    """

    text: str
    first: int
    last: int
    begin: float = 0.0
    end: float = 1.0
    in_tag: bool = False


def characters(pieces: Sequence[bytes]) -> list[Character]:
    """The characters of the tokens, in order. Bytes that are not UTF-8 become U+FFFD."""
    found: list[tuple[str, int, int]] = []
    decoder, first = codecs.getincrementaldecoder("utf-8")("replace"), None
    for index, piece in enumerate(pieces):
        for byte in piece:
            first = index if first is None else first
            if text := decoder.decode(bytes([byte])):
                found += [(char, first, index) for char in text]
                first = None
    if first is not None:
        found += [(char, first, len(pieces) - 1) for char in decoder.decode(b"", True)]

    visible: dict[int, int] = {}
    for char, start, _ in found:
        visible[start] = visible.get(start, 0) + (not char.isspace())
    out, taken = [], dict.fromkeys(visible, 0)
    tagged = {at for span in heading_spans("".join(char for char, _, _ in found)) for at in range(*span)}
    for at, (char, start, last) in enumerate(found):
        share = max(visible[start], 1)
        begin = taken[start] / share
        taken[start] += not char.isspace()
        end = taken[start] / share if start == last else 1.0
        out.append(Character(char, start, last, begin, end, at in tagged))
    return out


def is_sung(pieces: Sequence[bytes]) -> list[bool]:
    """Per token: False where it carries a part of a `[section tag]`."""
    sung = [True] * len(pieces)
    for char in characters(pieces):
        if char.in_tag:
            sung[char.first : char.last + 1] = [False] * (char.last + 1 - char.first)
    return sung


def lines_of(chars: Sequence[Character]) -> Iterator[list[Character]]:
    """The characters of each line without the white space around it; empty lines are left out."""
    line: list[Character] = []
    for char in [*chars, Character("\n", 0, 0)]:
        if char.text not in "\r\n":
            line.append(char)
            continue
        shown = [i for i, c in enumerate(line) if not c.text.isspace()]
        if shown:
            yield line[shown[0] : shown[-1] + 1]
        line = []


def words_of(line: Sequence[Character]) -> list[list[Character]]:
    """The words of a line, each with the white space behind it.

    Scripts without spaces (Chinese, Japanese) give one word per character, with its marks and punctuation.
    """
    words: list[list[Character]] = []
    for char in line:
        if not words or _starts_word(words[-1][-1].text, char.text):
            words.append([])
        words[-1].append(char)
    return words


def _starts_word(before: str, char: str) -> bool:
    if char.isspace() or before == "\u200d" or char == "\u200d" or unicodedata.category(char).startswith("M"):
        return False
    if before.isspace():
        return True
    if not (_is_unspaced(before) or _is_unspaced(char)):
        return False
    opens, closes = unicodedata.category(before) in ("Ps", "Pi"), unicodedata.category(char) in ("Pe", "Pf", "Po", "Pd")
    return not (opens or closes or char in _SMALL_KANA)


def _is_unspaced(char: str) -> bool:
    """Han, Hiragana, Katakana, Bopomofo and their punctuation: scripts written without spaces between words."""
    return any(first <= ord(char) <= last for first, last in _UNSPACED)
