"""The composer of the built-in model keeps to the score it is given."""

import random

import pytest
import torch

from acestep_core.builtin.clock import BAR_LEVELS, HEIGHT, angle, clock
from acestep_core.builtin.rolls import (
    BARS,
    FIGURES,
    FIRST_DRUM,
    FIRST_LEAD,
    PHRASE,
    PLACES,
    STYLES,
    Score,
    compose,
    onset,
    tempo_class,
)


def test_tempo_classes_are_within_two_percent() -> None:
    for bpm in range(60, 161):
        assert abs(BARS[tempo_class(bpm)] * bpm / 6000 - 1) < 0.016
    assert tempo_class(200) == tempo_class(100)
    assert tempo_class(35) == tempo_class(70)


@pytest.mark.parametrize("style", STYLES)
def test_a_song_is_in_its_key_and_on_its_beat(style: str) -> None:
    rng = random.Random(style)
    for drums, lead in ((True, True), (False, False)):
        score = Score(rng.randrange(len(BARS)), rng.randrange(12), rng.choice(("major", "minor")), style, drums, lead)
        frames, channels = compose(score, 300, rng).nonzero().unbind(1)
        notes = channels[channels < FIRST_DRUM]
        assert {int(note) % 12 for note in notes} <= score.scale  # every part begins with a C
        grid = {onset(n, score.bar) for n in range(PLACES * (int(300 / score.bar) + 1))}
        assert set(frames.tolist()) <= grid
        assert bool((channels >= FIRST_DRUM).any()) == (drums and bool(STYLES[style].hat))
        assert bool(((channels >= FIRST_LEAD) & (channels < FIRST_DRUM)).any()) == lead


def test_the_clock_says_which_eighth_is_struck_and_in_which_frame() -> None:
    tracks = clock(1700)
    for channel in (0, 13, 31):
        points = torch.view_as_complex(tracks[:, channel].reshape(-1, 2).contiguous())
        for n in range(2 * PLACES):
            patch, frame = divmod(onset(n, BARS[channel]), 2)
            wanted = torch.polar(torch.tensor(HEIGHT), torch.tensor(angle(n % PLACES, frame)))
            assert torch.isclose(points[patch], wanted, atol=1e-6)
        assert int((points != 0).sum()) == sum(onset(n, BARS[channel]) < 1700 for n in range(8 * 60))


def test_the_clock_says_which_bar_of_a_phrase_it_is() -> None:
    tracks = clock(1700)[:, len(BARS) :]
    for channel in (0, 13, 31):
        bars = tracks[::2, channel]
        for n in range(5 * PLACES):
            assert bars[onset(n, BARS[channel]) // 2] == HEIGHT * BAR_LEVELS[n // PLACES % PHRASE]
        assert int((bars != 0).sum()) == sum(onset(n, BARS[channel]) < 1700 for n in range(8 * 60))
    assert (tracks[1::2] == 0).all()


def test_a_melody_plays_its_figures_over_the_chords() -> None:
    assert all(figure[place] % 7 in (0, 2, 4) for figure in FIGURES for place in (0, 4))
    score = Score(9, 0, "major", "pop", False, True)
    song = compose(score, 410, random.Random(4))[:, FIRST_LEAD:FIRST_DRUM]
    bars = song[[onset(n, score.bar) for n in range(8 * PLACES)]].unflatten(0, (8, PLACES))
    rhythms = bars.any(2)
    assert rhythms[0].equal(rhythms[1])
    assert rhythms[0].equal(rhythms[3])
    assert bars[:PHRASE].equal(bars[PHRASE:])
