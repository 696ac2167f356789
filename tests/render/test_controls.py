"""The later controls: morph, retake, wavelet correction, latent shift, references. Off by default, exactly so."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from acestep_core import generate
from acestep_core.errors import InvalidInput
from acestep_core.options import RenderSettings
from acestep_core.pipeline.editing import morph


@pytest.fixture(scope="module")
def recording():
    torch.manual_seed(3)
    time = torch.arange(48000 * 10) / 48000
    return torch.stack([torch.sin(time * 1400), torch.sin(time * 1900)]) * 0.3, 48000


def make(models, **settings):
    return generate("a calm piano", duration=10, seed=3, models=models, settings=RenderSettings.of(**settings))


def test_defaults_change_nothing(tiny_models):
    plain = make(tiny_models)
    for off in (
        {"retake_seed": 9, "retake_variance": 0.0},
        {"wavelet": "double", "wavelet_low": 0.0, "wavelet_high": 0.0},
        {"latent_shift": 0.0, "latent_rescale": 1.0},
    ):
        assert torch.equal(make(tiny_models, **off).audio, plain.audio)


def test_retake_goes_from_one_seed_to_another(tiny_models):
    first = make(tiny_models)
    other = generate("a calm piano", duration=10, seed=90, models=tiny_models)
    assert_close(make(tiny_models, retake_seed=90, retake_variance=1.0).latents, other.latents, atol=1e-4, rtol=1e-3)
    distance = [
        float((make(tiny_models, retake_seed=90, retake_variance=v).latents - first.latents).norm())
        for v in (0.1, 0.4, 0.8)
    ]
    assert 0 < distance[0] < distance[1] < distance[2]


def test_wavelet_correction_is_heard(tiny_models):
    assert not torch.allclose(make(tiny_models, wavelet="double").latents, make(tiny_models).latents)


def test_latent_shift_is_heard(tiny_models):
    plain, moved = make(tiny_models), make(tiny_models, latent_shift=0.1, latent_rescale=0.9)
    assert torch.equal(plain.latents, moved.latents)
    assert not torch.allclose(plain.audio, moved.audio)


def test_a_morph_to_itself_is_the_recording(tiny_base, recording):
    """The same description on both sides: both velocities are equal, so nothing moves."""
    from acestep_core.io.recordings import load_source
    from acestep_core.render.stages import encode_audio

    settings = RenderSettings.of(steps=6, guidance=1.0)
    same = morph(recording, "a calm piano", "a calm piano", models=tiny_base, seed=1, settings=settings)
    latents = encode_audio(tiny_base.vae, load_source(recording)[None])
    assert_close(same.latents, latents, atol=1e-4, rtol=1e-3)
    other = morph(recording, "a calm piano", "loud metal", models=tiny_base, seed=1, settings=settings)
    assert not torch.allclose(other.latents, latents, atol=1e-2)
    assert other.audio.shape == (1, 2, 480000)


def test_a_morph_is_seeded_per_item(tiny_base, recording):
    settings = RenderSettings.of(steps=4)
    both = morph(recording, "piano", "metal", models=tiny_base, seed=5, batch=2, settings=settings)
    alone = morph(recording, "piano", "metal", models=tiny_base, seed=6, settings=settings)
    assert_close(both.latents[1:], alone.latents, atol=5e-4, rtol=1e-3)


def test_a_morph_has_no_variation(tiny_base, recording):
    settings = RenderSettings.of(steps=2, retake_seed=1, retake_variance=0.5)
    with pytest.raises(InvalidInput, match="variation"):
        morph(recording, "piano", "metal", models=tiny_base, seed=5, settings=settings)


def test_a_reference_changes_the_song_and_is_seeded(tiny_models, recording):
    def with_reference(seed):
        return generate(
            "piano", duration=10, seed=3, models=tiny_models, references=[recording], reference_seed=seed
        ).latents

    long = torch.randn(2, 48000 * 40).cumsum(-1).mul(0.001).clamp(-1, 1), 48000
    assert torch.equal(with_reference(1), with_reference(1))
    assert not torch.allclose(with_reference(1), generate("piano", duration=10, seed=3, models=tiny_models).latents)
    seeds = [
        generate("piano", duration=10, seed=3, models=tiny_models, references=[long], reference_seed=s).latents
        for s in (1, 2)
    ]
    assert not torch.equal(*seeds)


@pytest.mark.parametrize("bad", [{"retake_variance": 1.5}, {"retake_variance": -0.1}])
def test_bad_values_are_refused(tiny_models, bad):
    with pytest.raises(InvalidInput):
        make(tiny_models, **bad)
