"""ComfyUI's nodes that cut, join, mix and filter audio, under its ids, inputs and outputs: see `stock_nodes`.

AUDIO is `{"waveform": float32 [B, C, S], "sample_rate": Hz}`. Where two of different rates meet, the lower one is
resampled to the higher. Inputs are shared with other nodes and never changed in place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import AudioError
from acestep_core.host.graph.stock_edit import Edit
from acestep_core.io.audio import resample

if TYPE_CHECKING:
    from torch import Tensor

Audio = dict[str, Any]

MAX_SAMPLES = 2**29
"""Of all channels together, in silence that a graph asks for: two gigabytes."""

_AUDIO: tuple[str, dict[str, Any]] = ("AUDIO", {})
_ENDLESS = 0xFFFFFFFFFFFFFFFF


class _Edit(Edit):
    CATEGORY = "audio"
    RETURN_TYPES: tuple[str, ...] = ("AUDIO",)


class EmptyAudio(_Edit):
    TITLE = "Empty Audio"
    DESCRIPTION = "Silence."
    SEARCH_ALIASES: ClassVar = ["blank audio"]
    REQUIRED: ClassVar = {
        "duration": ("FLOAT", {"default": 60.0, "min": 0.0, "max": _ENDLESS, "step": 0.01}),
        "sample_rate": ("INT", {"default": 44100, "min": 1, "max": 192_000, "advanced": True}),
        "channels": ("INT", {"default": 2, "min": 1, "max": 2, "advanced": True}),
    }

    def run(self, duration: float, sample_rate: int, channels: int) -> tuple[Audio]:
        import torch

        samples = round(duration * sample_rate)
        if samples * channels > MAX_SAMPLES:
            raise AudioError(f"{duration:g} s of silence would take gigabytes of memory; make it shorter.")
        return ({"waveform": torch.zeros(1, channels, samples), "sample_rate": sample_rate},)


class TrimAudioDuration(_Edit):
    TITLE = "Trim Audio Duration"
    DESCRIPTION = "Keeps a part of the audio."
    SEARCH_ALIASES: ClassVar = ["cut audio", "audio clip", "shorten audio"]
    REQUIRED: ClassVar = {
        "audio": _AUDIO,
        "start_index": (
            "FLOAT",
            {
                "default": 0.0,
                "min": -_ENDLESS,
                "max": _ENDLESS,
                "step": 0.01,
                "tooltip": "Seconds from the start; negative ones are counted from the end.",
            },
        ),
        "duration": ("FLOAT", {"default": 60.0, "min": 0.0, "step": 0.01, "tooltip": "In seconds."}),
    }

    def run(self, audio: Audio, start_index: float, duration: float) -> tuple[Audio]:
        waveform, rate = audio["waveform"], audio["sample_rate"]
        samples = waveform.shape[-1]
        start = round(start_index * rate) + (samples if start_index < 0 else 0)
        start = max(start, 0)
        end = min(start + round(duration * rate), samples)
        if end <= start:
            raise AudioError("Nothing is left of the audio; give a start within it and a duration above 0.")
        return ({"waveform": waveform[..., start:end], "sample_rate": rate},)


class SplitAudioChannels(_Edit):
    TITLE = "Split Audio Channels"
    DESCRIPTION = "Left and right, each as mono."
    SEARCH_ALIASES: ClassVar = ["stereo to mono"]
    RETURN_TYPES = ("AUDIO", "AUDIO")
    RETURN_NAMES = ("left", "right")
    REQUIRED: ClassVar = {"audio": _AUDIO}

    def run(self, audio: Audio) -> tuple[Audio, Audio]:
        waveform = audio["waveform"]
        if waveform.shape[1] != 2:
            raise AudioError(f"Only stereo can be split; this audio has {waveform.shape[1]} channels.")
        left, right = ({"waveform": side, "sample_rate": audio["sample_rate"]} for side in waveform.split(1, dim=1))
        return left, right


class JoinAudioChannels(_Edit):
    TITLE = "Join Audio Channels"
    DESCRIPTION = "Two mono recordings as left and right; the longer one is cut."
    RETURN_NAMES = ("audio",)
    REQUIRED: ClassVar = {"audio_left": _AUDIO, "audio_right": _AUDIO}

    def run(self, audio_left: Audio, audio_right: Audio) -> tuple[Audio]:
        import torch

        if audio_left["waveform"].shape[1] != 1 or audio_right["waveform"].shape[1] != 1:
            raise AudioError("Only mono can be joined to stereo; split the channels first.")
        left, right, rate = _at_one_rate(audio_left, audio_right)
        samples = min(left.shape[-1], right.shape[-1])
        sides = [left[..., :samples], right[..., :samples]]
        return ({"waveform": torch.cat(_alike(*sides), dim=1), "sample_rate": rate},)


class AudioConcat(_Edit):
    TITLE = "Audio Concat"
    DESCRIPTION = "One audio after the other; mono becomes stereo."
    SEARCH_ALIASES: ClassVar = ["join audio", "combine audio", "append audio"]
    REQUIRED: ClassVar = {
        "audio1": _AUDIO,
        "audio2": _AUDIO,
        "direction": (
            "COMBO",
            {"options": ["after", "before"], "default": "after", "tooltip": "Where audio2 goes."},
        ),
    }

    def run(self, audio1: Audio, audio2: Audio, direction: str) -> tuple[Audio]:
        import torch

        first, second, rate = _at_one_rate(audio1, audio2)
        parts = _alike(*(part.repeat(1, 2, 1) if part.shape[1] == 1 else part for part in (first, second)))
        return ({"waveform": torch.cat(parts if direction == "after" else parts[::-1], dim=-1), "sample_rate": rate},)


class AudioMerge(_Edit):
    TITLE = "Audio Merge"
    DESCRIPTION = "Both at once, as long as the first. What gets louder than full scale is turned down as a whole."
    SEARCH_ALIASES: ClassVar = ["mix audio", "overlay audio", "layer audio"]
    REQUIRED: ClassVar = {
        "audio1": _AUDIO,
        "audio2": _AUDIO,
        "merge_method": ("COMBO", {"options": ["add", "mean", "subtract", "multiply"]}),
    }

    def run(self, audio1: Audio, audio2: Audio, merge_method: str) -> tuple[Audio]:
        import torch

        first, second, rate = _at_one_rate(audio1, audio2)
        missing = first.shape[-1] - second.shape[-1]
        second = torch.nn.functional.pad(second, (0, missing))  # a negative number cuts
        first, second = _alike(first, second)
        mixed = {
            "add": lambda: first + second,
            "mean": lambda: (first + second) / 2,
            "subtract": lambda: first - second,
            "multiply": lambda: first * second,
        }[merge_method]()
        peak = mixed.abs().amax() if mixed.numel() else mixed.new_zeros(())
        return ({"waveform": mixed / peak if peak > 1 else mixed, "sample_rate": rate},)


class AudioAdjustVolume(_Edit):
    TITLE = "Audio Adjust Volume"
    DESCRIPTION = "Louder or softer."
    SEARCH_ALIASES: ClassVar = ["audio gain", "loudness", "audio level"]
    REQUIRED: ClassVar = {
        "audio": _AUDIO,
        "volume": ("INT", {"default": 1, "min": -100, "max": 100, "tooltip": "Decibels; 6 doubles, -6 halves."}),
    }

    def run(self, audio: Audio, volume: int) -> tuple[Audio]:
        if volume == 0:
            return (audio,)
        return ({"waveform": audio["waveform"] * 10 ** (volume / 20), "sample_rate": audio["sample_rate"]},)


class AudioEqualizer3Band(_Edit):
    TITLE = "Audio Equalizer (3-Band)"
    DESCRIPTION = "Turns bass, middle and treble up or down. What gets louder than full scale is clipped."
    SEARCH_ALIASES: ClassVar = ["eq", "bass boost", "treble boost", "equalizer"]
    EXPERIMENTAL = True
    REQUIRED: ClassVar = {
        "audio": _AUDIO,
        "low_gain_dB": ("FLOAT", {"default": 0.0, "min": -24.0, "max": 24.0, "step": 0.1}),
        "low_freq": ("INT", {"default": 100, "min": 20, "max": 500, "tooltip": "Below it is bass, in hertz."}),
        "mid_gain_dB": ("FLOAT", {"default": 0.0, "min": -24.0, "max": 24.0, "step": 0.1}),
        "mid_freq": ("INT", {"default": 1000, "min": 200, "max": 4000, "tooltip": "Center of the middle, in hertz."}),
        "mid_q": ("FLOAT", {"default": 0.707, "min": 0.1, "max": 10.0, "step": 0.1, "tooltip": "Higher is narrower."}),
        "high_gain_dB": ("FLOAT", {"default": 0.0, "min": -24.0, "max": 24.0, "step": 0.1}),
        "high_freq": ("INT", {"default": 5000, "min": 1000, "max": 15000, "tooltip": "Above it is treble, in hertz."}),
    }

    def run(
        self,
        audio: Audio,
        low_gain_dB: float,
        low_freq: int,
        mid_gain_dB: float,
        mid_freq: int,
        mid_q: float,
        high_gain_dB: float,
        high_freq: int,
    ) -> tuple[Audio]:
        waveform, rate = audio["waveform"], audio["sample_rate"]
        bands = (
            ("low", low_gain_dB, low_freq, 0.707),
            ("mid", mid_gain_dB, mid_freq, mid_q),
            ("high", high_gain_dB, high_freq, 0.707),
        )
        for band, gain, frequency, q in bands:
            if gain == 0:
                continue
            if 2 * frequency >= rate:
                raise AudioError(
                    f"Audio of {rate} Hz holds nothing at {frequency} Hz; set {band}_freq below {rate // 2}."
                )
            waveform = _filtered(waveform, *_biquad(band, gain, 2 * math.pi * frequency / rate, q)).clamp(-1, 1)
        return ({"waveform": waveform, "sample_rate": rate},)


def _biquad(band: str, gain: float, angle: float, q: float) -> tuple[Tensor, Tensor]:
    """Feed-forward and feedback coefficients `[3]` of a shelf or a peak, by R. Bristow-Johnson's Audio EQ Cookbook.

    In fp32, as ComfyUI has them: near 0 Hz their rounding is heard.

    Args:
        band: low and high for shelves, mid for a peak.
        gain: in decibels. angle: of its frequency, in radians per sample.
    """
    import torch

    w, a = torch.tensor(angle), torch.exp(torch.tensor(gain) / 40 * math.log(10))
    cosine, alpha = torch.cos(w), torch.sin(w) / 2 / torch.tensor(q)
    if band == "mid":
        forward, back = [1 + alpha * a, -2 * cosine, 1 - alpha * a], [1 + alpha / a, -2 * cosine, 1 - alpha / a]
    else:
        s = 1 if band == "low" else -1
        slope, more, less = 2 * torch.sqrt(a) * alpha, (a + 1) * cosine, (a - 1) * cosine
        forward = [a * (a + 1 - s * less + slope), s * 2 * a * (a - 1 - s * more), a * (a + 1 - s * less - slope)]
        back = [a + 1 + s * less + slope, s * -2 * (a - 1 + s * more), a + 1 + s * less - slope]
    return torch.stack(forward) / back[0], torch.stack(back) / back[0]


def _filtered(waveform: Tensor, forward: Tensor, back: Tensor) -> Tensor:
    """`waveform` `[B, C, S]` through a recursive filter that starts at rest.

    One channel after the other by its spectrum, with room for the filter to die away in: no loop over samples. In main
    memory, because not every device has double precision and complex numbers.
    """
    import numpy as np
    import torch

    forward, back = forward.cpu(), back.cpu()
    slowest = max(np.abs(np.roots(back.double().numpy())))
    tail = math.ceil(math.log(1e-9) / math.log(slowest)) if 0 < slowest < 1 else 0
    samples = waveform.shape[-1]
    size = 2 ** math.ceil(math.log2(samples + tail + 1))
    response = torch.fft.rfft(forward.double(), size) / torch.fft.rfft(back.double(), size)
    channels = waveform.cpu().reshape(-1, samples)
    done = [torch.fft.irfft(torch.fft.rfft(channel.double(), size) * response, size)[:samples] for channel in channels]
    return torch.stack(done).to(waveform).reshape(waveform.shape)


def _at_one_rate(first: Audio, second: Audio) -> tuple[Tensor, Tensor, int]:
    rate = max(first["sample_rate"], second["sample_rate"])
    return _resampled(first, rate), _resampled(second, rate), rate


def _resampled(audio: Audio, rate: int) -> Tensor:
    import torch

    if audio["sample_rate"] == rate:
        return audio["waveform"]
    return torch.stack([resample(song, audio["sample_rate"], rate) for song in audio["waveform"]])


def _alike(first: Tensor, second: Tensor) -> list[Tensor]:
    """Both with the same batch and channels: one song, or one channel, stands for all."""
    wanted = []
    for name, here, there in zip(("songs", "channels"), first.shape, second.shape, strict=False):
        if here != there and 1 not in (here, there):
            raise AudioError(f"One audio has {here} {name} and the other {there}; make them alike first.")
        wanted.append(max(here, there))
    return [part.expand(*wanted, part.shape[-1]) for part in (first, second)]


AUDIO_EDITS = {
    cls.__name__: cls
    for cls in (
        EmptyAudio,
        TrimAudioDuration,
        SplitAudioChannels,
        JoinAudioChannels,
        AudioConcat,
        AudioMerge,
        AudioAdjustVolume,
        AudioEqualizer3Band,
    )
}
