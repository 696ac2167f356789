"""The outline of a recording, for drawing it, and how loud it is: what a player needs before it has the sound."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.io.decode import opened, part

if TYPE_CHECKING:
    from numpy import ndarray

MOST = 1024
"""Points of an outline. A screen shows fewer bars, and as JSON they stay far below 10 kB."""
_HOP = 0.01
"""Seconds that are looked at together; an outline has at most one point for each."""
_GATE_DB, _RELATIVE_DB = -70.0, -10.0
"""Silence does not count for loudness, nor what lies this far below the rest (as in EBU R 128)."""
_HOPS = 40
"""Hops of one block of loudness, 400 ms."""


@dataclass(frozen=True)
class Peaks:
    """Attributes:
    seconds: length.
    levels: the largest sample of each of up to `MOST` equal parts, 0 to 255 for full scale.
    peak_db: the largest sample of all, in dB below full scale; -120 for silence.
    loudness_db: mean power of what is not silent, in dB below that of a full scale square wave; -120 for silence.
    """

    seconds: float
    levels: tuple[int, ...]
    peak_db: float
    loudness_db: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def peaks_of(path: Path) -> Peaks:
    """The outline of a recording; read once, block by block, and remembered until the file changes.

    Raises:
        AudioError: it is absent or cannot be read.
    """
    known = path.stat() if path.is_file() else None
    return _read(path, 0 if known is None else known.st_mtime_ns, 0 if known is None else known.st_size)


@lru_cache(maxsize=256)
def _read(path: Path, changed: int, size: int) -> Peaks:
    import numpy as np

    with opened(path) as sound:
        hop, samples = max(1, round(sound.rate * _HOP)), 0
        largest: list[ndarray] = []
        power: list[ndarray] = []
        rest = np.zeros((0, len(sound.speakers)), np.float32)
        for block in part(sound, path.name):
            samples += len(block)
            block = np.concatenate([rest, block])
            whole = len(block) // hop * hop
            _look(block[:whole].reshape(-1, hop, block.shape[1]), largest, power)
            rest = block[whole:]
        if len(rest):
            _look(rest[None], largest, power)
        levels, powers = np.concatenate(largest), np.concatenate(power)
    peak = float(levels.max())
    shown = np.maximum.reduceat(levels, np.linspace(0, len(levels), min(MOST, len(levels)), endpoint=False).astype(int))
    heights = np.clip(np.round(shown * 255), 0, 255).astype(int)
    return Peaks(round(samples / sound.rate, 3), tuple(heights.tolist()), _db(peak * peak), _loudness(powers))


def _look(hops: ndarray, largest: list[ndarray], power: list[ndarray]) -> None:
    """Notes the largest sample and the mean power of each of the hops `[N, hop, C]`."""
    import numpy as np

    if len(hops):
        largest.append(np.abs(hops).max(axis=(1, 2)))
        power.append(np.square(hops, dtype=np.float64).mean(axis=(1, 2)))


def _loudness(powers: ndarray) -> float:
    import numpy as np

    blocks = np.array([powers[at : at + _HOPS].mean() for at in range(0, len(powers), _HOPS)])
    for gate in (_GATE_DB, None):
        floor = 10 ** ((_db(float(blocks.mean())) + _RELATIVE_DB if gate is None else gate) / 10)
        if not (blocks > floor).any():
            return _db(0.0)
        blocks = blocks[blocks > floor]
    return _db(float(blocks.mean()))


def _db(power: float) -> float:
    from math import log10

    return round(10 * log10(max(power, 1e-12)), 2)
