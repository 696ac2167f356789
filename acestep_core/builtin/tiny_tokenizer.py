"""The tokenizers of the tiny checkpoint: Qwen's rules and special tokens over a small vocabulary.

Bytes have Qwen's ids (newline 198, space 220), digits are never merged, the special tokens follow the vocabulary in
Qwen's order, and in the language model's tokenizer the 65 535 audio codes follow those.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from typing import Any

from acestep_core.checkpoints.qwen_tokenizer import (
    AUDIO_CODES,
    CONTROL_TOKENS,
    SPECIAL_TOKENS,
    byte_alphabet,
    description,
    ended,
)

# Words that become single tokens, with and without a space before them.
WORDS = tuple(
    """
a an and are as at be bright but by calm dark deep down for from gentle go has have high I in into is it key let like
long low me mood my no not of on or our out over slow fast soft sound the their them then there they this to up warm we
with you your all away back come day dance dream eyes fall feel find fire fly free heart hold home hope know leave life
light lost love mind moon more never night now only rain rise river road run sea see shine sing sky song star stay sun
tears time tonight voice wait wake walk want wind wings without words world years
acoustic ambient arrangement atmosphere bass beat blues choir classical country cover drum drums duet electric
electronic energetic female folk funk guitar harmony hop instrumental intro jazz lead male melody metal music orchestra
outro pad percussion piano pop rap rhythm rock solo soul strings synth tempo track upbeat vocal vocals
bpm bridge caption chorus duration genres instruction key keyscale language languages lyric lyrics major metas minor
pre reference seconds section signature tags think time timesignature unknown verse
based codes conditions expand fill format generate given mask metadata semantic structured task text tokens
understand user input query previous silence extract complete repaint lego
de en es fr it ja ko pt ru yue zh
""".split()  # noqa: SIM905 (a table of words reads better than a list of quoted ones)
)
# Merges that are not words: blank lines and the line ends that Qwen has as one token.
SIGNS = ("\n\n", ":\n", "]\n", ".\n", ",\n", "  ", "##", "...", "\n\n\n")


@cache
def vocabulary(more: tuple[str, ...] = ()) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Token -> id, and the merges in order. Each word is cut with the merges so far; new ones join what is left.

    Args:
        more: words to be single tokens besides `WORDS`.
    """
    alphabet = byte_alphabet()
    ids = {char: i for i, char in enumerate(alphabet.values())}
    ranks: dict[tuple[str, str], int] = {}
    forms = [
        form for words in (WORDS, more) for form in (*(f" {w}" for w in words), *words, *map(str.capitalize, words))
    ]
    for text in (*SIGNS, *forms):
        pieces = [alphabet[byte] for byte in text.encode()]
        while len(pieces) > 1:
            pairs = [pair for pair in pairwise(pieces) if pair in ranks]
            pair = min(pairs, key=ranks.__getitem__) if pairs else (pieces[0], pieces[1])
            ranks.setdefault(pair, len(ranks))
            ids.setdefault("".join(pair), len(ids))
            pieces = _join(pieces, pair)
    return ids, list(ranks)


def _join(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def first_special(more: tuple[str, ...] = ()) -> int:
    """The id of `<|endoftext|>`: the special tokens start after the vocabulary."""
    return len(vocabulary(more)[0])


def first_code(more: tuple[str, ...] = ()) -> int:
    """The id of `<|audio_code_0|>`."""
    return first_special(more) + len(SPECIAL_TOKENS)


def tokenizer_json(codes: bool, more: tuple[str, ...] = ()) -> str:
    """A `tokenizer.json`: the language model's with audio codes, or the text encoder's, which appends an end."""
    ids, merges = vocabulary(more)
    tokens = [*SPECIAL_TOKENS, *(f"<|audio_code_{n}|>" for n in range(AUDIO_CODES if codes else 0))]
    values = description(ids, merges, [_added(len(ids) + i, token) for i, token in enumerate(tokens)])
    if not codes:
        values["post_processor"] = ended(len(ids))
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _added(number: int, content: str) -> dict[str, Any]:
    special = content in CONTROL_TOKENS
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    return {"id": number, "content": content, **flags}
