"""From any number of channels to two, by ITU-R BS.775-3 annex 4: nothing but the low-frequency channel is lost."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from numpy import ndarray

_HALF = sqrt(0.5)
_MASK: Final = "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR".split()  # noqa: SIM905
"""Speakers by the bits of a WAV file's channel mask; FFmpeg uses the same names."""
_SURROUND: Final = {
    1: "FC",
    2: "FL FR",
    3: "FL FR FC",
    4: "FL FR BL BR",
    5: "FL FR FC BL BR",
    6: "FL FR FC LFE BL BR",
    7: "FL FR FC LFE BC SL SR",
    8: "FL FR FC LFE BL BR SL SR",
}
"""Order in WAV files without a mask, and in FLAC files (RFC 9639 §9.1.3)."""
_VORBIS: Final = {
    3: "FL FC FR",
    5: "FL FC FR BL BR",
    6: "FL FC FR BL BR LFE",
    7: "FL FC FR SL SR BC LFE",
    8: "FL FC FR SL SR BL BR LFE",
}
"""Order in Vorbis and Opus files (Vorbis I §4.3.9, RFC 7845 §5.1.1.2)."""
_GAINS: Final[dict[str, tuple[float, float]]] = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "FC": (_HALF, _HALF),
    "LFE": (0.0, 0.0),
    "BL": (_HALF, 0.0),
    "BR": (0.0, _HALF),
    "FLC": (1.0, 0.0),
    "FRC": (0.0, 1.0),
    "BC": (0.5, 0.5),
    "SL": (_HALF, 0.0),
    "SR": (0.0, _HALF),
    "TFL": (_HALF, 0.0),
    "TFR": (0.0, _HALF),
    "TBL": (_HALF, 0.0),
    "TBR": (0.0, _HALF),
}
"""What the left and the right one get of each speaker; those not named here stand in the middle, at a half."""


def speakers_of(channels: int, mask: int = 0, vorbis: bool = False) -> tuple[str, ...]:
    """Where each channel plays: by the mask if it fits, else by the usual order; `?` beyond eight."""
    if mask.bit_count() == channels and mask < 1 << len(_MASK):
        return tuple(name for bit, name in enumerate(_MASK) if mask >> bit & 1)
    order = _VORBIS.get(channels) if vorbis else None
    return tuple((order or _SURROUND.get(channels) or " ".join("?" * channels)).split())


def to_stereo(samples: ndarray, speakers: Sequence[str]) -> ndarray:
    """Mixes float32 `[S, C]` to `[S, 2]`; one channel is doubled, two stay as they are. The peak may exceed 1."""
    import numpy as np

    channels = samples.shape[1]
    if channels <= 2:
        return np.repeat(samples, 2, axis=1) if channels == 1 else samples
    mixed = np.zeros((len(samples), 2), np.float32)
    for channel, speaker in enumerate(speakers):
        for side, gain in enumerate(_GAINS.get(speaker, (0.5, 0.5))):
            if gain:
                mixed[:, side] += samples[:, channel] * np.float32(gain)
    return mixed
