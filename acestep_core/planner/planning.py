"""From a song to a plan, and from a plan to audio codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acestep_core.devices import pick_device
from acestep_core.errors import InvalidInput
from acestep_core.models.handles import LMHandle
from acestep_core.models.language_model import LanguageModel
from acestep_core.models.manager import manager
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import LMSampling, PlanSettings
from acestep_core.planner.answer import write_answer
from acestep_core.planner.decode import CodesPrompt, codes_bytes, decode_codes
from acestep_core.planner.lm_prompts import codes_prompt, codes_prompt_unconditional, plan_prompt
from acestep_core.planner.plan import Plan, PlanDraft
from acestep_core.song.codes import seconds_to_codes
from acestep_core.song.description import Song

CHUNK = 8
"""Songs whose codes are written at once."""


def open_fields(settings: PlanSettings, given: Plan, draft: PlanDraft | None = None) -> list[str]:
    """The fields for the model to fill: those that are switched on, or that a draft asks for, and not given."""
    if draft is not None:
        return [name for name in draft.wanted if name not in given.fields()]
    metas = settings.metas
    switched = {"bpm": metas, "duration": metas, "keyscale": metas, "timesignature": metas}
    switched |= {"caption": settings.caption, "language": settings.language}
    return [name for name, on in switched.items() if on and name not in given.fields()]


def plan_song(
    lm: LanguageModel,
    song: Song,
    settings: PlanSettings | None = None,
    sampling: LMSampling | None = None,
    seed: int = 0,
    monitor: Monitor = SILENT,
    draft: PlanDraft | None = None,
) -> Plan:
    """Lets the model think about a song. What the user has decided is part of the plan, word for word.

    Nothing runs if there is nothing left to decide.

    Args:
        draft: what of the plan is decided beside the song, and goes before it, and what alone the model fills.
    """
    settings, sampling = settings or PlanSettings(), sampling or LMSampling()
    given = Plan.of_song(song) if draft is None else draft.given.or_else(Plan.of_song(song))
    wanted = open_fields(settings, given, draft)
    if not wanted:
        return given
    answer = write_answer(
        lm,
        plan_prompt(song.caption, song.lyrics),
        given,
        wanted,
        sampling,
        seed,
        max_duration=settings.max_duration,
        caption_tokens=settings.caption_tokens,
        monitor=monitor,
    )
    return answer.plan


def codes_prompts(
    lm: LanguageModel, song: Song, plan: Plan, sampling: LMSampling
) -> tuple[list[int], list[int] | None]:
    """Token ids of the conditional and, with guidance, of the unconditional prompt."""
    conditional = lm.encode(codes_prompt(song.caption, song.lyrics, plan.to_cot(), sampling.prompt_form))
    if sampling.cfg_scale == 1:
        return conditional, None
    text = codes_prompt_unconditional(song.caption, song.lyrics, sampling.negative_prompt, sampling.prompt_form)
    return conditional, lm.encode(text)


@dataclass(frozen=True)
class Ask:
    """Codes for one plan of a song, another sequence for every seed."""

    song: Song
    plan: Plan
    seeds: Sequence[int]

    @property
    def count(self) -> int | None:
        """How many codes a sequence has; None where the model decides when the song ends."""
        return None if self.plan.duration is None else seconds_to_codes(self.plan.duration)


def codes_of(
    handle: LMHandle,
    song: Song,
    plan: Plan,
    seeds: Sequence[int],
    sampling: LMSampling | None = None,
    chunk: int = CHUNK,
    monitor: Monitor = SILENT,
) -> list[tuple[int, ...]]:
    """`write_codes` with a model from the manager, in smaller chunks where the memory asks for it."""
    return codes_together(handle, [Ask(song, plan, seeds)], sampling, chunk, monitor)[0]


def codes_together(
    handle: LMHandle,
    asks: Sequence[Ask],
    sampling: LMSampling | None = None,
    chunk: int = CHUNK,
    monitor: Monitor = SILENT,
) -> list[list[tuple[int, ...]]]:
    """`codes_of` for each of several songs, which are written together; all want equally many codes."""
    _check_chunk(chunk)
    device, sampling = pick_device(handle.device), sampling or LMSampling()
    songs = sum(len(ask.seeds) for ask in asks)

    def needs(lm: LanguageModel, chunk: int) -> int:
        prompts = [codes_prompts(lm, ask.song, ask.plan, sampling) for ask in asks]
        longest = max(len(ids) for prompt in prompts for ids in prompt if ids is not None)
        return codes_bytes(lm, device, chunk, prompts[0][1] is not None, longest, asks[0].count)

    def work(lm: LanguageModel, chunk: int) -> list[tuple[int, ...]]:
        return _write(lm, asks, sampling, chunk, monitor)

    written = iter(manager.run(handle, work, needs, min(chunk, songs)))
    return [[next(written) for _ in ask.seeds] for ask in asks]


def write_codes(
    lm: LanguageModel,
    song: Song,
    plan: Plan,
    seeds: Sequence[int],
    sampling: LMSampling | None = None,
    chunk: int = CHUNK,
    monitor: Monitor = SILENT,
) -> list[tuple[int, ...]]:
    """Audio codes for one plan, five a second, another sequence for every seed.

    A sequence depends on its own seed alone, not on how many are written or in what chunks.

    Args:
        plan: its duration decides how many codes are written; without one, the model decides when the song ends.
        chunk: how many sequences are written at once; less needs less memory.
    """
    _check_chunk(chunk)
    return _write(lm, [Ask(song, plan, seeds)], sampling or LMSampling(), chunk, monitor)


def _check_chunk(chunk: int) -> None:
    if chunk < 1:
        raise InvalidInput(f"The chunk size must be at least 1, not {chunk}.")


def _write(
    lm: LanguageModel, asks: Sequence[Ask], sampling: LMSampling, chunk: int, monitor: Monitor
) -> list[tuple[int, ...]]:
    """The sequences of all seeds, one ask after the other."""
    prompts = [(codes_prompts(lm, ask.song, ask.plan, sampling), ask.seeds) for ask in asks]
    songs = [CodesPrompt(*prompt, seed) for prompt, seeds in prompts for seed in seeds]
    codes: list[tuple[int, ...]] = []
    for start in range(0, len(songs), chunk):
        part = songs[start : start + chunk]
        stage = "Writing codes" if len(songs) <= chunk else f"Writing codes {start + 1} to {start + len(part)}"
        codes += decode_codes(lm, part, sampling, asks[0].count, monitor, stage)
    return codes
