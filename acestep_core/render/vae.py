"""Audio <-> latents for songs of any length, in tiles that overlap just enough to be exact.

Tiles overlap by as many frames as the network sees to each side (nine for the real one, see `OobleckConfig.reach`);
that gives what one pass over the whole song would give, in constant memory. (Upstream and diffusers overlap by 64.)
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from acestep_core import devices
from acestep_core.errors import AudioError
from acestep_core.models.graphs import Homeward
from acestep_core.models.memory import decoding_bytes, vae_encoding_bytes
from acestep_core.models.oobleck import OobleckVAE
from acestep_core.monitor import SILENT, Monitor

SMALLEST_TILE = 32
"""Frames per tile below which memory is hardly saved; devices that cannot convolve so much get smaller ones."""


def decoding(vae: OobleckVAE, tile: int) -> int:
    """Bytes that decoding in such tiles allocates."""
    return decoding_bytes(vae.config, tile + 2 * vae.config.reach, vae.dtype.itemsize)


def encoding(vae: OobleckVAE, tile: int) -> int:
    """Bytes that encoding in such tiles allocates."""
    return vae_encoding_bytes(vae.config, tile + 2 * vae.config.reach, vae.dtype.itemsize)


def pick_tile(vae: OobleckVAE, largest: int | None = None) -> int:
    """Frames per tile: as many as half the free memory holds, in powers of two. Nobody has to leave for larger ones."""
    tile = possible_tile(vae, largest or largest_tile(vae.device))
    budget = devices.free_memory(vae.device) // 2
    while tile > SMALLEST_TILE and max(decoding(vae, tile), encoding(vae, tile)) > budget:
        tile = max(SMALLEST_TILE, tile // 2)
    return tile


def largest_tile(device: torch.device) -> int:
    """Frames per tile that pay. Large ones only do on a GPU; on a CPU 128 frames already keep the convolutions busy and
    stay near the caches.
    """
    return 128 if devices.is_host(device) else 512


def possible_tile(vae: OobleckVAE, tile: int) -> int:
    """`tile`, or what of it the device can convolve at once. A VAE whose frames reach too far for that convolves in
    parts.
    """
    longest = devices.limits(vae.device).convolution
    if longest is None:
        return tile
    possible = longest // vae.config.hop - 2 * vae.config.reach - 1  # one for a tail that is no whole frame
    return min(tile, possible if possible > 0 else SMALLEST_TILE)


def tiles(length: int, tile: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """`length` frames as `(window start, window stop, core start, core stop)`; the cores partition the length."""
    starts = range(0, length, tile)
    return [(max(0, a - overlap), min(length, a + tile + overlap), a, min(length, a + tile)) for a in starts]


def decode(vae: OobleckVAE, latents: Tensor, tile: int | None = None, monitor: Monitor = SILENT) -> Tensor:
    """Latents -> audio.

    Args:
        latents: `[B, T, 64]`.
        tile: frames per tile; None picks by free memory.

    Returns:
        `[B, 2, 1920 T]` float32 in main memory.
    """
    batch, frames, _ = latents.shape
    hop = vae.config.hop
    with torch.inference_mode(False):  # the caller may change what it gets
        audio = torch.empty(batch, vae.config.audio_channels, frames * hop)
    plan = tiles(frames, pick_tile(vae) if tile is None else possible_tile(vae, tile), vae.config.reach)
    homeward = Homeward()
    for i in range(batch):
        channels_first = latents[i : i + 1].transpose(1, 2)
        for n, (start, stop, a, b) in enumerate(plan):
            window = channels_first[:, :, start:stop].to(vae.device, vae.dtype)
            wave = vae.decode(window)
            homeward.bring(wave[0, :, (a - start) * hop : (b - start) * hop], audio[i, :, a * hop : b * hop])
            monitor.tick("decode", i * len(plan) + n + 1, batch * len(plan))
    homeward.arrive()
    return audio


def encode(
    vae: OobleckVAE,
    audio: Tensor,
    tile: int | None = None,
    generator: torch.Generator | None = None,
    monitor: Monitor = SILENT,
) -> Tensor:
    """Audio -> latents. A tail shorter than one frame (40 ms) is dropped.

    Args:
        audio: `[B, 2, S]`, 48 kHz.
        tile: frames per tile; None picks by free memory.
        generator: on the CPU; draws from the posterior as upstream does. None takes its mean, which needs no seed.

    Returns:
        `[B, S // 1920, 64]` float32 in main memory.
    """
    batch, _, samples = audio.shape
    with torch.inference_mode(False):  # the caller may change what it gets
        latents = torch.empty(batch, samples // vae.config.hop, vae.config.decoder_input_channels)
    noise = None if generator is None else torch.randn(latents.shape, generator=generator)
    for i, a, b, mean, std in _posteriors(vae, audio, tile, monitor):
        latents[i, a:b] = mean if noise is None else mean + std * noise[i, a:b].to(mean)
    return latents


def posterior(
    vae: OobleckVAE, audio: Tensor, tile: int | None = None, monitor: Monitor = SILENT
) -> tuple[Tensor, Tensor]:
    """Mean, as `encode` gives it without a generator, and standard deviation of the latents, see there."""
    with torch.inference_mode(False):
        mean, std = torch.empty(
            2, audio.shape[0], audio.shape[2] // vae.config.hop, vae.config.decoder_input_channels
        ).unbind()
    for i, a, b, its_mean, its_std in _posteriors(vae, audio, tile, monitor):
        mean[i, a:b], std[i, a:b] = its_mean, its_std
    return mean, std


def _posteriors(
    vae: OobleckVAE, audio: Tensor, tile: int | None, monitor: Monitor
) -> Iterator[tuple[int, int, int, Tensor, Tensor]]:
    """Item, first and last frame, mean and standard deviation `[frames, 64]` of each tile."""
    batch, _, samples = audio.shape
    hop = vae.config.hop
    frames = samples // hop
    if frames == 0:
        raise AudioError(
            f"The audio has {samples} samples, but one latent frame needs {hop} (40 ms); use longer audio."
        )
    plan = tiles(frames, pick_tile(vae) if tile is None else possible_tile(vae, tile), vae.config.reach)
    for i in range(batch):
        for n, (start, stop, a, b) in enumerate(plan):
            end = samples if stop == frames else stop * hop
            window = audio[i : i + 1, :, start * hop : end].to(vae.device, vae.dtype)
            mean, std = (x[0, :, a - start : b - start].T for x in vae.posterior(window))
            yield i, a, b, mean, std
            monitor.tick("encode", i * len(plan) + n + 1, batch * len(plan))
