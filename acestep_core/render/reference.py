"""Reference audio for the timbre: which thirty seconds of a clip the model hears, and their latents."""

from __future__ import annotations

import torch
from torch import Tensor

from acestep_core.errors import AudioError
from acestep_core.models.handles import VAEHandle
from acestep_core.monitor import SILENT, Monitor
from acestep_core.render.stages import Note, encode_audio
from acestep_core.seeds import generators
from acestep_core.vocabulary import HOP, SAMPLE_RATE

REFERENCE_SAMPLES = 30 * SAMPLE_RATE
SEGMENT = 10 * SAMPLE_RATE
SILENT_BELOW = 1e-6


def reference_latents(
    handle: VAEHandle,
    waveform: Tensor,
    seed: int = 0,
    monitor: Monitor = SILENT,
    tile: int | None = None,
    note: Note = lambda tile: None,
) -> Tensor:
    """Latents `[1, 750, 64]` of a reference recording.

    Args:
        waveform: `[2, S]` at 48 kHz.
        seed: chooses which thirty seconds of a longer one are heard.
        tile, note: see `stages.encode_audio`.
    """
    clip = reference_clip(waveform, *generators([seed]))
    return encode_audio(handle, clip[None], tile=tile, monitor=monitor, note=note)


def reference_clip(waveform: Tensor, generator: torch.Generator) -> Tensor:
    """Thirty seconds of a clip: ten from each third, `[2, 1440000]`; a shorter clip is repeated.

    Args:
        waveform: `[2, S]` at 48 kHz.
        generator: chooses the places, so that a seed always hears the same (upstream's choice is unseeded).

    Raises:
        AudioError: the clip is shorter than a second, or silent.
    """
    samples = waveform.shape[-1]
    if samples < SAMPLE_RATE:
        raise AudioError(f"The reference is {samples / SAMPLE_RATE:.2f} s long; give at least 1 s.")
    if float(waveform.abs().amax()) < SILENT_BELOW:
        raise AudioError("The reference is silent; choose a recording with sound.")
    if samples < REFERENCE_SAMPLES:
        waveform = waveform.repeat(1, -(-REFERENCE_SAMPLES // samples))
        samples = waveform.shape[-1]
    third = samples // 3
    # Each third is searched for itself; the last one holds the remainder. A stretch begins with a frame of the
    # recording's latents, so a song that was made here is heard in the frames in which it was made.
    bounds = ((0, third), (third, 2 * third), (2 * third, samples))
    starts = [(a + _below(max(0, b - a - SEGMENT) + 1, generator)) // HOP * HOP for a, b in bounds]
    return torch.cat([waveform[:, start : start + SEGMENT] for start in starts], dim=-1)


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))
