"""The judges of the built-in model agree with the composer, and tell wrong songs from right ones."""

import random
from dataclasses import replace

import pytest
import torch

from acestep_core.builtin.measure import (
    heard_keys,
    heard_tempo,
    mean,
    nearest_style,
    overlap,
    read_roll,
    same_tempo,
)
from acestep_core.builtin.rolls import STRIKE, STYLE_NAMES, Score, compose
from acestep_core.models.oobleck import OobleckVAE

SCORES = [Score(4 * n, 5 * n % 12, ("major", "minor")[n % 2], style, True, True) for n, style in enumerate(STYLE_NAMES)]


@pytest.mark.parametrize("score", SCORES, ids=STYLE_NAMES)
def test_a_composed_song_is_all_right_by_its_roll(score: Score) -> None:
    song = compose(score, 400, random.Random(0))
    roll = read_roll(song, score)
    assert roll.in_key == roll.on_grid == roll.triads == 1
    assert roll.lead > 0.5
    assert nearest_style(song, score) == score.style


def test_a_song_of_another_score_is_not() -> None:
    score = SCORES[1]
    song = compose(score, 400, random.Random(0))
    assert read_roll(song, replace(score, tonic=(score.tonic + 1) % 12)).in_key < 0.6
    assert read_roll(song, replace(score, tempo=score.tempo + 4)).on_grid < 0.5
    wrong = song.clone()
    wrong[:, 13::4] = STRIKE
    assert read_roll(wrong, score).triads == 0
    assert overlap(song, song) == 1
    assert overlap(song, compose(replace(score, tonic=(score.tonic + 6) % 12), 400, random.Random(1))) < 0.7


@torch.inference_mode()
@pytest.mark.parametrize("score", [SCORES[0], SCORES[7]], ids=["pop", "classical"])
def test_key_and_tempo_are_heard(vae: OobleckVAE, score: Score) -> None:
    audio = vae.decode(compose(score, 500, random.Random(3)).T[None])[0]
    assert heard_keys(audio)[0] == (score.tonic, score.mode)
    assert same_tempo(heard_tempo(audio), score.bpm)
    assert not same_tempo(score.bpm * 1.03, score.bpm)


@torch.inference_mode()
@pytest.mark.parametrize(
    "score",
    [Score(4, 0, "major", "funk", False, True), Score(4, 10, "minor", "jazz", False, False)],
    ids=["funk", "jazz"],
)
def test_off_beats_are_not_taken_for_beats(vae: OobleckVAE, score: Score) -> None:
    audio = vae.decode(compose(score, 500, random.Random(1)).T[None])[0]
    assert same_tempo(heard_tempo(audio), score.bpm)


def test_what_is_no_number_does_not_count() -> None:
    assert mean([1.0, float("nan"), 2.0]) == 1.5
