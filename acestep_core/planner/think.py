"""Thinking before playing: plan, merge, codes, in one call with a language model from the manager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from acestep_core.models.handles import LMHandle
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import LMSampling, PlanSettings
from acestep_core.planner.answer import OTHER_FIELDS, writing
from acestep_core.planner.plan import Plan, merge
from acestep_core.planner.planning import CHUNK, codes_of, plan_song
from acestep_core.song.description import Song


@dataclass(frozen=True)
class Thinking:
    """What the language model does for a song.

    Attributes:
        plan: what it may decide.
        sampling: how it draws.
        codes: whether it writes audio codes; without them the plan alone reaches the DiT.
        caption, language: whether the DiT gets the model's caption and language instead of the song's.
        seed: of the plan; None takes the first song's.
        chunk: songs whose codes are written at once; less needs less memory.
    """

    plan: PlanSettings = field(default_factory=PlanSettings)
    sampling: LMSampling = field(default_factory=LMSampling)
    codes: bool = True
    caption: bool = True
    language: bool = True
    seed: int | None = None
    chunk: int = CHUNK


@dataclass(frozen=True)
class Thought:
    """The plan, the song it makes of the user's, and one code sequence per item (none if not asked for)."""

    plan: Plan
    song: Song
    codes: tuple[tuple[int, ...], ...] = ()


def think(
    handle: LMHandle,
    song: Song,
    seeds: Sequence[int],
    thinking: Thinking,
    default_seconds: float,
    plan: Plan | None = None,
    monitor: Monitor = SILENT,
) -> Thought:
    """Plans a song and writes the codes of a batch.

    Args:
        seeds: one per item.
        default_seconds: length where neither user nor plan decide one.
        plan: made earlier or edited by hand; None makes one.
    """
    if plan is None:
        seed = seeds[0] if thinking.seed is None else thinking.seed
        with writing(handle, song.caption, song.lyrics, tokens=thinking.plan.caption_tokens + OTHER_FIELDS) as lm:
            plan = plan_song(lm, song, thinking.plan, thinking.sampling, seed, monitor)
    if plan.duration is None:
        plan = replace(plan, duration=song.duration or default_seconds)
    codes: list[tuple[int, ...]] = []
    if thinking.codes:
        codes = codes_of(handle, song, plan, seeds, thinking.sampling, thinking.chunk, monitor)
    merged = merge(song, plan, caption=thinking.caption, language=thinking.language)
    return Thought(plan, merged, tuple(codes))
