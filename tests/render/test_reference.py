from __future__ import annotations

import pytest
import torch

from acestep_core.errors import AudioError
from acestep_core.render.reference import REFERENCE_SAMPLES, SEGMENT, reference_clip
from acestep_core.vocabulary import HOP, SAMPLE_RATE


def clip(seconds):
    ramp = torch.arange(int(seconds * SAMPLE_RATE)).float() + 1
    return torch.stack([ramp, -ramp])


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seconds", [1.0, 7.3, 20.0, 30.0, 61.3])
def test_always_thirty_seconds(seconds):
    assert reference_clip(clip(seconds), generator(1)).shape == (2, REFERENCE_SAMPLES)


def test_each_third_gives_a_whole_stretch():
    waveform = clip(61.3)
    third = waveform.shape[-1] // 3
    parts = reference_clip(waveform, generator(1))[0].split(SEGMENT)
    for i, part in enumerate(parts):
        assert (part.diff() == 1).all()
        assert i * third - HOP < part[0] - 1 < (i + 1) * third + 3
        assert (part[0] - 1) % HOP == 0


def test_the_seed_decides():
    waveform = clip(61.3)
    assert torch.equal(reference_clip(waveform, generator(1)), reference_clip(waveform, generator(1)))
    assert not torch.equal(reference_clip(waveform, generator(1)), reference_clip(waveform, generator(2)))


def test_what_cannot_be_heard_is_refused():
    with pytest.raises(AudioError, match="1 s"):
        reference_clip(clip(0.9), generator(1))
    with pytest.raises(AudioError, match="silent"):
        reference_clip(torch.zeros(2, SAMPLE_RATE * 3), generator(1))
