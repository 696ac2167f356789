"""Semantic audio codes (5 a second) as text and as numbers, and how they relate to time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from numbers import Integral

from acestep_core.errors import CodesError
from acestep_core.vocabulary import CODE_RATE, CODEBOOK_SIZE

_CODE = re.compile(r"<\|audio_code_(\d+)\|>", re.ASCII)
_MAX_DIGITS = 18


def check_codes(codes: Iterable[int]) -> tuple[int, ...]:
    """The codes as a tuple.

    Raises:
        CodesError: one of them is not an integer from 0 to 63999.
    """
    if isinstance(codes, str) or not isinstance(codes, Iterable):
        raise CodesError(f"Codes are a sequence of whole numbers, not {codes!r:.80}.")
    checked = tuple(codes)
    for position, code in enumerate(checked):
        if isinstance(code, bool) or not isinstance(code, Integral) or not 0 <= code < CODEBOOK_SIZE:
            raise CodesError(
                f"Code {position + 1} of {len(checked)} is {code!r}; codes are whole numbers "
                f"from 0 to {CODEBOOK_SIZE - 1}."
            )
    return tuple(map(int, checked))


def codes_to_text(codes: Iterable[int]) -> str:
    """`<|audio_code_N|>` for each code, without separators, as the language model writes them."""
    return "".join(f"<|audio_code_{code}|>" for code in check_codes(codes))


def text_to_codes(text: str) -> tuple[int, ...]:
    """Reads codes from text that holds nothing but codes and white space.

    Raises:
        CodesError: the text holds something else, or a code above 63999; the message shows it.
    """
    rest = _CODE.sub(" ", text).strip()
    if rest:
        raise CodesError(f"The codes contain {rest[:40]!r}, which is not a code such as <|audio_code_123|>.")
    return check_codes(int(digits[:_MAX_DIGITS]) for digits in _CODE.findall(text))


def text_to_codes_lenient(text: str) -> tuple[tuple[int, ...], list[str]]:
    """Reads every code found in any text, as upstream does: codes above 63999 become 63999.

    Returns:
        The codes, and one sentence for each kind of thing that was changed or left out.
    """
    found = [int(digits[:_MAX_DIGITS]) for digits in _CODE.findall(text)]
    remarks = []
    clamped = sum(code >= CODEBOOK_SIZE for code in found)
    if clamped:
        remarks.append(f"{clamped} of {len(found)} codes were above {CODEBOOK_SIZE - 1} and were set to it.")
    if _CODE.sub("", text).strip():
        remarks.append("Text between the codes was left out.")
    return tuple(min(code, CODEBOOK_SIZE - 1) for code in found), remarks


def seconds_to_codes(seconds: float) -> int:
    """Whole codes within `seconds` (rounded down, after removing floating-point dust)."""
    return int(round(seconds * CODE_RATE, 6))
