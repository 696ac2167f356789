"""The constructed codec: exact in pitch and time, and its encoder reads back what its decoder plays."""

import math
import random

import pytest
import torch

from acestep_core.builtin import codec
from acestep_core.builtin.clock import clock
from acestep_core.builtin.rolls import (
    CHANNELS,
    CHORD,
    DRUMS,
    FIRST_BASS,
    FIRST_CHORD,
    FIRST_DRUM,
    FIRST_LEAD,
    STRIKE,
    Score,
    compose,
)
from acestep_core.builtin.sounds import HOP, RATE, frequency
from acestep_core.checkpoints import shapes
from acestep_core.models.oobleck import OobleckConfig, OobleckVAE, fold_weight_norm
from acestep_core.render.vae import decode, encode

AT = 5


def struck(*channels: int, frames: int = 24) -> torch.Tensor:
    """A roll `[len(channels), 64, frames]` in which each row strikes one channel at frame `AT`."""
    roll = torch.zeros(len(channels), CHANNELS, frames)
    roll[range(len(channels)), list(channels), AT] = STRIKE
    return roll


@torch.inference_mode()
@pytest.mark.parametrize(("channel", "note"), [(FIRST_BASS + 9, 45), (FIRST_CHORD + 1, 49), (FIRST_LEAD + 23, 83)])
def test_a_note_has_its_pitch(vae: OobleckVAE, channel: int, note: int) -> None:
    sound = vae.decode(struck(channel))[0, 0, AT * HOP :][: int(0.6 * RATE)].double()
    spectrum = torch.fft.rfft(sound * torch.hann_window(len(sound), dtype=torch.double), 1 << 19).abs()
    hertz = torch.arange(len(spectrum)) * RATE / (1 << 19)
    wanted = frequency(note)
    near = (hertz > 0.95 * wanted) & (hertz < 1.05 * wanted)
    peak = int((spectrum * near).argmax())
    left, top, right = spectrum[peak - 1 : peak + 2].log().tolist()
    found = hertz[peak] + (left - right) / (2 * (left - 2 * top + right)) * hertz[1]
    assert abs(1200 * math.log2(found / wanted)) < 0.05


@torch.inference_mode()
def test_drums_are_on_time(vae: OobleckVAE) -> None:
    sound = vae.decode(struck(*range(FIRST_DRUM, CHANNELS))).abs().amax(1)
    assert len(sound) == len(DRUMS)
    for wave in sound:
        first = int((wave > 0.1 * wave.max()).nonzero()[0])
        assert 0 <= first - AT * HOP < 0.001 * RATE


@torch.inference_mode()
@pytest.mark.parametrize("style", ["rock", "classical"])
def test_encoding_a_decoded_song_gives_its_roll(vae: OobleckVAE, style: str) -> None:
    roll = compose(Score(3, 2, "minor", style, True, True), 150, random.Random(4)).T[None]
    sound = vae.decode(roll)
    for heard in (sound, (sound * 32767).round() / 32767, 0.85 * sound):
        read = vae.encode(heard)
        assert ((read > STRIKE / 2) == (roll > 0)).all()  # the first and the last frame as well
    assert (vae.encode(sound) - roll).abs().max() < 0.1 * STRIKE


@torch.inference_mode()
def test_strikes_cut_off_by_start_or_end_are_read(vae: OobleckVAE) -> None:
    roll = torch.zeros(1, CHANNELS, 12)
    for frame, channel in ((0, 3), (0, 40), (1, FIRST_DRUM), (11, CHORD[0] - 36), (11, 62), (10, 5)):
        roll[0, channel, frame] = STRIKE
    assert (vae.encode(vae.decode(roll)) - roll).abs().max() < 0.1 * STRIKE


@torch.inference_mode()
def test_silence_stays_silent(vae: OobleckVAE) -> None:
    assert vae.decode(torch.zeros(1, CHANNELS, 20)).abs().max() < 1e-6
    assert vae.encode(torch.zeros(1, 2, 20 * HOP)).abs().max() == 0


@torch.inference_mode()
def test_small_errors_and_the_clock_are_not_heard(vae: OobleckVAE) -> None:
    noise = torch.randn(1, CHANNELS, 40, generator=torch.Generator().manual_seed(0))
    loud = vae.decode(0.25 * STRIKE * noise).pow(2).mean().sqrt()
    assert vae.decode(0.05 * STRIKE * noise).pow(2).mean().sqrt() < loud / 30  # a fifth of it would be linear
    assert vae.decode(clock(100).T[None]).pow(2).mean().sqrt() < 10 ** (-65 / 20)


def test_tiled_is_whole(vae: OobleckVAE) -> None:
    roll = compose(Score(20, 7, "major", "funk", True, True), 120, random.Random(2))[None]
    with torch.inference_mode():
        whole = vae.decode(roll.transpose(1, 2))
        sound = decode(vae, roll, tile=30)
        assert torch.allclose(sound, whole, atol=1e-5)
        assert torch.allclose(encode(vae, sound, tile=30), vae.encode(whole).transpose(1, 2), atol=2e-3)


def test_files_have_the_layouts_tensors_and_give_the_same_weights(vae: OobleckVAE) -> None:
    tensors = codec.weight_normed(vae)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == shapes.vae_shapes(codec.config())
    read = OobleckVAE(OobleckConfig.from_json(codec.config()))
    read.load_state_dict(fold_weight_norm(tensors))
    for name, weight in read.state_dict().items():
        assert torch.allclose(weight, vae.state_dict()[name], atol=1e-5), name
