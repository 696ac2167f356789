"""The VAE of the built-in model: an instrument whose weights are written down, not trained.

Decoder. A strike (`rolls.py`) starts resonators, and a resonator is a pair of channels at 50 Hz that is turned and
shrunk from one frame to the next, z = r exp(2 pi i f / 50): the pitch is exact. The last transposed convolution turns
each pair into sine and cosine under windows that add up to one. The three residual units together are an exact decay
of 36 frames, because

    sum over k < 36 of (zq)^k = (1 + zq + z^2 q^2)(1 + z^3 q^3 + z^6 q^6)(1 + z^9 q^9 + z^18 q^18 + z^27 q^27)

where q is one frame's delay, and the factors' delays are the units' dilations 1, 3 and 9. Drums are waveforms, in
slices of 20 ms, one after the other through the same delays. One Snake is used, as a soft quantiser:
u - sin(2 pi u) / 2 pi is flat at 0, 1 and 2 strikes, so small errors of the DiT are not heard. All others have a beta
so large that they change nothing.

Encoder. The same kernels transposed give 50 Hz features; the last two convolutions can be any linear map of eight
frames of them. It is solved for: each single strike, whenever it is struck, must be read as that strike alone; rolls
then follow, because all is linear. Strikes cut off by the start or the end of a file stand in the same equations.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from acestep_core.builtin.rolls import CHANNELS, DRUMS, FIRST_DRUM, STRIKE
from acestep_core.builtin.sounds import (
    FIRST_SLICE,
    HOP,
    PARTS,
    RATE,
    SLICES,
    SLOW,
    STRIDE,
    WIDTH,
    drum_wave,
    resonators,
    turn,
)
from acestep_core.models.oobleck import OobleckConfig, OobleckVAE, ResidualUnit

GAIN = 0.2
STILL = 20.0
"""The beta of a Snake that changes nothing."""
SEEN = 8
"""50 Hz frames that one latent is read from: from three before its own two to three after."""
BEFORE, HEARD = 4, 24
"""Frames before a strike that see it coming, and from it on that still hear it, with room to spare."""
NOISE, RIDGE = 3e-4, 1e-9


def config() -> dict[str, Any]:
    """The VAE's `config.json`."""
    return {
        "_class_name": "AutoencoderOobleck",
        "audio_channels": 2,
        "channel_multiples": [WIDTH // 2, 96],
        "decoder_channels": 2,
        "decoder_input_channels": CHANNELS,
        "downsampling_ratios": [STRIDE, 2],
        "encoder_hidden_size": 2,
        "sampling_rate": RATE,
    }


def build_codec() -> OobleckVAE:
    """The whole codec; the same on every run."""
    vae = build_decoder()
    _set_reading(vae, _solve(vae))
    return vae


@torch.no_grad()
def build_decoder() -> OobleckVAE:
    """The codec with an encoder that gives features but reads nothing from them yet."""
    vae = OobleckVAE(OobleckConfig.from_json(config())).eval()
    for parameter in vae.parameters():
        parameter.zero_()
    for name, parameter in vae.named_parameters():
        if name.endswith(".beta"):
            parameter.fill_(STILL)
    _lay_out_attacks(vae.decoder)
    for unit, dilation, delays in zip(_units(vae.decoder.block[0]), (1, 3, 9), ((1, 2), (1, 2), (1, 2, 3))):
        _lay_out_decay(unit, dilation, delays)
    _lay_out_waves(vae)
    return vae


def weight_normed(vae: OobleckVAE) -> dict[str, Tensor]:
    """Its tensors as files have them. A row that is all zero gets a direction all the same, of length zero."""
    tensors = {}
    for name, tensor in vae.state_dict().items():
        if not name.endswith(".weight"):
            tensors[name] = tensor
            continue
        norm = tensor.flatten(1).norm(dim=1).view(-1, *[1] * (tensor.dim() - 1))
        tensors[f"{name}_g"] = norm
        tensors[f"{name}_v"] = torch.where(norm == 0, 1.0, tensor)
    return tensors


# --- decoder --------------------------------------------------------------------------------------------------------


def _units(block: Any) -> tuple[ResidualUnit, ResidualUnit, ResidualUnit]:
    return block.res_unit1, block.res_unit2, block.res_unit3


def _lay_out_attacks(decoder: Any) -> None:
    """From latents to the first frames of resonators and drums."""
    # Channels that have a bias and no weights carry the quantiser's constant, which is taken off again behind it.
    decoder.conv1.weight[range(CHANNELS), range(CHANNELS), 3] = 1 / STRIKE
    decoder.conv1.bias.fill_(-0.25)
    block = decoder.block[0]
    block.snake1.alpha.fill_(math.log(math.pi))
    block.snake1.beta.fill_(math.log(math.pi))
    weight = block.conv_t1.weight  # [in, out, tap]; tap j of frame t falls on 50 Hz frame 2 t - 1 + j
    sounding, channel = resonators(), 0
    for notes, bank, partials, attack in PARTS.values():
        first = 0 if bank is SLOW else len(SLOW)
        for note in notes:
            for above, loudness in partials:
                if note + above not in bank:
                    continue
                index = first + note + above - bank[0]
                for n, share in enumerate(attack):
                    z = share * loudness * turn(*sounding[index][:2], n)
                    weight[channel, 2 * index, 1 + n] += z.real
                    weight[channel, 2 * index + 1, 1 + n] += z.imag
            channel += 1
    for n, drum in enumerate(DRUMS):
        for k in range(3):
            weight[FIRST_DRUM + n, FIRST_SLICE[drum] + k, 1 + k] = 1
    weight[CHANNELS] = -weight[:CHANNELS].sum(0)


def _lay_out_decay(unit: ResidualUnit, dilation: int, delays: tuple[int, ...]) -> None:
    """One factor of the decay; a delay of m frames of the dilation is tap 3 - m."""
    weight = unit.conv1.weight
    unit.conv2.weight[:, :, 0] = torch.eye(WIDTH)
    for index, (hertz, shrink, _, _) in enumerate(resonators()):
        re, im = 2 * index, 2 * index + 1
        for delay in delays:
            z = turn(hertz, shrink, delay * dilation)
            weight[re, re, 3 - delay], weight[re, im, 3 - delay] = z.real, -z.imag
            weight[im, re, 3 - delay], weight[im, im, 3 - delay] = z.imag, z.real
    for drum, slices in SLICES.items():
        first = FIRST_SLICE[drum]
        if dilation == 1:  # slices 3 to 5 follow slice 2
            for n in range(3, min(6, slices)):
                weight[first + n, first + 2, 3 - (n - 2)] = 1
        elif dilation == 3:  # slices 6 to 11 follow slices 3 to 5
            for n in range(6, slices):
                weight[first + n, first + 3 + n % 3, 3 - (n // 3 - 1)] = 1


def _lay_out_waves(vae: OobleckVAE) -> None:
    """From 50 Hz frames to sound, and the transposed way in the encoder."""
    decoder: Any = vae.decoder
    encoder: Any = vae.encoder
    waves = decoder.block[1].conv_t1.weight  # [in, side, sample]
    sample = torch.arange(2 * STRIDE)
    window = torch.sin(math.pi * (sample + 0.5) / (2 * STRIDE)) ** 2
    for index, (hertz, _, left, right) in enumerate(resonators()):
        angle = 2 * math.pi * hertz * (sample - STRIDE // 2) / RATE
        for side, loudness in enumerate((left, right)):
            waves[2 * index, side] = loudness * window * angle.cos()
            waves[2 * index + 1, side] = -loudness * window * angle.sin()
    for drum, slices in SLICES.items():
        wave, sides = drum_wave(drum)
        for n, part in enumerate(wave.view(slices, STRIDE)):
            for side, loudness in enumerate(sides):
                waves[FIRST_SLICE[drum] + n, side, STRIDE // 2 : 3 * STRIDE // 2] = loudness * part
    decoder.conv2.weight[range(2), range(2), 3] = GAIN
    encoder.conv1.weight[range(2), range(2), 3] = 1 / GAIN
    encoder.block[0].conv1.weight.copy_(waves * (2 / STRIDE))
    encoder.conv2.bias[CHANNELS:] = -6.0  # the posterior is narrow


# --- encoder --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def _solve(vae: OobleckVAE) -> Tensor:
    """The linear map from features to strikes, `[64, WIDTH, 8]`, by least squares."""
    inputs, wanted = [], []

    def require(at: int, frames: int, of: slice) -> None:
        """One strike of each channel, at a frame of a file of so many frames, must be read right in those frames."""
        rolls = torch.zeros(CHANNELS, CHANNELS, frames)
        rolls[range(CHANNELS), range(CHANNELS), at] = 1
        heard = _heard(vae, vae.decoder.block[0](vae.decoder.conv1(STRIKE * rolls)))
        inputs.append(_windows(heard)[:, of].flatten(0, 1))
        wanted.append(rolls.transpose(1, 2)[:, of].flatten(0, 1).double())

    require(BEFORE, BEFORE + HEARD, slice(None))
    for late in (*range(6), 8, 11, 15):
        require(2, 3 + late, slice(-3, None))
    for early in range(3):
        require(early, 6, slice(0, 3))
    hiss = NOISE / GAIN * torch.randn(1, 2, 1000 * HOP, generator=torch.Generator().manual_seed(0))
    inputs.append(_windows(_matched(vae, hiss))[0])
    wanted.append(torch.zeros(len(inputs[-1]), CHANNELS, dtype=torch.float64))

    x, y = torch.cat(inputs), torch.cat(wanted)
    scale = x.pow(2).sum(0).clamp_min(1e-12).rsqrt()
    x = x * scale
    found = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
    return (scale[:, None] * found).float().T.reshape(CHANNELS, WIDTH, SEEN)


def _heard(vae: OobleckVAE, frames: Tensor) -> Tensor:
    """50 Hz frames `[B, WIDTH, 2 T]` as the encoder gets them back from their sound, `[B, WIDTH, 2 T]`.

    What the two convolutions of two thousand taps do, as products of matrices, which are fifty times as fast.
    """
    block: Any = vae.decoder.block[1]
    waves = block.conv_t1.weight.flatten(1)
    spans = (frames.transpose(1, 2) @ waves).unflatten(2, (2, 2, STRIDE))  # [B, frame, side, half, sample]
    audio = F.pad(spans[:, :, :, 0], (0, 0, 0, 0, 0, 1)) + F.pad(spans[:, :, :, 1], (0, 0, 0, 0, 1, 0))
    edge = STRIDE // 2
    return _matched(vae, audio.transpose(1, 2).flatten(2)[:, :, edge:-edge])


def _matched(vae: OobleckVAE, audio: Tensor) -> Tensor:
    """Audio `[B, 2, 1920 T]` through the encoder's first kernels, `[B, WIDTH, 2 T]`."""
    block: Any = vae.encoder.block[0]
    kernels = block.conv1.weight.flatten(1)
    spans = F.pad(audio, (STRIDE // 2, STRIDE // 2)).unfold(2, 2 * STRIDE, STRIDE)
    return (spans.transpose(1, 2).flatten(2) @ kernels.T).transpose(1, 2)


def _windows(features: Tensor) -> Tensor:
    """50 Hz features -> what each latent is read from, `[B, T, 8 WIDTH]` in double precision."""
    seen = F.pad(features, (SEEN // 2 - 1, SEEN // 2)).unfold(2, SEEN, 2)
    return seen.permute(0, 2, 1, 3).flatten(2).double()


@torch.no_grad()
def _set_reading(vae: OobleckVAE, reading: Tensor) -> None:
    """Lays a map of eight frames into a convolution of four and one of three latents behind it.

    The middle four are read at the latent itself, the two before and behind them at its neighbours: where a file begins
    or ends, only what is outside of it is missing.
    """
    block: Any = vae.encoder.block[1]
    middle, join = block.conv1.weight, vae.encoder.conv2.weight
    own, past, future = slice(0, CHANNELS), slice(CHANNELS, 2 * CHANNELS), slice(2 * CHANNELS, 3 * CHANNELS)
    middle[own] = reading[:, :, 2:6]
    middle[past, :, :2] = reading[:, :, :2]
    middle[future, :, 2:] = reading[:, :, 6:]
    for tap, group in ((0, past), (1, own), (2, future)):
        join[range(CHANNELS), range(group.start, group.stop), tap] = STRIKE
