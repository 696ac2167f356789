"""From audio codes back to a song: what the language model hears in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from acestep_core.models.language_model import LanguageModel
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import LMSampling
from acestep_core.planner.answer import CAPTION_TOKENS, LYRICS_TOKENS, Answer, write_answer
from acestep_core.planner.create import TEXT_SAMPLING, song_of
from acestep_core.planner.lm_prompts import understand_prompt
from acestep_core.planner.metas import KNOWN_FIELDS, PLAN_FIELDS
from acestep_core.planner.plan import Plan
from acestep_core.song.codes import codes_to_text
from acestep_core.song.description import Song
from acestep_core.vocabulary import NO_USER_INPUT

LISTEN_SAMPLING = replace(TEXT_SAMPLING, temperature=0.3)
"""Describing calls for less invention than writing."""


def understand_codes(
    lm: LanguageModel,
    codes: Sequence[int],
    *,
    sampling: LMSampling = LISTEN_SAMPLING,
    seed: int = 0,
    lyrics_tokens: int = LYRICS_TOKENS,
    caption_tokens: int = CAPTION_TOKENS,
    monitor: Monitor = SILENT,
) -> Song:
    """Describes the music behind semantic codes: caption, lyrics, language and metas.

    Without codes the model invents a song.

    Raises:
        CodesError: a code is not a whole number from 0 to 63999.
    """
    answer = _heard(lm, codes, PLAN_FIELDS, sampling, seed, lyrics_tokens, caption_tokens, monitor)
    return song_of(answer.plan, answer.lyrics)


def describe_codes(
    lm: LanguageModel,
    codes: Sequence[int],
    *,
    sampling: LMSampling = LISTEN_SAMPLING,
    seed: int = 0,
    lyrics: bool = False,
    monitor: Monitor = SILENT,
) -> Answer:
    """The same as it is wanted of a recording: with genres, and with lyrics only if they are asked for."""
    tokens = LYRICS_TOKENS if lyrics else 0
    return _heard(lm, codes, KNOWN_FIELDS, sampling, seed, tokens, CAPTION_TOKENS, monitor)


def _heard(
    lm: LanguageModel,
    codes: Sequence[int],
    fields: Sequence[str],
    sampling: LMSampling,
    seed: int,
    lyrics_tokens: int,
    caption_tokens: int,
    monitor: Monitor,
) -> Answer:
    return write_answer(
        lm,
        understand_prompt(codes_to_text(codes) or NO_USER_INPUT),
        Plan(),
        fields,
        sampling,
        seed,
        lyrics_tokens=lyrics_tokens,
        caption_tokens=caption_tokens,
        monitor=monitor,
        stage="Listening",
    )
