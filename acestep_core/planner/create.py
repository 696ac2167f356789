"""A whole song from a description in plain words, and a better written version of a song."""

from __future__ import annotations

from dataclasses import replace

from acestep_core.models.language_model import LanguageModel
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import LMSampling
from acestep_core.planner.answer import CAPTION_TOKENS, LYRICS_TOKENS, write_answer
from acestep_core.planner.lm_prompts import create_prompt, format_prompt
from acestep_core.planner.metas import PLAN_FIELDS
from acestep_core.planner.plan import Plan, merge
from acestep_core.song.description import Song, normalize_language
from acestep_core.vocabulary import INSTRUMENTAL_LYRICS, NO_USER_INPUT, UNKNOWN_LANGUAGE

TEXT_SAMPLING = LMSampling(top_p=1.0)
"""How these answers are sampled unless the caller says otherwise."""


def create_song(
    lm: LanguageModel,
    query: str,
    *,
    instrumental: bool = False,
    language: str = UNKNOWN_LANGUAGE,
    sampling: LMSampling = TEXT_SAMPLING,
    seed: int = 0,
    lyrics_tokens: int = LYRICS_TOKENS,
    caption_tokens: int = CAPTION_TOKENS,
    monitor: Monitor = SILENT,
) -> Song:
    """Invents a song: caption, lyrics, language and metas.

    Args:
        query: what it should be, in plain words; empty for a surprise.
        instrumental: no vocals, so no lyrics are written.
        language: of the lyrics; `unknown` leaves it to the model.
    """
    given = _given_language(language)
    answer = write_answer(
        lm,
        create_prompt(query if query.strip() else NO_USER_INPUT, instrumental),
        given,
        [name for name in PLAN_FIELDS if name not in given.fields()],
        sampling,
        seed,
        lyrics_tokens=0 if instrumental else lyrics_tokens,
        caption_tokens=caption_tokens,
        monitor=monitor,
        stage="Inventing a song",
    )
    return song_of(answer.plan, answer.lyrics, instrumental=instrumental)


def format_song(
    lm: LanguageModel,
    song: Song,
    *,
    sampling: LMSampling = TEXT_SAMPLING,
    seed: int = 0,
    lyrics_tokens: int = LYRICS_TOKENS,
    caption_tokens: int = CAPTION_TOKENS,
    monitor: Monitor = SILENT,
) -> Song:
    """Rewrites caption and lyrics in more detail and fills the open metas; what the user has fixed stays.

    An instrumental song keeps its lyrics, and so does one for which the model writes none.
    """
    given = Plan.of_song(song)
    answer = write_answer(
        lm,
        format_prompt(
            song.caption if song.caption.strip() else NO_USER_INPUT,
            song.lyrics if song.lyrics.strip() else INSTRUMENTAL_LYRICS,
        ),
        given,
        [name for name in PLAN_FIELDS if name not in given.fields()],
        sampling,
        seed,
        lyrics_tokens=0 if song.instrumental else lyrics_tokens,
        caption_tokens=caption_tokens,
        monitor=monitor,
        stage="Formatting the song",
    )
    return replace(merge(song, answer.plan), lyrics=answer.lyrics or song.lyrics)


def song_of(plan: Plan, lyrics: str, *, instrumental: bool = False) -> Song:
    """A song from a plan and lyrics that the model made up."""
    instrumental = instrumental or lyrics.strip().lower() == INSTRUMENTAL_LYRICS.lower()
    return merge(Song(lyrics=lyrics, instrumental=instrumental), plan)


def _given_language(language: str) -> Plan:
    code = normalize_language(language)
    return Plan(language="" if code == UNKNOWN_LANGUAGE else code)
