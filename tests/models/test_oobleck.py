from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from acestep_core.models.oobleck import OobleckConfig, OobleckVAE, fold_weight_norm
from acestep_core.models.silence import encode_silence

SMALL = {"encoder_hidden_size": 128, "decoder_channels": 4, "downsampling_ratios": [2, 4, 4, 6, 10]}


@pytest.fixture(scope="module")
def pair():
    """The same random weights in diffusers' class and in ours."""
    from diffusers import AutoencoderOobleck

    torch.manual_seed(0)
    theirs = AutoencoderOobleck(
        **SMALL, channel_multiples=[1, 1, 1, 1, 1], decoder_input_channels=64, sampling_rate=48000
    ).eval()
    for parameter in theirs.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    ours = OobleckVAE(OobleckConfig.from_json({**SMALL, "channel_multiples": [1, 1, 1, 1, 1]})).eval()
    ours.load_state_dict(fold_weight_norm(theirs.state_dict()), strict=True)
    return theirs.requires_grad_(False), ours.requires_grad_(False)


def test_decode_equals_diffusers(pair):
    theirs, ours = pair
    latents = torch.randn(2, 64, 11)
    assert_close(ours.decode(latents), theirs.decode(latents).sample, atol=1e-5, rtol=1e-4)


def test_encode_equals_diffusers(pair):
    theirs, ours = pair
    audio = torch.randn(1, 2, 1920 * 7 + 500)
    posterior = theirs.encode(audio).latent_dist
    mean, std = ours.posterior(audio)
    assert_close(mean, posterior.mean, atol=1e-5, rtol=1e-4)
    assert_close(std, posterior.std, atol=1e-5, rtol=1e-4)
    assert mean.shape[-1] == 7


def test_silence_latent_is_steady_after_its_head(pair):
    _, ours = pair
    silence = encode_silence(ours, 100)
    assert silence.shape == (1, 100, 64)
    long = ours.encode(torch.zeros(1, 2, 1920 * 100)).transpose(1, 2)
    # but for the last frames, which see the end of the waveform
    assert_close(silence[:, :80], long[:, :80], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "ratios, multiples, reach",
    [
        ((2, 4, 4, 6, 10), (1, 2, 4, 8, 16), 9),
        ((960, 2), (3, 2), 24),
        ((2, 3, 4), (1, 2, 1), None),
        ((8, 8), (2, 1), None),
    ],
)
def test_reach_is_as_far_as_a_frame_has_an_influence_and_no_further(ratios, multiples, reach):
    """Measured with gradients, which are not zero where a number has an influence."""
    torch.manual_seed(0)
    config = OobleckConfig(2, ratios, multiples, 2, 3)
    assert reach is None or config.reach == reach
    vae = OobleckVAE(config).double()
    frames = 4 * config.reach + 1
    middle = frames // 2
    latents = torch.randn(1, 3, frames, dtype=torch.float64, requires_grad=True)
    vae.decode(latents)[..., middle * config.hop : (middle + 1) * config.hop].sum().backward()
    audio = torch.randn(1, 2, frames * config.hop, dtype=torch.float64, requires_grad=True)
    vae.encode(audio)[..., middle].sum().backward()
    heard = [latents.grad[0].abs().sum(0), audio.grad[0].abs().sum(0).view(frames, -1).sum(1)]
    distances = [(grad.nonzero()[:, 0] - middle).abs().max().item() for grad in heard]
    assert max(distances) == config.reach
