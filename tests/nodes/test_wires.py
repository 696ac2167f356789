"""Sound from other nodes: the same conversion as for files, and what a user should know of it."""

from __future__ import annotations

import pytest
import torch

from acestep_core.errors import AudioError, InvalidInput
from acestep_core.io.recordings import load_source
from nodes import wires

RATE = 48_000


def test_audio_is_converted_like_a_file() -> None:
    centre = torch.zeros(2, 6, RATE)
    centre[:, 2] = torch.sin(torch.arange(RATE) / 30) * 0.4
    waveforms, remark = wires.from_audio({"waveform": centre, "sample_rate": RATE})
    assert waveforms.shape == (2, 2, RATE)
    assert torch.equal(waveforms[0], load_source((centre[0], RATE)))
    assert remark == "Recording 1 (48000 Hz, 6 channels) was converted to 48000 Hz stereo."


def test_what_is_wrong_is_said_for_each_item() -> None:
    audio = {"waveform": torch.stack([torch.zeros(2, 100), torch.full((2, 100), 2.0)]), "sample_rate": RATE}
    assert wires.from_audio(audio)[1] == (
        "Recording 1 is silent; choose another if need be. "
        "Recording 2 is too loud and would clip, so it was turned down by 6.0 dB."
    )


def test_what_is_no_audio_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidInput, match="connect a node"):
        wires.from_audio(None)
    with pytest.raises(AudioError, match="a waveform and a sample_rate"):
        wires.from_audio({"samples": torch.zeros(1, 64, 10)})
    with pytest.raises(AudioError, match="not numbers"):
        wires.from_audio({"waveform": torch.full((1, 2, 100), float("nan")), "sample_rate": RATE})
