"""The LM score: what is judged, what it costs, and that it means what it says."""

from __future__ import annotations

import math

import pytest
import torch

from acestep_core.errors import Cancelled, CodesError, InvalidInput
from acestep_core.judge import lm_score
from acestep_core.judge.lm_score import (
    WEIGHTS,
    TokenScores,
    descriptions,
    pmi_score,
    score_codes,
    token_scores,
    weighted_mean,
)
from acestep_core.models.manager import manager
from acestep_core.monitor import Monitor
from acestep_core.planner.lm_prompts import understand_prompt
from acestep_core.planner.plan import Plan
from acestep_core.song.description import Song

SONG = Song(
    "warm pads: a #1 hit", "[Verse]\nhello 夜空\n", language="en", bpm=120, keyscale="C major", timesignature="4"
)
FIELDS = {"bpm", "keyscale", "language", "timesignature"}


@pytest.fixture(scope="module")
def lm(tiny_models):
    with manager.resident(tiny_models.lm) as model:
        yield model


@pytest.fixture
def forwards(lm, monkeypatch):
    """Shapes of the token ids of every forward."""
    seen = []
    hook = lm.model.register_forward_pre_hook(lambda _, arguments: seen.append(tuple(arguments[0].shape)))
    yield seen
    hook.remove()


def test_one_forward_with_the_codes_and_one_without(lm, forwards):
    score = score_codes(lm, [1, 2, 3] * 10, SONG)
    assert len(forwards) == 2 and [rows for rows, _ in forwards] == [1, 1]
    assert forwards[0][1] > forwards[1][1]
    assert score.fields.keys() == FIELDS
    assert score.metas == pytest.approx(sum(score.fields.values()) / 4)
    assert score.caption == pytest.approx(pmi_score(score.caption_pmi, score.scale))
    assert score.lyrics == pytest.approx(1 / (1 + math.exp(-score.lyrics_pmi / score.scale)))
    parts = {"caption": score.caption, "lyrics": score.lyrics, "metas": score.metas}
    assert score.total == pytest.approx(sum(WEIGHTS[name] * part for name, part in parts.items()))
    assert all(0 <= part <= 1 for part in parts.values()) and score.weights == pytest.approx(dict(WEIGHTS))


def test_fields_on_their_own_take_one_forward_a_branch_too(lm, forwards):
    score = score_codes(lm, [1, 2, 3], SONG, layout="fields")
    assert [rows for rows, _ in forwards] == [6, 2]
    assert score.fields.keys() == FIELDS


def test_values_of_the_whole_description_are_what_is_judged():
    (whole,) = descriptions(Plan(bpm=120, caption="a: b " * 30, language="no", keyscale="C major").fields(), "la\nla")
    assert whole.text.startswith("<think>\nbpm: 120\ncaption: 'a: b")
    assert whole.text.endswith("\nkeyscale: C major\nlanguage: 'no'\n</think>\n\n# Lyric\nla\nla\n")
    parts = {name: whole.text[place] for name, place in whole.parts.items()}
    assert parts.pop("caption").strip().startswith("'a: b") and "\n  " in whole.text[whole.parts["caption"]]
    assert parts == {"bpm": " 120", "keyscale": " C major", "language": " 'no'", "lyrics": "la\nla"}
    assert (
        whole.text.split("</think>")[0] + "</think>"
        == Plan(bpm=120, caption="a: b " * 30, language="no", keyscale="C major").to_cot()
    )


def test_tokens_of_a_part_cover_its_text_and_little_more(lm):
    (whole,) = descriptions(Plan.of_song(SONG).fields() | {"caption": SONG.caption}, SONG.lyrics)
    (scores,) = token_scores(lm, understand_prompt("<|audio_code_5|>"), [whole.text])
    for name, place in whole.parts.items():
        part = scores.part(place)
        covered = whole.text[part.places[0][0] : part.places[-1][1]]
        assert whole.text[place].strip() in covered and len(covered) <= len(whole.text[place]) + 2, name


