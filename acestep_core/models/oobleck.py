"""The VAE between 48 kHz stereo and 25 Hz latents.

Source: Oobleck autoencoder of Stable Audio (Evans et al. 2024, arXiv 2402.04825), with the parameter names of
diffusers' `AutoencoderOobleck`. Weight normalisation is folded into the convolutions when loading, and Snake works in
place, because decoding is bound by memory traffic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from acestep_core.models.convolutions import Conv1d, ConvTranspose1d

EDGE = 3
"""Positions that the seven taps of an outer convolution reach to each side."""
UNITS = EDGE * (1 + 3 + 9)
"""The same for the three residual units of a block together."""


@dataclass(frozen=True)
class OobleckConfig:
    """Dimensions, with the names of diffusers' `config.json`; defaults are ACE-Step 1.5's."""

    encoder_hidden_size: int = 128
    downsampling_ratios: tuple[int, ...] = (2, 4, 4, 6, 10)
    channel_multiples: tuple[int, ...] = (1, 2, 4, 8, 16)
    decoder_channels: int = 128
    decoder_input_channels: int = 64
    audio_channels: int = 2
    sampling_rate: int = 48000

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> OobleckConfig:
        known = {f.name for f in fields(cls)}
        chosen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        return cls(**chosen)

    @property
    def hop(self) -> int:
        """Samples per latent frame."""
        return math.prod(self.downsampling_ratios)

    @property
    def reach(self) -> int:
        """Latent frames to each side beyond which nothing changes a frame's samples, or the latent of a frame."""
        return max(self._decoder_reach(), self._encoder_reach())

    def _decoder_reach(self) -> int:
        first, last = -EDGE, self.hop - 1 + EDGE  # of one frame's samples, then of what they are made from
        for stride in self.downsampling_ratios:
            padding = math.ceil(stride / 2)
            first = (first - UNITS + padding - 2 * stride) // stride + 1
            last = (last + UNITS + padding) // stride
        return max(EDGE - first, last + EDGE)

    def _encoder_reach(self) -> int:
        first, last = -1, 1  # of one latent, by the last convolution
        for stride in reversed(self.downsampling_ratios):
            padding = math.ceil(stride / 2)
            first = first * stride - padding - UNITS
            last = (last + 2) * stride - 1 - padding + UNITS
        return math.ceil(max(EDGE - first, last + EDGE - self.hop + 1) / self.hop)


class Snake(nn.Module):
    """`x + sin(alpha x)^2 / beta`, both parameters stored as logarithms (Ziyin et al. 2020, arXiv 2006.08195)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        wave = (x * self.alpha.exp()).sin_().square_()
        return torch.addcmul(x, wave, (self.beta.exp() + 1e-9).reciprocal())


class ResidualUnit(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels)
        self.conv1 = Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation)
        self.snake2 = Snake(channels)
        self.conv2 = Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.snake2(self.conv1(self.snake1(x))))


class EncoderBlock(nn.Module):
    """Three residual units, then a strided convolution."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.res_unit1 = ResidualUnit(channels, 1)
        self.res_unit2 = ResidualUnit(channels, 3)
        self.res_unit3 = ResidualUnit(channels, 9)
        self.snake1 = Snake(channels)
        self.conv1 = Conv1d(channels, out_channels, 2 * stride, stride=stride, padding=math.ceil(stride / 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1(self.snake1(self.res_unit3(self.res_unit2(self.res_unit1(x)))))


class DecoderBlock(nn.Module):
    """A transposed convolution, then three residual units."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels)
        self.conv_t1 = ConvTranspose1d(channels, out_channels, 2 * stride, stride=stride, padding=math.ceil(stride / 2))
        self.res_unit1 = ResidualUnit(out_channels, 1)
        self.res_unit2 = ResidualUnit(out_channels, 3)
        self.res_unit3 = ResidualUnit(out_channels, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.res_unit3(self.res_unit2(self.res_unit1(self.conv_t1(self.snake1(x)))))


class OobleckEncoder(nn.Module):
    def __init__(self, config: OobleckConfig) -> None:
        super().__init__()
        base = config.encoder_hidden_size
        widths = [base * m for m in (1, *config.channel_multiples)]
        self.conv1 = Conv1d(config.audio_channels, base, 7, padding=3)
        self.block = nn.ModuleList(
            EncoderBlock(a, b, stride) for a, b, stride in zip(widths, widths[1:], config.downsampling_ratios)
        )
        self.snake1 = Snake(widths[-1])
        # Twice the latent channels: the mean, then the scale of the posterior.
        self.conv2 = Conv1d(widths[-1], 2 * config.decoder_input_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for block in self.block:
            x = block(x)
        return self.conv2(self.snake1(x))


class OobleckDecoder(nn.Module):
    def __init__(self, config: OobleckConfig) -> None:
        super().__init__()
        widths = [config.decoder_channels * m for m in reversed((1, *config.channel_multiples))]
        strides = tuple(reversed(config.downsampling_ratios))
        self.conv1 = Conv1d(config.decoder_input_channels, widths[0], 7, padding=3)
        self.block = nn.ModuleList(DecoderBlock(a, b, stride) for a, b, stride in zip(widths, widths[1:], strides))
        self.snake1 = Snake(widths[-1])
        self.conv2 = Conv1d(widths[-1], config.audio_channels, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for block in self.block:
            x = block(x)
        return self.conv2(self.snake1(x))


class OobleckVAE(nn.Module):
    """Encodes and decodes whole waveforms; long ones go through `render.vae`, which works in tiles."""

    def __init__(self, config: OobleckConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = OobleckEncoder(config)
        self.decoder = OobleckDecoder(config)

    @property
    def device(self) -> torch.device:
        return self.decoder.conv1.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.decoder.conv1.weight.dtype

    def posterior(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, 2, S]` -> mean and standard deviation `[B, 64, S // 1920]` of the latents."""
        mean, scale = self.encoder(audio).chunk(2, dim=1)
        return mean, nn.functional.softplus(scale) + 1e-4

    def encode(self, audio: Tensor) -> Tensor:
        """`[B, 2, S]` -> the most likely latents `[B, 64, S // 1920]`."""
        return self.posterior(audio)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """`[B, 64, T]` -> `[B, 2, 1920 T]`."""
        return self.decoder(latents)


def fold_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replaces every pair `weight_g`, `weight_v` by `weight = g v / |v|`, computed in fp32; the rest stays as it is."""
    folded = {}
    for key in tensors:
        if key.endswith(".weight_g"):
            name = key.removesuffix("_g")
            g, v = tensors[key], tensors[name + "_v"]
            folded[name] = torch._weight_norm(v.float(), g.float(), 0).to(v.dtype)
        elif not key.endswith(".weight_v"):
            folded[key] = tensors[key]
    return folded
