import os
from pathlib import Path

import pytest
import torch

from acestep_core.errors import AudioError
from acestep_core.io import peaks
from acestep_core.io.audio import write_audio
from acestep_core.io.peaks import MOST, peaks_of

RATE = 48_000


def saved(path: Path, wave: torch.Tensor, rate: int = RATE) -> Path:
    write_audio(path, wave, rate, "wav32")
    return path


def test_an_outline_follows_the_sound(tmp_path: Path) -> None:
    wave = torch.zeros(2, 10 * RATE)
    wave[1, 4 * RATE : 6 * RATE] = 0.5
    wave[0, -1] = -1.0
    found = peaks_of(saved(tmp_path / "a.wav", wave))
    assert found.seconds == 10.0 and found.peak_db == 0.0
    assert len(found.levels) == 1000, "hundredths of a second"
    assert found.levels[:400] == (0,) * 400 and found.levels[400:600] == (128,) * 200
    assert found.levels[600:-1] == (0,) * 399 and found.levels[-1] == 255


def test_a_long_song_stays_small(tmp_path: Path) -> None:
    found = peaks_of(saved(tmp_path / "a.wav", torch.full((1, 100 * 8000), 0.25), 8000))
    assert len(found.levels) == MOST and set(found.levels) == {64}
    assert len(str(found.to_dict())) < 10_000


def test_loudness_is_that_of_what_sounds(tmp_path: Path) -> None:
    """Half as loud is 6 dB less; silence before and after does not count."""
    tone = torch.sin(torch.arange(4 * RATE) / 20).expand(2, -1)
    loud = peaks_of(saved(tmp_path / "a.wav", tone))
    soft = peaks_of(saved(tmp_path / "b.wav", torch.nn.functional.pad(tone * 0.5, (2 * RATE, 8 * RATE))))
    assert loud.loudness_db == pytest.approx(-3.01, abs=0.02)
    assert loud.loudness_db - soft.loudness_db == pytest.approx(6.02, abs=0.1)


@pytest.mark.parametrize("samples", [1, 479, 480, 481])
def test_the_shortest_and_the_silent(tmp_path: Path, samples: int) -> None:
    found = peaks_of(saved(tmp_path / "a.wav", torch.zeros(1, samples)))
    assert set(found.levels) == {0} and found.peak_db == found.loudness_db == -120.0


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.wav", torch.full((1, RATE), 0.5))
    first = peaks_of(path)
    monkeypatch.setattr(peaks, "opened", None)
    assert peaks_of(path) is first
    monkeypatch.undo()
    saved(path, torch.full((1, 2 * RATE), 0.25))
    os.utime(path, ns=(1, 1))
    assert peaks_of(path).seconds == 2.0


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="There is no audio file"):
        peaks_of(tmp_path / "gone.flac")
    (tmp_path / "text.flac").write_text("no sound")
    with pytest.raises(AudioError):
        peaks_of(tmp_path / "text.flac")
