"""The one door for recordings: files, waveforms or ComfyUI's AUDIO to 48 kHz stereo, with what a user should know."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log10
from numbers import Real
from typing import TYPE_CHECKING, Any, Final

from acestep_core.errors import AudioError
from acestep_core.io.decode import BLOCK, CHANNELS_MAX, Sound, check_header, opened, part, to_float
from acestep_core.io.downmix import speakers_of, to_stereo
from acestep_core.io.names import meant
from acestep_core.io.rates import has_soxr, resampled
from acestep_core.vocabulary import DURATION_MAX, SAMPLE_RATE

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor

log = logging.getLogger(__name__)

AudioLike = Any
"""A file's path; a waveform (torch or numpy; `[C, S]`, `[S]`, or `[1, C, S]`) with its sample rate as a pair; ComfyUI's
AUDIO, which is any mapping with `waveform` and `sample_rate`; or what holds `audio` and `sample_rate`, such as a
result of this library.
"""
LONGEST: Final = 3600.0
"""Seconds of a recording of which only a part will be heard."""
_QUIET = 1e-6
_OVER = 10 ** (0.1 / 20)
"""Peaks above this are turned down; a tenth of a decibel is what rounding and resampling add, and is clipped."""

_NUMBERS = 100.0
"""Peaks above this (40 dB) are no loud sound but integers that were never scaled."""
_SCALES = (2.0**15, 2.0**23, 2.0**31)
"""Full scale of 16, 24 and 32 bits."""


@dataclass(frozen=True)
class Recording:
    """A recording as the models need it.

    Attributes:
        waveform: float32 `[2, S]` at 48 kHz, within ±1.
        conversion: what was done to it as a matter of course, as a sentence; empty for nothing.
        remarks: what is wrong with it, a sentence each.
    """

    waveform: Tensor
    conversion: str = ""
    remarks: tuple[str, ...] = ()


def load_source(
    audio: AudioLike, start: float | None = None, end: float | None = None, limit: float | None = DURATION_MAX
) -> Tensor:
    """The waveform of `read_source`."""
    return read_source(audio, start, end, limit).waveform


def read_source(
    audio: AudioLike, start: float | None = None, end: float | None = None, limit: float | None = DURATION_MAX
) -> Recording:
    """`load_recording`; its remarks become warnings in the log, too."""
    recording = load_recording(audio, start, end, limit)
    for text in recording.remarks:
        log.warning(text)
    if recording.conversion:
        log.info(recording.conversion)
    return recording


def load_recording(
    audio: AudioLike, start: float | None = None, end: float | None = None, limit: float | None = DURATION_MAX
) -> Recording:
    """A recording at 48 kHz in stereo.

    A file's header is read first; it is then decoded block by block, and no further than needed. More than two
    channels are mixed by ITU-R BS.775. What is louder than full scale, or would become so by mixing, is turned down.
    Resampling is soxr's (see `io.rates`), so that every machine feeds the models the same samples.

    Args:
        start, end: seconds; the rest is left out.
        limit: seconds; longer ones are refused. None takes any length.

    Raises:
        AudioError: it cannot be read, is no recording, is too long, or has nothing between `start` and `end`.
    """
    first = 0.0 if start is None else start
    if not first >= 0 or (end is not None and not end > first):
        raise AudioError(f"A part of a recording goes from 0 s or later to a later time, not {start} to {end}.")
    if isinstance(audio, str | os.PathLike):
        path = meant(audio)
        with opened(path) as sound:
            return _converted(sound, path.name, start, end, limit)
    if isinstance(audio, Mapping):
        waveform, rate = batch_of(audio)
    elif isinstance(audio, tuple) and len(audio) == 2 and isinstance(audio[0], Real):
        raise AudioError("A pair holds the waveform first and then its sample rate; turn it round.")
    elif isinstance(audio, tuple) and len(audio) == 2:
        waveform, rate = _batch(audio[0]), _rate(audio[1])
    elif hasattr(audio, "audio") and hasattr(audio, "sample_rate"):
        waveform, rate = _batch(audio.audio), _rate(audio.sample_rate)
    else:
        raise AudioError(
            f"The source must be a file, a waveform with its sample rate, or an AUDIO, not {type(audio).__name__}."
        )
    if len(waveform) != 1:
        raise AudioError(f"The source must be one recording, not a batch of {len(waveform)}; choose one.")
    return from_waveform(waveform[0], rate, start, end, limit)


def from_waveform(
    waveform: ndarray,
    rate: int,
    start: float | None = None,
    end: float | None = None,
    limit: float | None = None,
    name: str = "The recording",
) -> Recording:
    """A waveform `[C, S]` of a batch (see `batch_of`) as `load_recording` gives it."""
    blocks = (waveform[:, at : at + BLOCK].T for at in range(0, waveform.shape[1], BLOCK))
    sound = Sound(rate, speakers_of(len(waveform)), blocks)
    return _converted(sound, name, start, end, limit)


def batch_of(audio: Any) -> tuple[ndarray, int]:
    """The waveforms `[B, C, S]` of an AUDIO, float32, and their rate. The mapping may be lazy: each key is read once.

    What the library `datasets` hands out (`array`, `sampling_rate`) is taken too.

    Raises:
        AudioError: it is no AUDIO; the message says what is the matter.
    """
    for names in (("waveform", "sample_rate"), ("array", "sampling_rate")):
        try:
            waveform, rate = (audio[name] for name in names)
        except (KeyError, TypeError):
            continue
        return _batch(waveform), _rate(rate)
    raise AudioError("The audio must have a waveform and a sample_rate; connect a node that loads sound.")


def _batch(waveform: Any) -> ndarray:
    """Any waveform as float32 `[B, C, S]`."""
    import numpy as np
    import torch

    if isinstance(waveform, torch.Tensor):
        waveform = waveform.detach().cpu()
        waveform = waveform.float().numpy() if waveform.is_floating_point() else waveform.numpy()
    if not isinstance(waveform, np.ndarray):
        raise AudioError(f"The waveform must be a torch tensor or a numpy array, not {type(waveform).__name__}.")
    if not 1 <= waveform.ndim <= 3 or 0 in waveform.shape:
        raise AudioError(
            f"The waveform must be channels by samples, or a batch of that, and not empty, not {list(waveform.shape)}."
        )
    batch = waveform.reshape((1,) * (3 - waveform.ndim) + waveform.shape)
    if batch.shape[1] > CHANNELS_MAX >= batch.shape[2]:
        raise AudioError(f"The waveform {list(waveform.shape)} is samples by channels; turn it round (.T).")
    return to_float(batch)


def _rate(rate: Any) -> int:
    try:
        if isinstance(rate, bool) or int(rate) != rate:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise AudioError(f"The sample rate must be a whole number of Hz such as 48000, not {rate!r}.") from None
    return int(rate)


def _converted(sound: Sound, name: str, start: float | None, end: float | None, limit: float | None) -> Recording:
    import numpy as np
    import torch

    check_header(name, sound.rate, len(sound.speakers))
    peak = 0.0

    def stereo() -> Iterator[ndarray]:
        nonlocal peak
        for block in part(sound, name, start, end, limit):
            mixed = to_stereo(block, sound.speakers)
            peak = max(peak, float(np.abs(mixed).max()))
            yield mixed

    waveform = torch.from_numpy(np.concatenate(list(resampled(stereo(), sound.rate, SAMPLE_RATE, 2)))).T.contiguous()
    if not waveform.shape[1]:
        raise AudioError(f"{name} holds no sound that lasts; choose a longer one.")
    remarks = [f"{name} {text}." for text in sound.remarks]
    if peak > _NUMBERS:
        scale = max(peak, next((scale for scale in _SCALES if peak < 1.5 * scale), peak))  # mixing may add to it
        waveform = waveform / scale
        remarks.append(
            f"{name} holds values up to {peak:.0f}, as integer samples have, instead of ±1; they were divided by "
            f"{scale:.0f}."
        )
    elif peak > _OVER:
        waveform = waveform / peak
        remarks.append(f"{name} is too loud and would clip, so it was turned down by {20 * log10(peak):.1f} dB.")
    elif peak < _QUIET:
        remarks.append(f"{name} is silent; choose another if need be.")
    return Recording(waveform.clamp_(-1.0, 1.0), _conversion(name, sound), tuple(remarks))


def _conversion(name: str, sound: Sound) -> str:
    channels = len(sound.speakers)
    if sound.rate == SAMPLE_RATE and channels == 2:
        return ""
    kind = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    own = sound.rate != SAMPLE_RATE and not has_soxr()
    way = " without soxr, so its samples are not those of other machines" if own else ""
    return f"{name} ({sound.rate} Hz, {kind}) was converted to {SAMPLE_RATE} Hz stereo{way}."
