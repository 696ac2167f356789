"""Judging what the front door has made: every take of a batch listened to, scored and ranked."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from acestep_core.judge.best_of import WEIGHTS, Ranked, Take, kept, rank
from acestep_core.judge.lm_score import LMScore, score_codes, scoring
from acestep_core.judge.lyric_timing import SungLyrics, listen_to_batch
from acestep_core.models.acestep import tokenizing_bytes
from acestep_core.models.manager import manager
from acestep_core.monitor import SILENT, Monitor
from acestep_core.planner.plan import Plan
from acestep_core.render.conditioning import condition

if TYPE_CHECKING:
    from acestep_core.pipeline.generation import Generation

log = logging.getLogger(__name__)


def listen_to_takes(made: Generation, monitor: Monitor = SILENT) -> tuple[SungLyrics, ...]:
    """When each line and word of each take is sung, and how well.

    Raises:
        AlignmentError: no alignment heads are known for this checkpoint.
    """
    model = made.models.model
    conditioning = condition(model, [made.song], made.tasks, monitor=monitor)
    found = tuple(listen_to_batch(model, made.latents, conditioning, monitor=monitor))
    for remark in dict.fromkeys(filter(None, (sung.remark for sung in found))):
        log.warning("%s", remark)
    return found


def judge_takes(made: Generation, lm: bool = True, lyrics: bool = True, monitor: Monitor = SILENT) -> Generation:
    """The same takes with their scores, and with the times of their lyrics if these were judged.

    Args:
        lm: scores by the language model, where there is one and the song says anything.
        lyrics: scores how well the lyrics are sung.

    Returns:
        `scores` of each take: `lm` and `alignment`, 0 to 1, None where there was nothing to judge, and their `parts`.
    """
    timing = listen_to_takes(made, monitor) if lyrics else made.timing
    lm_scores = _lm_scores(made, monitor) if lm else [None] * len(made.seeds)
    sung = timing or [None] * len(made.seeds)
    scores = [_scores(by_lm, heard) for by_lm, heard in zip(lm_scores, sung, strict=True)]
    return replace(made, timing=timing, scores=tuple(scores))


def takes_of(made: Generation) -> list[Take]:
    """Judged takes, for `best_of.rank`."""
    names = ("lm", "alignment")
    scores: list[Mapping[str, Any]] = list(made.scores) or [{}] * len(made.seeds)
    return [
        Take(index, seed, {name: found.get(name) for name in names})
        for index, (seed, found) in enumerate(zip(made.seeds, scores, strict=True))
    ]


def keep_best(
    made: Generation, keep: int = 1, weights: Mapping[str, float] = WEIGHTS
) -> tuple[Generation, tuple[Ranked, ...]]:
    """The best of judged takes, best first, and the ranking of all. See `best_of.rank`."""
    ranking = rank(takes_of(made), weights, keep)
    return made.select(kept(ranking)), ranking


def _lm_scores(made: Generation, monitor: Monitor) -> list[LMScore | None]:
    song, plan = made.song, made.plan
    told = song.caption.strip() or song.lyrics.strip() or Plan.of_song(song).fields() or (plan and plan.fields())
    if made.models.lm is None or not told:
        return [None] * len(made.seeds)
    codes = codes_of_takes(made)
    with scoring(made.models.lm, codes, song, plan) as lm:
        return [score_codes(lm, sequence, song, plan, monitor=monitor) for sequence in codes]


def codes_of_takes(made: Generation) -> list[tuple[int, ...]]:
    """The codes each take was made from, or what its latents are in codes where it had none of its own."""
    if len(made.tasks) == len(made.seeds) and all(task.codes for task in made.tasks):
        return [task.codes for task in made.tasks]
    needs = partial(tokenizing_bytes, frames=made.latents.shape[1])
    with torch.inference_mode(), manager.resident(made.models.model.bare, needs) as model:
        found = [model.codes(item[None].to(model.device, model.dtype))[0].tolist() for item in made.latents]
    return [tuple(codes) for codes in found]


def _scores(by_lm: LMScore | None, heard: SungLyrics | None) -> dict[str, Any]:
    parts: dict[str, float | None] = {}
    if by_lm is not None:
        parts |= {"caption": by_lm.caption, "lyrics": by_lm.lyrics, "metas": by_lm.metas}
    score = None if heard is None else heard.score
    if score is not None:
        parts |= {"coverage": score.coverage, "monotonicity": score.monotonicity, "confidence": score.confidence}
    return {
        "lm": None if by_lm is None else by_lm.total,
        "alignment": None if score is None else score.total,
        "parts": parts,
    }
