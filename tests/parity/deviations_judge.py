"""Where lyric alignment and scores differ from upstream on purpose. What no rule finds is equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

SPLIT_TOKENS = (
    "A token can hold a line break and the start of the next line. Upstream splits lines behind whole tokens, which "
    "leaves `[Verse 1]\\n[` as one line of two rows and `Bridge` without its bracket."
)
OTHER_LYRICS = (
    "Another number of tokens than rows of attention means that the lyrics are not those that were encoded. Upstream "
    "aligns them anyway, to the first rows; here it is an error."
)
LINE_ENDS = (
    "Upstream ends a line with the frame in which the token of its line break begins, so that it overlaps a pause and "
    "misses a frame. Here it ends when its last visible character does, that frame included."
)
CONFIDENCE = "Upstream gives every token and line the confidence 0. Here it is the mean attention in its frames."
HEADS = (
    "Upstream drops heads that the model lacks from the map, and uses the map of the 2B model for models it knows "
    "nothing about. Both are errors here; rows that name heads out of range are compared with the heads that exist."
)
PLACEMENT = (
    "Upstream's path hands every frame to some token, so lines start as soon as the one before them ends, and it sees "
    "attention below about 0.35 not at all. By default tokens are placed by another matrix and pauses left empty; "
    "upstream's times come with `method='sharpened'`."
)
FIELD_VALUES = {
    "timesignature": "Upstream writes the text '4' with quotes, which the model never does, and so measures how well "
    "quotes are guessed. Here digits are written as a number.",
}
"""Fields of the LM score whose recall differs where their value is text."""
EMPTY_CAPTION = "Upstream scores an empty caption as if it were one; `score_codes` leaves it out."


def lines_of_whole_tokens(pieces: Sequence[bytes]) -> Iterator[bytes]:
    """The lines as upstream splits them."""
    line = b""
    for piece in pieces:
        line += piece
        if b"\n" in piece:
            yield line
            line = b""
    yield line


def lines_differ(pieces: Sequence[bytes]) -> bool:
    """`SPLIT_TOKENS` applies."""
    return any(b"\n" in line.strip() for line in lines_of_whole_tokens(pieces))
