"""Recordings as the models need them: from files or waveforms to 48 kHz stereo."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.errors import AudioError

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

AudioLike = Any
"""A file's path, or a waveform `[C, S]` with its sample rate as a pair, or ComfyUI's AUDIO dictionary with one item."""


def load_source(audio: AudioLike) -> Tensor:
    """A recording as float32 `[2, S]` at 48 kHz; says in the log what had to be converted.

    Raises:
        AudioError: it cannot be read, or is no recording.
    """
    from acestep_core.io.audio import read_audio, to_48k_stereo
    from acestep_core.vocabulary import SAMPLE_RATE

    if isinstance(audio, str | Path):
        waveform, rate = read_audio(audio)
    elif isinstance(audio, dict) and {"waveform", "sample_rate"} <= set(audio):
        if audio["waveform"].ndim != 3 or audio["waveform"].shape[0] != 1:
            raise AudioError(f"The source must be one recording, not a batch of {list(audio['waveform'].shape)}.")
        waveform, rate = audio["waveform"][0], int(audio["sample_rate"])
    elif isinstance(audio, tuple) and len(audio) == 2:
        waveform, rate = audio
    else:
        raise AudioError("The source must be a file, or a waveform together with its sample rate.")
    if rate != SAMPLE_RATE:
        log.info("The source was resampled from %d to %d Hz.", rate, SAMPLE_RATE)
    if waveform.shape[0] != 2:
        log.info("The source has %d channels and was made stereo.", waveform.shape[0])
    return to_48k_stereo(waveform, rate)