def test_token_scores_are_those_of_the_full_logits(lm, monkeypatch):
    monkeypatch.setattr(lm_score, "AT_ONCE", 3)
    prompt, texts = understand_prompt("<|audio_code_5|><|audio_code_6|>"), ["a longer text than that", "short"]
    for text, got in zip(texts, token_scores(lm, prompt, texts), strict=True):
        ids = torch.tensor([lm.encode(prompt + text)])
        first = len(lm.encode(prompt))
        with torch.inference_mode():
            logits = lm.model.logits(lm.model(ids))[0, first - 1 : -1].float()
        want = logits.log_softmax(-1)[torch.arange(len(logits)), ids[0, first:]]
        torch.testing.assert_close(got.log_probs, want, atol=1e-4, rtol=1e-4)
        order = logits.argsort(descending=True)
        ranks = [row.tolist().index(token) + 1 for row, token in zip(order, ids[0, first:].tolist())]
        assert got.ranks.tolist() == pytest.approx(ranks, abs=2)  # rows of a batch round a little differently


def test_the_plan_speaks_where_it_says_something(lm, forwards):
    told = Plan(caption="thrash metal", bpm=180)
    with_plan = score_codes(lm, [7] * 10, SONG, told)
    as_song = score_codes(lm, [7] * 10, Song("thrash metal", SONG.lyrics, "en", 180, "C major", "4"))
    assert with_plan == as_song != score_codes(lm, [7] * 10, SONG)


def test_only_what_is_there_is_judged(lm):
    caption = score_codes(lm, [1, 2], Song("pads"))
    assert (caption.lyrics, caption.metas, caption.total) == (None, None, caption.caption)
    lyrics = score_codes(lm, [1, 2], Song(lyrics="la la"))
    assert (lyrics.caption, lyrics.fields, lyrics.weights) == (None, {}, {"lyrics": 1.0})
    with pytest.raises(InvalidInput, match="nothing to score"):
        score_codes(lm, [1, 2], Song())


def test_scores_are_repeatable_and_depend_on_the_codes(lm):
    assert score_codes(lm, [1, 2, 3], SONG) == score_codes(lm, [1, 2, 3], SONG)
    assert score_codes(lm, [1, 2, 3], SONG).total != score_codes(lm, [900, 5, 77], SONG).total


def test_bad_arguments_are_refused(lm):
    with pytest.raises(CodesError, match="no codes"):
        score_codes(lm, [], SONG)
    with pytest.raises(CodesError):
        score_codes(lm, [64_000], SONG)
    for wrong in ({"scale": 0}, {"scale": math.nan}, {"top_k": 0}, {"weights": {"caption": -1}}):
        with pytest.raises(InvalidInput):
            score_codes(lm, [1], SONG, **wrong)


def test_progress_and_cancel(lm):
    ticks = []
    score_codes(lm, [1], SONG, monitor=Monitor(lambda *tick: ticks.append(tick[:3])))
    assert ticks == [("Scoring", n, 2) for n in range(3)]
    with pytest.raises(Cancelled):
        score_codes(lm, [1], SONG, monitor=Monitor(cancelled=lambda: True))


def test_pmi_scores_never_overflow():
    assert pmi_score(-1e6, 0.01) == 0 and pmi_score(1e6, 0.01) == 1 and pmi_score(0) == 0.5


def test_weighted_means():
    assert weighted_mean({"a": 1, "b": 0}, {"a": 3, "b": 1, "c": 9}) == (0.75, {"a": 0.75, "b": 0.25})
    assert weighted_mean({"a": 1}, {"b": 1}) == (0.0, {})


def test_a_part_holds_the_tokens_that_cover_its_characters():
    scores = TokenScores(torch.arange(4.0), torch.arange(4), [(0, 3), (3, 5), (5, 8), (8, 9)])
    assert scores.part(slice(3, 8)).ranks.tolist() == [1, 2]
    assert scores.part(slice(4, 6)).ranks.tolist() == [1, 2]
