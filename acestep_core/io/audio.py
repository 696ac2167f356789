"""Audio files in and out, as they are: whatever there is in, FLAC, WAV, MP3 or Opus out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_core.errors import AudioError, InvalidInput
from acestep_core.io.atomic import atomic_write
from acestep_core.io.decode import opened, part
from acestep_core.io.formats import FORMATS, AudioFormat
from acestep_core.io.rates import resampled
from acestep_core.io.tags import write_tags
from acestep_core.vocabulary import SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

Remark = Callable[[str], object]
"""Takes a sentence that a user should see."""
_READ_MAX = 1 << 29
"""Samples, of four bytes, that are read at once."""
_BLOCK = 1 << 16
"""Samples handed to the encoder at once; some encoders keep a whole block on the stack."""


def read_audio(path: Path | str, limit: float | None = None, remark: Remark = log.warning) -> tuple[Tensor, int]:
    """Reads a recording as it is, with its own rate and channels: WAV, FLAC, MP3, Ogg, Opus and their kin, others
    through PyAV or `ffmpeg` if there.

    Args:
        limit: seconds; longer ones are refused.
        remark: is told, in a sentence each, what is wrong with the file.

    Returns:
        The waveform, float32 `[C, S]` within about ±1, and its sample rate.

    Raises:
        AudioError: the file is absent, empty, too long, damaged beyond reading or of an unknown kind.
    """
    import numpy as np
    import torch

    path = Path(path)
    with opened(path) as sound:
        blocks, room = [], _READ_MAX
        for block in part(sound, path.name, limit=limit):
            room -= block.size
            if room < 0:
                raise AudioError(f"{path.name} would take more than {_READ_MAX >> 28} GB of memory; cut it.")
            blocks.append(block)
        for text in sound.remarks:
            remark(f"{path.name} {text}.")
        return torch.from_numpy(np.concatenate(blocks).T.copy()), sound.rate


def resample(waveform: Tensor, sample_rate: int, wanted: int) -> Tensor:
    """Resamples `waveform` `[C, S]` on the CPU to about `S * wanted / sample_rate` samples.

    Raises:
        AudioError: a rate is not positive.
    """
    if sample_rate <= 0 or wanted <= 0:
        raise AudioError(f"The sample rate must be positive, not {min(sample_rate, wanted)}.")
    if sample_rate == wanted:
        return waveform
    import numpy as np
    import torch

    samples = waveform.detach().float().cpu().T.contiguous().numpy()
    blocks = list(resampled([samples], sample_rate, wanted, samples.shape[1]))
    return torch.from_numpy(np.concatenate(blocks)).T.contiguous()


def write_audio(
    path: Path | str,
    waveform: Tensor,
    sample_rate: int = SAMPLE_RATE,
    format: str = "flac",
    bitrate: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes `waveform` `[C, S]` to `path`, whole or not at all.

    Samples beyond ±1 are clipped, except in `wav32`, which keeps them. A rate that the format cannot hold is resampled
    to 48 kHz. The same arguments give the same bytes.

    Args:
        path: the file to make; an existing one is replaced. Its suffix is not looked at.
        waveform: float, any device.
        sample_rate: of the waveform, in Hz.
        format: a key of `FORMATS`: `flac` (24 bit), `wav16`, `wav32` (float), `mp3`, `opus`.
        bitrate: kbit/s, one of `FORMATS[format].bitrates`; None takes the format's own default.
        metadata: texts to store in the file, see `acestep_core.io.tags`.

    Raises:
        InvalidInput: unknown format, bitrate not offered by it, or a tag name that cannot be stored.
        AudioError: the waveform is empty, not finite, or has too many channels, or the encoder failed.
        StorageError: the disk is full or the folder is absent.
    """
    import soundfile

    form = _checked_format(format, bitrate)
    if waveform.ndim != 2 or 0 in waveform.shape:
        raise AudioError(f"The waveform must be channels by samples and not empty, not {list(waveform.shape)}.")
    channels = waveform.shape[0]
    if channels > form.channels:
        raise AudioError(f"{format} holds at most {form.channels} channels, not {channels}; mix down or save as flac.")
    waveform = waveform.detach().float().cpu()
    if not waveform.isfinite().all():
        raise AudioError("The waveform holds samples that are not numbers, so it was not saved.")
    if form.sample_rates and sample_rate not in form.sample_rates:
        waveform, sample_rate = resample(waveform, sample_rate, SAMPLE_RATE), SAMPLE_RATE
    level = _compression_level(format, bitrate or form.bitrate, channels)
    with atomic_write(path) as temporary:
        try:
            with soundfile.SoundFile(
                temporary,
                "w",
                sample_rate,
                channels,
                form.subtype,
                format=form.container,
                compression_level=level,
                bitrate_mode="CONSTANT" if format == "mp3" else None,
            ) as file:
                for block in waveform.split(_BLOCK, dim=-1):
                    file.write(block.T.numpy())
        except soundfile.SoundFileError as error:
            raise AudioError(
                f"{Path(path).name} could not be encoded as {format}; check the free disk space or use flac."
            ) from error
        write_tags(temporary, metadata or {})


def _checked_format(name: str, bitrate: int | None) -> AudioFormat:
    if name not in FORMATS:
        raise InvalidInput(f"The audio format {name!r} is not known; use one of {', '.join(FORMATS)}.")
    form = FORMATS[name]
    if bitrate is not None and bitrate not in form.bitrates:
        offered = f"use one of {', '.join(map(str, form.bitrates))}" if form.bitrates else "leave it out"
        raise InvalidInput(f"{name} cannot be written with {bitrate} kbit/s; {offered}.")
    return form


def _compression_level(format: str, bitrate: int | None, channels: int) -> float | None:
    """libsndfile's compression level, 0 to 1, for which it computes `bitrate` back (its mpeg and opus encoders)."""
    if bitrate is None:
        return None
    if format == "mp3":
        return (320 - bitrate) / (320 - 32)
    return min(max(1.0 - (bitrate * 1000 / channels - 6000) / 250_000, 0.0), 1.0)
