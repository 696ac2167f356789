"""The metronome of the built-in model, which lives in its silence latent.

A DiT sees how far two places are apart, never when something is, and a small one does not learn to count bars. So the
latents that stand for "no source" hold 32 click tracks, one for each tempo class, in a channel each. The two frames of
a patch hold a point of a circle: its angle says which eighth of the bar is struck here, and in which of the two frames.
A second channel of each class says with the first of the frames which of four bars it is.
At a twentieth of a strike the codec's soft quantiser makes them inaudible.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from acestep_core.builtin.rolls import BARS, CHANNELS, PHRASE, PLACES, onset

HEIGHT = 0.25
ANGLES = 2 * PLACES
"""A step for each eighth and each frame of a patch."""
BAR_LEVELS = (-1.0, -0.5, 0.5, 1.0)
"""The second channel's value for each bar of a phrase, in heights; where nothing is struck it is 0."""


def angle(place: int, frame: int) -> float:
    """Where on the circle a click of an eighth (0 to 7) in one of a patch's two frames lies."""
    return 2 * math.pi * (2 * place + frame) / ANGLES


@cache
def clock(frames: int) -> Tensor:
    """The click tracks `[frames, 64]`, for an even number of frames. Nobody may write to it."""
    tracks = torch.zeros(frames, CHANNELS)
    for channel, bar in enumerate(BARS):
        for n in range(PLACES * (int(frames / bar) + 1)):
            when = onset(n, bar)
            if when < frames:
                patch, frame = divmod(when, 2)
                point = angle(n % PLACES, frame)
                tracks[2 * patch, channel] = HEIGHT * math.cos(point)
                tracks[2 * patch + 1, channel] = HEIGHT * math.sin(point)
                tracks[2 * patch, len(BARS) + channel] = HEIGHT * BAR_LEVELS[n // PLACES % PHRASE]
    return tracks
