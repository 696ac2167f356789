"""One answer of the language model in text: a plan by the grammar, then lyrics where they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from acestep_core.devices import pick_device
from acestep_core.models.handles import LMHandle
from acestep_core.models.language_model import LanguageModel
from acestep_core.models.manager import manager
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import LMSampling
from acestep_core.planner.decode import decode_text, text_bytes
from acestep_core.planner.grammar import PlanText, cot_grammar
from acestep_core.planner.metas import parse_output
from acestep_core.planner.plan import Plan
from acestep_core.vocabulary import DURATION_MAX

CAPTION_TOKENS = 512
"""About where a caption ends at the latest."""
LYRICS_TOKENS = 2048
"""How long lyrics may become; the lyric encoder reads no more."""
OTHER_FIELDS = 100
"""More tokens than a plan without its caption ever has."""
GENRES_TOKENS = 80
"""More tokens than the line of genres ever has."""
TOKENS = CAPTION_TOKENS + OTHER_FIELDS + LYRICS_TOKENS
"""How long an answer may become by default."""
_FORM = 100
"""More tokens than a prompt has besides what it is about."""


@dataclass(frozen=True)
class Answer:
    """A plan, lyrics and genres as the model wrote them; empty where none were asked for."""

    plan: Plan
    lyrics: str
    genres: str = ""


def writing(handle: LMHandle, *texts: str, tokens: int = TOKENS) -> AbstractContextManager[LanguageModel]:
    """The language model on its device, with room for one answer at a time.

    Args:
        texts: what its prompt is about.
        tokens: how long the answer may become; what is given may be repeated in it on top.
    """
    device = pick_device(handle.device)

    def needs(lm: LanguageModel) -> int:
        asked = sum(len(lm.encode(text)) for text in texts) + _FORM
        return text_bytes(lm, device, asked, asked + tokens)

    return manager.resident(handle, needs)


def write_answer(
    lm: LanguageModel,
    prompt: str,
    given: Plan,
    open_fields: Sequence[str],
    sampling: LMSampling,
    seed: int,
    *,
    lyrics_tokens: int = 0,
    max_duration: float = DURATION_MAX,
    caption_tokens: int = CAPTION_TOKENS,
    monitor: Monitor = SILENT,
    stage: str = "Planning",
) -> Answer:
    """Writes a plan with the given fields as they are and the open ones filled.

    The caption is the one field without an end of its own. Should it outgrow its tokens, it is cut at a word, and the
    fields after it are written with the cut caption in front of them.

    Args:
        lyrics_tokens: how long the text after the plan may be; 0 asks for none.
    """
    ids = lm.encode(prompt)
    for fields in (open_fields, [name for name in open_fields if name != "caption"]):
        room = len(lm.encode(given.to_cot())) + OTHER_FIELDS + (caption_tokens if "caption" in fields else 0)
        room += GENRES_TOKENS if "genres" in fields else 0
        grammar = cot_grammar(given.fields(), fields, max_duration)
        constraint = PlanText(lm, grammar, room, lyrics=lyrics_tokens > 0)
        text = lm.decode(decode_text(lm, ids, constraint, sampling, seed, room + lyrics_tokens, monitor, stage))
        if constraint.closed:
            break
        given = given.or_else(Plan(caption=_cut_at_word(parse_output(text).metas.get("caption", ""))))
    output = parse_output(text)
    genres = _printable(str(output.metas.get("genres", "")))
    return Answer(given.or_else(Plan.from_metas(output.metas)), _printable(output.lyrics), genres)


def _cut_at_word(text: str) -> str:
    """A caption that was broken off, up to its last whole word."""
    if text.startswith("'"):
        text = text[1:].replace("''", "'")
    text = text.rstrip("\ufffd")
    return (text.rpartition(" ")[0] or text).rstrip(" ,;:-'")


def _printable(text: str) -> str:
    """Without the control characters and broken bytes that a model may write in free text."""
    return "".join(char for char in text if char in "\n\t" or (char >= " " and char not in "\x7f\ufffd")).strip()
