"""The sounds of the built-in model's codec: resonators for notes, waveforms for drums."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acestep_core.builtin.rolls import BASS, CHORD, LEAD

RATE, STRIDE, HOP = 48000, 960, 1920
SLOW, FAST = range(36, 84), range(60, 104)
"""MIDI notes of the two banks of resonators; the fast one, which dies away sooner, is the melody's."""
SLICES = {"kick": 9, "snare": 8, "hat": 3, "crash": 12}
"""20 ms slices of each drum."""
FIRST_SLICE = dict(zip(SLICES, (2 * (len(SLOW) + len(FAST)) + sum(list(SLICES.values())[:n]) for n in range(4))))
WIDTH = 2 * (len(SLOW) + len(FAST)) + sum(SLICES.values())
PARTS = {
    "bass": (BASS, SLOW, ((0, 0.7), (12, 0.45), (19, 0.25), (24, 0.12)), (0.9, 0.1, 0.0)),
    "chord": (CHORD, SLOW, ((0, 0.5), (12, 0.2), (19, 0.08)), (0.45, 0.35, 0.2)),
    "lead": (LEAD, FAST, ((0, 0.75), (12, 0.3), (19, 0.16), (24, 0.08)), (1.0, 0.0, 0.0)),
}
"""Notes, resonators, partials (semitones above, loudness) and attack over three 20 ms frames, in channel order."""


def frequency(note: int) -> float:
    """Hertz of a MIDI note."""
    return 440 * 2 ** ((note - 69) / 12)


def resonators() -> list[tuple[float, float, float, float]]:
    """Frequency, shrinking per 20 ms, left and right loudness of every resonator, the slow bank first."""
    found = []
    for note in SLOW:
        fall = 14 + 10 * (note - SLOW[0]) / 48  # dB over its 36 frames
        side = 0.0 if note < 48 else 0.12 if note % 2 else -0.12
        found.append((frequency(note), 10 ** (-fall / 20 / 36), 1 - side, 1 + side))
    for note in FAST:
        fall = 24 + 14 * (note - FAST[0]) / 44
        found.append((frequency(note), 10 ** (-fall / 20 / 36), 0.8, 1.1))
    return found


def turn(hertz: float, shrink: float, frames: int) -> complex:
    """What a resonator is multiplied with in so many 20 ms frames."""
    angle = 2 * math.pi * hertz * frames * STRIDE / RATE
    return shrink**frames * complex(math.cos(angle), math.sin(angle))


def drum_wave(drum: str) -> tuple[Tensor, tuple[float, float]]:
    """The sound of a drum `[960 slices]`, and its loudness left and right."""
    length = SLICES[drum] * STRIDE
    time = torch.arange(length) / RATE
    noise = torch.randn(length, generator=torch.Generator().manual_seed(7))

    def hiss(order: int) -> Tensor:
        """Noise without its low frequencies."""
        x = noise
        for _ in range(order):
            x = torch.cat([x[:1], x.diff()])
        return x / x.std()

    if drum == "kick":
        hertz = 48 + 110 * torch.exp(-time / 0.03)
        wave = 1.1 * torch.sin(2 * math.pi * torch.cumsum(hertz / RATE, 0)) * torch.exp(-time / 0.07)
        wave, sides = wave + 0.25 * noise * torch.exp(-time / 0.003), (1.0, 1.0)
    elif drum == "snare":
        wave = 0.45 * torch.sin(2 * math.pi * 190 * time) * torch.exp(-time / 0.04)
        wave, sides = wave + 0.22 * hiss(1) * torch.exp(-time / 0.045), (1.0, 0.95)
    elif drum == "hat":
        wave, sides = 0.10 * hiss(2) * torch.exp(-time / 0.014), (0.7, 1.1)
    else:
        wave, sides = 0.09 * hiss(2) * torch.exp(-time / 0.09), (1.1, 0.7)
    wave[-480:] *= torch.linspace(1, 0, 480)
    return wave, sides
