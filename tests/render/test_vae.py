from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from acestep_core import devices
from acestep_core.errors import AudioError, Cancelled, OutOfMemory
from acestep_core.models.manager import manager
from acestep_core.monitor import Monitor
from acestep_core.render import vae as tiling
from acestep_core.render.stages import decode_latents, encode_audio
from tests.pretended_mps import pretended_mps


@pytest.fixture
def vae(tiny_models):
    torch.manual_seed(0)  # tolerances are near what rounding does
    with manager.resident(tiny_models.vae) as module:
        yield module


@torch.inference_mode()
def test_tiled_decode_equals_one_pass(vae):
    latents = torch.randn(2, 150, 64)
    whole = tiling.decode(vae, latents, tile=1000)
    for tile in (32, 50, 64):
        assert_close(tiling.decode(vae, latents, tile=tile), whole, atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_overlap_is_enough_and_not_more_than_needed(vae, monkeypatch):
    """In double precision nine frames are exact to the last digits and seven are not."""
    assert vae.config.reach == 9
    double = vae.double()
    try:
        latents = torch.randn(1, 80, 64, dtype=torch.float64)
        whole = double.decode(latents.transpose(1, 2))
        errors = {}
        for overlap in (7, 9):
            parts = [
                double.decode(latents[:, start:stop].transpose(1, 2))[..., (a - start) * 1920 : (b - start) * 1920]
                for start, stop, a, b in tiling.tiles(80, 40, overlap)
            ]
            errors[overlap] = (torch.cat(parts, -1) - whole).abs().max().item() / whole.abs().max().item()
        assert errors[9] < 1e-13
        assert errors[7] > errors[9]
    finally:
        vae.float()


@torch.inference_mode()
def test_tiled_encode_equals_one_pass(vae):
    audio = torch.randn(1, 2, 1920 * 90 + 700)
    assert_close(tiling.encode(vae, audio, tile=32), tiling.encode(vae, audio, tile=500), atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_seeded_encode_is_a_draw_around_the_mean(vae):
    audio = torch.randn(1, 2, 1920 * 40) * 0.1
    mean = tiling.encode(vae, audio, tile=16)
    draws = [tiling.encode(vae, audio, tile=t, generator=torch.Generator().manual_seed(7)) for t in (16, 500)]
    assert_close(draws[0], draws[1], atol=1e-6, rtol=1e-5)
    assert not torch.equal(draws[0], mean)


def test_tiles_partition_the_length():
    for length in (1, 31, 32, 33, 100):
        plan = tiling.tiles(length, 32, 9)
        assert [a for _, _, a, _ in plan] == list(range(0, length, 32))
        assert plan[-1][3] == length
        assert all(0 <= start <= a < b <= stop <= length for start, stop, a, b in plan)


@torch.inference_mode()
def test_too_short_audio_is_refused(vae):
    with pytest.raises(AudioError, match="40 ms"):
        tiling.encode(vae, torch.zeros(1, 2, 1919))


@pytest.mark.processor
def test_tiles_shrink_with_the_free_memory_and_too_little_is_refused(vae, tiny_models, monkeypatch):
    monkeypatch.setattr(devices, "free_memory", lambda device: 2 * tiling.encoding(vae, 64))
    assert tiling.pick_tile(vae) == 64
    monkeypatch.setattr(devices, "free_memory", lambda device: 1 << 20)
    assert tiling.pick_tile(vae) == tiling.SMALLEST_TILE
    assert tiling.pick_tile(vae, 20) == 20
    with pytest.raises(OutOfMemory, match="1 MiB free"):
        decode_latents(tiny_models.vae, torch.randn(1, 200, 64))
    with pytest.raises(OutOfMemory, match="1 MiB free"):
        encode_audio(tiny_models.vae, torch.zeros(1, 2, 200 * 1920))


@pytest.mark.processor
@torch.inference_mode()
def test_cancel_stops_between_tiles(vae):
    ticks = []
    monitor = Monitor(lambda stage, done, total, preview: ticks.append((stage, done, total)), lambda: len(ticks) >= 2)
    with pytest.raises(Cancelled):
        tiling.decode(vae, torch.randn(1, 200, 64), tile=32, monitor=monitor)
    assert ticks == [("decode", 1, 7), ("decode", 2, 7)]


@torch.inference_mode()
def test_memory_does_not_grow_with_the_song(vae):
    """Peak of tensors alive while decoding, beyond the output, is the same for a short and a long song."""
    peaks = {}
    for frames in (300, 3000):
        with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            audio = tiling.decode(vae, torch.randn(1, frames, 64), tile=64)
        alive, peak = 0, 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                alive += event.nbytes()
                peak = max(peak, alive)
        peaks[frames] = peak - audio.nbytes
    assert peaks[3000] < 1.5 * peaks[300]


@torch.inference_mode()
def test_no_convolution_is_longer_than_the_device_can_do(vae, monkeypatch):
    """Apple's GPUs before macOS 15.1 refuse an output of more than 65,536 positions, whoever chose the tile."""
    latents, audio = torch.randn(1, 70, 64), torch.randn(1, 2, 1920 * 70 + 700)
    wholes = tiling.decode(vae, latents, tile=1000), tiling.encode(vae, audio, tile=1000)
    with pretended_mps(devices.MPS_BEFORE_15_1) as seen:
        tiled = tiling.decode(vae, latents, tile=1000), tiling.encode(vae, audio, tile=1000)
        assert tiling.pick_tile(vae) == 15
    assert "conv1d" in seen.seen
    for one, other in zip(tiled, wholes, strict=True):
        assert_close(one, other, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_vae_that_reaches_far_convolves_in_parts(vae):
    """That of the toy hears reverberation: no tile of it is short enough for Apple's GPUs before macOS 15.1."""
    draws = torch.Generator().manual_seed(0)
    latents, audio = torch.randn(1, 60, 64, generator=draws), torch.randn(1, 2, 1920 * 60 + 700, generator=draws)
    wholes = tiling.decode(vae, latents), tiling.encode(vae, audio)
    with pretended_mps(replace(devices.MPS, convolution=10_000)) as seen:
        parts = tiling.decode(vae, latents), tiling.encode(vae, audio)
        assert tiling.pick_tile(vae) == tiling.SMALLEST_TILE
    assert "conv1d" in seen.seen
    for one, other in zip(parts, wholes, strict=True):
        assert_close(one, other, atol=2e-6 * float(other.abs().max()), rtol=0)
