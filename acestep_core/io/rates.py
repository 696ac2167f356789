"""Another sample rate: by soxr, or by a filter of our own on systems that it has no build for (Windows on ARM)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from math import gcd
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from numpy import ndarray

_ZEROS: Final = 64
"""Zero crossings of the filter on either side."""
_ROLLOFF: Final = 0.945
"""Where the filter ends, as a part of the lower of both half rates."""
_KAISER: Final = 14.77  # what leaks is below -140 dB
_AT_ONCE: Final = 1 << 15
"""Samples that are made at once, and filters that are kept."""


def has_soxr() -> bool:
    return find_spec("soxr") is not None


def resampled(blocks: Iterable[ndarray], rate: int, wanted: int, channels: int) -> Iterator[ndarray]:
    """Blocks float32 `[S, C]` at another rate: about `S * wanted / rate` samples, the same however they were cut.

    soxr's high quality, so that every machine feeds the models the same samples; without soxr everything is read first.
    """
    import numpy as np

    if rate == wanted:
        yield from blocks
    elif has_soxr():
        import soxr

        stream = soxr.ResampleStream(rate, wanted, channels, dtype="float32", quality="HQ")
        for block in blocks:
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    else:
        yield by_sinc(np.concatenate([np.zeros((0, channels), np.float32), *blocks]), rate, wanted)


def by_sinc(samples: ndarray, rate: int, wanted: int) -> ndarray:
    """`[S, C]` at another rate by a sinc under a Kaiser window (J. O. Smith, "Digital Audio Resampling")."""
    import numpy as np

    steps, parts = rate // gcd(rate, wanted), wanted // gcd(rate, wanted)
    cutoff = _ROLLOFF * min(1.0, wanted / rate)
    reach = int(_ZEROS / cutoff) + 1
    taps = np.arange(-reach + 1, reach + 1)

    def filters(phases: ndarray) -> ndarray:
        """A filter for each place between two samples, `[places, taps]`."""
        away = (phases / parts)[:, None] - taps
        window = np.i0(_KAISER * np.sqrt(np.clip(1 - (away * cutoff / _ZEROS) ** 2, 0, None))) / np.i0(_KAISER)
        return (cutoff * np.sinc(cutoff * away) * window * (np.abs(away) * cutoff < _ZEROS)).astype(np.float32)

    table = filters(np.arange(parts)) if parts <= _AT_ONCE else None
    padded = np.pad(samples, ((reach - 1, reach), (0, 0)))
    around = np.lib.stride_tricks.sliding_window_view(padded, len(taps), axis=0)
    made = np.empty((len(samples) * wanted // rate, samples.shape[1]), np.float32)
    for start in range(0, len(made), _AT_ONCE):
        places = np.arange(start, min(start + _AT_ONCE, len(made))) * steps
        heard = around[places // parts]
        chosen = filters(places % parts) if table is None else table[places % parts]
        made[start : start + len(places)] = np.einsum("nct,nt->nc", heard, chosen)
    return made
