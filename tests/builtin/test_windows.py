"""What codes say: songs can be written in them and read again."""

import random

import torch

from acestep_core.builtin.rolls import CHANNELS, FIRST_DRUM, STRIKE, compose, draw_score
from acestep_core.builtin.windows import (
    BASIS,
    EMPTY,
    LEVELS,
    Harmony,
    code_of,
    digits,
    harmonies,
    sounded,
    spelled,
    triad,
)
from acestep_core.vocabulary import CODEBOOK_SIZE


def test_a_code_is_six_digits() -> None:
    codes = torch.tensor([0, 12345, CODEBOOK_SIZE - 1])
    parts = digits(codes)
    assert torch.equal((parts * torch.tensor(BASIS)).sum(1), codes)
    assert parts[2].tolist() == [level - 1 for level in LEVELS]


def test_songs_are_written_and_read_again() -> None:
    rng = random.Random(0)
    wrong = total = 0
    for _ in range(24):
        song = compose(draw_score(rng), 300, rng)
        song[:, CHANNELS - 1] = 0  # crashes are not said
        again = sounded(spelled(song))
        wrong += int((song != again).sum())
        total += int((song > 0).sum())
        assert torch.equal(spelled(again), spelled(song))
    assert wrong < 0.01 * total


def test_nothing_is_one_code_and_the_frame_is_kept() -> None:
    assert spelled(torch.zeros(10, CHANNELS)).tolist() == [EMPTY, EMPTY]
    for frame in range(5):
        roll = torch.zeros(5, CHANNELS)
        roll[frame, FIRST_DRUM] = STRIKE
        code = spelled(roll)
        assert digits(code)[0, 5] == frame
        assert torch.equal(sounded(code), roll)


def test_chords_follow_in_thirds_and_share_two_notes() -> None:
    assert triad(2) == (0, 4, 7)
    assert triad(1) == (9, 0, 4)
    for number in range(24):
        assert len({*triad(number)} & {*triad((number + 1) % 24)}) == 2


def test_what_no_code_says_is_said_by_the_nearest() -> None:
    chord = sorted(Harmony("chord", 2).channels)
    roll = torch.zeros(5, CHANNELS)
    roll[1, [*chord[:2], FIRST_DRUM + 1]] = STRIKE  # two notes of a triad, a snare alone
    body = int(spelled(roll)) % (BASIS[2] * LEVELS[2])
    assert harmonies()[body][0].channels >= {*chord[:2]}


def test_a_melody_is_one_of_twenty_four_notes() -> None:
    body = next(n for n, (harmony, _) in enumerate(harmonies()) if harmony.kind == "bass")
    struck = sounded(torch.tensor([code_of(body, melody, 0) for melody in range(25)])).unflatten(0, (25, 5))
    assert [int((window[0, 36:60] > 0).sum()) for window in struck] == [0] + [1] * 24
