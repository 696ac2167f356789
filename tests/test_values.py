"""Numbers and switches as people and spreadsheets write them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from acestep_core.values import counted, is_unset, lasting, number, real, truth, whole


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (7, 7), (7.5, 7.5), ("7", 7), (" 7.0 ", 7.0), ("7,5", 7.5), ("７", 7), ("−1", -1), ("1e3", 1000.0), (".5", 0.5),
        (str(2**64 - 1), 2**64 - 1), (np.int64(3), 3), (np.float32(0.5), 0.5), (Fraction(1, 2), 0.5),
        ("1,000", None), ("1.000,5", None), ("1_000", None), ("nan", None), (float("inf"), None), ("1e999", None),
        ("", None), ("seven", None), (True, None), (None, None), ([7], None), (b"7", None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_numbers(value: Any, wanted: float | None) -> None:
    found = number(value)
    assert found == wanted and type(found) is type(wanted)


def test_whole_numbers_and_times() -> None:
    assert [whole(value) for value in ("1.0", 1.0, "1.5", 1.5, "3:20")] == [1, 1, None, None, None]
    assert [whole(value) for value in ("92 bpm", "92BPM", "92.5 bpm", "bpm")] == [92, 92, None, None]
    assert [real(value) for value in ("3:20", "0:01:05.5", 7)] == [200.0, 65.5, 7.0]
    assert [real(value) for value in ("3:2", "x", 10**400)] == [None] * 3


def test_how_long_something_takes() -> None:
    told = {0.4: "0 s", 59.4: "59 s", 60: "1 min", 5340: "89 min", 5399: "1 h 30 min", 15_900: "4 h 25 min"}
    assert {seconds: lasting(seconds) for seconds in told} == told


def test_switches() -> None:
    assert [truth(value) for value in (True, "TRUE", "Wahr", 1, "1")] == [True] * 5
    assert [truth(value) for value in (False, "no", "FALSCH", 0, "0")] == [False] * 5
    assert [truth(value) for value in ("", "maybe", 2, 0.5, None, [], "nan")] == [None] * 7


def test_what_leaves_a_choice_open() -> None:
    assert all(is_unset(value) for value in (None, 0, -1, -1.0, "", "Auto", "N/A", "−1", "0.0"))
    assert not any(is_unset(value) for value in (False, 1, "C", [], float("nan")))


def test_one_is_no_plural() -> None:
    assert [counted(n, "song") for n in (0, 1, 2)] == ["0 songs", "1 song", "2 songs"]
