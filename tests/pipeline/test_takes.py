"""Takes of the front door, judged on the tiny checkpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from acestep_core import generate
from acestep_core.errors import InvalidInput
from acestep_core.judge.lm_score import score_codes
from acestep_core.models.manager import manager
from acestep_core.options import RenderSettings
from acestep_core.pipeline.takes import judge_takes, keep_best, takes_of

CODES = [[1] * 20, list(range(1000, 1020)), list(range(20))]
SONG = {"caption": "calm", "lyrics": "sing with me\nall night", "seed": 3}


@pytest.fixture(scope="module")
def made(tiny_models):
    return generate(codes=CODES, models=tiny_models, settings=RenderSettings.of(steps=1), **SONG)


def test_takes_are_judged_by_their_own_codes_and_lyrics(made, tiny_models):
    judged = judge_takes(made)
    assert judged.audio is made.audio and made.scores == ()
    with manager.resident(tiny_models.lm) as lm:
        expected = [score_codes(lm, codes, made.song).total for codes in CODES]
    assert [scores["lm"] for scores in judged.scores] == pytest.approx(expected)
    assert len(set(expected)) == 3
    for scores, sung in zip(judged.scores, judged.timing, strict=True):
        assert scores["alignment"] == sung.score.total
        assert [line.text for line in sung.lyrics.lines] == ["sing with me", "all night"]
    assert judged.record(1).scores["lm"] == pytest.approx(expected[1])


def test_the_best_are_kept_with_all_that_is_theirs(made):
    judged = judge_takes(made)
    totals = [(scores["lm"] + scores["alignment"]) / 2 for scores in judged.scores]
    order = sorted(range(3), key=lambda item: -totals[item])
    best, ranking = keep_best(judged, 2)
    assert [entry.take.index for entry in ranking] == order
    assert best.places == tuple(order[:2]) and best.seeds == tuple(3 + item for item in order[:2])
    assert best.scores == tuple(judged.scores[item] for item in order[:2])
    assert [task.codes for task in best.tasks] == [tuple(CODES[item]) for item in order[:2]]
    assert torch.equal(best.latents, made.latents[order[:2]])
    only_lm, _ = keep_best(judged, 1, {"lm": 1.0})
    assert only_lm.scores[0]["lm"] == max(scores["lm"] for scores in judged.scores)


def test_takes_without_codes_of_their_own_are_listened_to(tiny_models):
    made = generate(codes=CODES[0], batch=2, models=tiny_models, settings=RenderSettings.of(steps=1), **SONG)
    judged = judge_takes(made, lyrics=False)
    first, second = (scores["lm"] for scores in judged.scores)
    assert first != second and judged.timing == ()
    assert [take.scores for take in takes_of(judged)] == [
        {"lm": first, "alignment": None},
        {"lm": second, "alignment": None},
    ]


def test_what_cannot_be_judged_has_no_score(made):
    silent = judge_takes(replace(made, lm=None), lyrics=False)
    assert [scores["lm"] for scores in silent.scores] == [None] * 3
    with pytest.raises(InvalidInput, match="No take has any of the scores"):
        keep_best(silent)
    with pytest.raises(InvalidInput, match="No take has any of the scores"):
        keep_best(made)
    nothing = replace(made, song=replace(made.song, caption="", lyrics=""))
    assert [scores["lm"] for scores in judge_takes(nothing).scores] == [None] * 3
    assert [scores["alignment"] for scores in judge_takes(nothing).scores] == [None] * 3
