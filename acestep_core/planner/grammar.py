"""What a plan may look like, as one regular expression, so that any model writes a plan that can be read.

Field order and values are those of the training data. A field the user has given is written for the model; one that
is switched off is left out. Captions fold where PyYAML folds them, so that what the model writes is, character for
character, what writing the parsed plan again would give.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acestep_core.errors import GenerationError
from acestep_core.models.language_model import LanguageModel
from acestep_core.planner.metas import KNOWN_FIELDS, plan_yaml
from acestep_core.vocabulary import BPM_MAX, BPM_MIN, DURATION_MAX, DURATION_MIN, KEYSCALES, LANGUAGES, TIME_SIGNATURES

# Characters of a caption: what YAML prints as it is, less the backtick, which the model must not open code with.
_HIGH = r"\u00A1-\u2027\u202A-\u2FFF\u3001-\uD7FF\uE000-\uFEFE\uFF00-\uFFFD\U00010000-\U0010FFFE"
_ANY = f"[!-_a-~{_HIGH}]"
_ANY_OR_SPACE = f"[ -_a-~{_HIGH}]"
_NO_HASH = f'[!"$-_a-~{_HIGH}]'
_NO_COLON = f"[!-9;-_a-~{_HIGH}]"
_NEITHER = f'[!"$-9;-_a-~{_HIGH}]'
_FIRST = r"[0-9A-Za-z(\u00A1-\u2027\u202A-\u2FFF\u3001-\uD7FF]"
_QUOTED = f"([!-&(-_a-~{_HIGH}]|'')+"

_GAP = r"( |\n  )"
# Unquoted: `#` may not start a word, `:` may not end one. Quoted: any words, single quotes doubled.
_PLAIN_CAPTION = f"{_FIRST}({_ANY}*{_NO_COLON})?({_GAP}({_NEITHER}|{_NO_HASH}{_ANY}*{_NO_COLON}))*"
_QUOTED_CAPTION = f"'{_QUOTED}({_GAP}{_QUOTED})*'"
# PyYAML breaks a line at the first space beyond column 80: `caption: ` takes 9 columns, the indent 2.
_FOLDED = rf"{_ANY_OR_SPACE}{{72}}{_ANY}*\n  ({_ANY_OR_SPACE}{{79}}{_ANY}*\n  )*{_ANY_OR_SPACE}{{0,79}}{_ANY}*"
_ONE_LINE = rf"{_ANY_OR_SPACE}{{0,72}}{_ANY}*"

# A list of short words, on one line.
_GENRES = r"[0-9A-Za-z\u00C0-\u1FFF\u3041-\uD7FF]([0-9A-Za-z&', -]|[\u00C0-\u1FFF\u3041-\uD7FF]){0,70}"


def cot_grammar(given: Mapping[str, Any], open_fields: Iterable[str], max_duration: float = DURATION_MAX) -> str:
    """The grammar of the lines between `<think>` and `</think>`, in llguidance's Lark dialect.

    Args:
        given: values that are already decided; they are written as they are.
        open_fields: fields for the model to fill; all others are left out.
        max_duration: the longest song the model may plan, in seconds.
    """
    open_fields = set(open_fields)
    lines, rules = [], ""
    for name in sorted(KNOWN_FIELDS):
        if name in given:
            lines.append(_literal(plan_yaml({name: given[name]}) + "\n"))
        elif name == "caption" and name in open_fields:
            lines += [_literal("caption: "), "CAPTION", _literal("\n")]
            rules += (
                f"CAPTION: (PLAIN | QUOTED) & (FOLDED | ONE_LINE)\nPLAIN: /{_PLAIN_CAPTION}/\n"
                f"QUOTED: /{_QUOTED_CAPTION}/\nFOLDED: /{_FOLDED}/\nONE_LINE: /{_ONE_LINE}/\n"
            )
        elif name == "genres" and name in open_fields:
            lines += [_literal("genres: "), "GENRES", _literal("\n")]
            rules += f"GENRES: /{_GENRES}/\n"
        elif name in open_fields:
            values = " | ".join(_literal(f"{value}\n") for value in _values(name, max_duration))
            lines.append(f"{_literal(f'{name}: ')} ({values})")
    return f"start: PLAN\nPLAN: {' '.join(lines)}\n{rules}"


def _values(name: str, max_duration: float) -> Iterable[str | int]:
    """Every value a field may have, as YAML writes it."""
    match name:
        case "bpm":
            return range(BPM_MIN, BPM_MAX + 1)
        case "duration":
            return range(int(DURATION_MIN), int(max(max_duration, DURATION_MIN)) + 1)
        case "keyscale":
            return KEYSCALES
        case "language":
            return [plan_yaml({name: code}).removeprefix(f"{name}: ") for code in LANGUAGES]
    return TIME_SIGNATURES


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class FreeText:
    """Any text up to the end of the turn, without control tokens and codes."""

    def __init__(self, lm: LanguageModel) -> None:
        self.end = lm.ids.end
        self.mask = lm.plain_text.clone()
        self.mask[self.end] = True
        self.done = False

    def forced(self) -> list[int]:
        return []

    def allowed(self) -> Tensor:
        return self.mask

    def write(self, token: int) -> None:
        self.done = token == self.end

    def finished(self) -> bool:
        return self.done


class PlanText:
    """A whole answer: `<think>`, a plan that follows the grammar, `</think>`, and lyrics where they are wanted.

    A plan that has not come to its end after `max_tokens` is broken off there, and stays not `closed`.
    """

    def __init__(self, lm: LanguageModel, grammar: str, max_tokens: int, lyrics: bool = False) -> None:
        from llguidance import LLMatcher

        self.ids = lm.ids
        self.opening = [lm.ids.think, *lm.encode("\n")]
        self.matcher = LLMatcher(lm.grammar_tokenizer, grammar, log_level=0)
        self.lyrics = FreeText(lm) if lyrics else None
        self.closed = False
        self.left = max_tokens
        self._check()

    def forced(self) -> list[int]:
        if self.closed:
            return []
        tokens, self.opening = self.opening, []
        # Within a character of several bytes the engine's proposal may not fit; then the model writes the bytes.
        while (more := self.matcher.compute_ff_tokens()) and (fit := self.matcher.try_consume_tokens(more)):
            tokens += more[:fit]
        self._check()
        self.left -= len(tokens)
        if self.matcher.is_accepting():
            self.closed = True
            tokens.append(self.ids.think_end)
        return tokens

    def allowed(self) -> Tensor:
        if self.closed and self.lyrics:
            return self.lyrics.allowed()
        bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        return torch.from_numpy(np.unpackbits(bits, bitorder="little")[: self.ids.first_code]).bool()

    def write(self, token: int) -> None:
        if self.closed and self.lyrics:
            self.lyrics.write(token)
            return
        self.matcher.consume_token(token)
        self.left -= 1
        self._check()

    def finished(self) -> bool:
        if not self.closed:
            return self.left <= 0
        return self.lyrics is None or self.lyrics.finished()

    def _check(self) -> None:
        if self.matcher.is_error():
            reason = re.sub(r"\s+", " ", self.matcher.get_error().split("<state>")[0]).strip()
            raise GenerationError(f"The plan's grammar failed ({reason}); report this with the song and the seed.")
