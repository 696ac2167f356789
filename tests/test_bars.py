"""Bars as people write them, and when they are played."""

import pytest

from acestep_core.bars import Meter, check_length, check_region, length_in_bars, region_in_bars
from acestep_core.errors import InvalidInput
from acestep_core.options import AddTrack, Extend, Repaint

AT_120 = Meter(120)
"""A bar of four beats lasts two seconds."""


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("bars 9-12", 16, 24),
        ("Bars 9\u201312", 16, 24),
        ("bar 9", 16, 18),
        ("9", 16, 18),
        ("measures 9 to 12", 16, 24),
        ("bar 9 to bar 12", 16, 24),
        ("\uff19-\uff11\uff12", 16, 24),
        ("9\ub9c8\ub514-12\ub9c8\ub514", 16, 24),
        ("\u7b2c9-12\u5c0f\u8282", 16, 24),
        ("from bar 9", 16, None),
        ("bar 9-", 16, None),
        ("9.3-12.1", 17, 22.5),
        ("bar 9.3", 17, 17.5),
        ("9.3-10", 17, 20),
        ("bars 9-12 at 60 bpm", 32, 48),
        ("bars 9-12 @ 60bpm", 32, 48),
        ("bar 2, 60 bpm, 3/4", 3, 6),
        ("bar 2 in 3/4", 1.5, 3),
        ("bar 2 in 6/8", 3, 6),
        ("bar 3 at 97.5 bpm", 2 * 240 / 97.5, 3 * 240 / 97.5),
    ],
)
def test_a_region(text: str, start: float, end: float | None) -> None:
    assert region_in_bars(text, AT_120) == (pytest.approx(start), None if end is None else pytest.approx(end))
    check_region(text)


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("8 bars", 0, 16),
        ("+ 8", 0, 16),
        ("4 before, 8 after", 8, 16),
        ("4 bars before and 8 bars after", 8, 16),
        ("0.5 bars before", 1, 0),
        ("2 bars at 60 bpm in 3/4", 0, 6),
    ],
)
def test_what_is_added(text: str, before: float, after: float) -> None:
    assert length_in_bars(text, AT_120) == (before, after)
    check_length(text)


@pytest.mark.parametrize("text", ["chorus", "9 12", "9-12-14", "from 9-12", "-3", "at 92 bpm", "9.-10"])
def test_what_is_no_region(text: str) -> None:
    with pytest.raises(InvalidInput, match="Write bars as"):
        check_region(text)


@pytest.mark.parametrize("text", ["a few", "8, 8", "4 before, 2 before", "8 beside"])
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(InvalidInput, match="Write how many bars"):
        check_length(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [("12-9", "ends before it starts"), ("0-4", "count from 1"), ("9.5", "has 4 beats"), ("9 at 900 bpm", "30 to 300")],
)
def test_what_does_not_fit(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        region_in_bars(text, AT_120)


def test_without_a_tempo_the_cure_is_said() -> None:
    for read in (region_in_bars, length_in_bars):
        with pytest.raises(InvalidInput, match=r"tempo is not known.*at 92 bpm"):
            read("4", None)


def test_a_song_says_its_meter() -> None:
    assert Meter.of(90, "3") == Meter(90, 3)
    assert Meter.of(90) == Meter(90, 4)
    assert Meter.of(None, "3") is None


def test_options_in_seconds_are_whole() -> None:
    """What a record holds then makes the song again without a tempo."""
    assert Repaint(bars="bars 2-3", mode="aggressive").in_seconds(AT_120) == Repaint(2.0, 6.0, "aggressive")
    assert AddTrack("bass", 1.0, 2.0, bars="from 2").in_seconds(AT_120) == AddTrack("bass", 2.0, None)
    assert Extend(9.0, bars="1 before").in_seconds(AT_120) == Extend(0.0, 2.0)
    assert Repaint(1.0, 2.0).in_seconds(None) == Repaint(1.0, 2.0)
    with pytest.raises(InvalidInput, match="Write bars as"):
        Repaint(bars="chorus")


def test_bars_stand_for_a_start_and_for_nothing_else() -> None:
    assert (Repaint.lacks({}), Repaint.lacks({"bars": "9"}), Repaint.lacks({"start": 0.0})) == ("start", "", "")
    assert AddTrack.lacks({"bars": "9"}) == "track"
