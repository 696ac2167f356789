from __future__ import annotations

import sys

import numpy as np
import pytest
import soxr

from acestep_core.io import rates
from acestep_core.io.rates import by_sinc, resampled
from acestep_core.io.recordings import load_recording

SECOND = 48_000


def tone(rate: int, hertz: float = 997.0, seconds: float = 1.0) -> np.ndarray:
    line = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    return np.stack([line, -0.25 * line], 1).astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 44_099, 96_000, 192_000])
def test_without_soxr_a_tone_is_the_same_tone(rate: int) -> None:
    found = by_sinc(tone(rate), rate, SECOND)
    assert found.shape == (SECOND, 2) and found.dtype == np.float32
    inside = slice(SECOND // 10, -SECOND // 10)
    assert np.abs(found - tone(SECOND))[inside].max() < 2e-6
    assert np.abs(found - soxr.resample(tone(rate), rate, SECOND, quality="HQ")[:SECOND])[inside].max() < 1e-4


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    above = by_sinc(tone(96_000, 30_000.0), 96_000, SECOND)
    assert np.abs(above[SECOND // 10 : -SECOND // 10]).max() < 1e-5


@pytest.mark.parametrize("absent", [False, True])
def test_the_cut_into_blocks_is_not_heard(absent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "has_soxr", lambda: not absent)
    whole = tone(44_100)
    at_once = np.concatenate(list(resampled([whole], 44_100, SECOND, 2)))
    in_parts = np.concatenate(list(resampled(np.split(whole, [1, 700, 30_000]), 44_100, SECOND, 2)))
    assert np.array_equal(at_once, in_parts)


def test_nobody_needs_soxr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)  # as if it were not installed
    assert not rates.has_soxr()
    (found,) = resampled([tone(44_100)], 44_100, SECOND, 2)
    assert np.array_equal(found, by_sinc(tone(44_100), 44_100, SECOND))


def test_a_recording_says_that_soxr_was_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    source = (tone(44_100).T, 44_100)
    assert load_recording(source).conversion.endswith("converted to 48000 Hz stereo.")
    monkeypatch.setattr("acestep_core.io.recordings.has_soxr", lambda: False)
    assert "without soxr" in load_recording(source).conversion
