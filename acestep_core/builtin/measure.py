"""What a song of the built-in model is like, read from its roll and, independently of it, heard from its sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acestep_core.builtin.rolls import (
    CHANNELS,
    FIRST_CHORD,
    FIRST_DRUM,
    FIRST_LEAD,
    FRAMES_PER_SECOND,
    PLACES,
    SCALES,
    STRIKE,
    STYLE_NAMES,
    Score,
    compose,
    onset,
)

RATE = 48000
PROFILES = {
    "major": (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    "minor": (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
}
"""How much of each semitone above its tonic is played in a key (Albrecht and Shanahan 2013)."""


@dataclass(frozen=True)
class Roll:
    """What a roll has of what was asked.

    Shares are of strikes, rates per second; NaN where there is nothing to count.

    Attributes:
        in_key: notes in the asked key.
        on_grid: strikes on an eighth of the asked tempo, to the frame.
        triads: bars whose chord notes are of one triad of the key.
    """

    in_key: float
    on_grid: float
    triads: float
    strikes: float
    drums: float
    lead: float


def read_roll(latents: Tensor, score: Score) -> Roll:
    """Counts the strikes of latents `[T, 64]` against the score that was asked for."""
    struck = latents > STRIKE / 2
    frames, channels = struck.nonzero().unbind(1)
    seconds = len(latents) / FRAMES_PER_SECOND
    notes = channels[channels < FIRST_DRUM] % 12
    scale = torch.tensor(sorted(score.scale))
    grid = torch.tensor([onset(n, score.bar) for n in range(PLACES * (int(len(latents) / score.bar) + 1))])
    return Roll(
        in_key=torch.isin(notes, scale).float().mean().item(),
        on_grid=torch.isin(frames, grid).float().mean().item(),
        triads=_clean_bars(struck, score),
        strikes=len(frames) / seconds,
        drums=int((channels >= FIRST_DRUM).sum()) / seconds,
        lead=int(((channels >= FIRST_LEAD) & (channels < FIRST_DRUM)).sum()) / seconds,
    )


def _clean_bars(struck: Tensor, score: Score) -> float:
    """The share of bars with chords in which all notes of the chords are of one triad of the key."""
    steps = SCALES[score.mode]
    triads = [{(score.tonic + steps[(root + third) % 7]) % 12 for third in (0, 2, 4)} for root in range(7)]
    clean = []
    for number in range(int(len(struck) / score.bar)):
        bar = struck[onset(PLACES * number, score.bar) : onset(PLACES * (number + 1), score.bar)]
        heard = {int(c) % 12 for c in bar[:, FIRST_CHORD:FIRST_LEAD].any(0).nonzero()}
        if heard:
            clean.append(any(heard <= triad for triad in triads))
    return sum(clean) / len(clean) if clean else float("nan")


def nearest_style(latents: Tensor, score: Score) -> str:
    """The style whose pattern of eighths the roll is most like, whatever was asked for."""
    import random

    found = _profile(latents, score)
    likeness = {}
    for style in STYLE_NAMES:
        of_style = Score(score.tempo, score.tonic, score.mode, style, score.drums, score.lead)
        wanted = _profile(compose(of_style, len(latents), random.Random(0)), score)
        likeness[style] = torch.dist(found, wanted).item()
    return min(likeness, key=likeness.__getitem__)


def _profile(latents: Tensor, score: Score) -> Tensor:
    """How often each part is struck at each eighth of the bar, `[7, 8]`; the melody does not count."""
    struck = latents > STRIKE / 2
    drums = struck[:, FIRST_DRUM:].float()
    parts = [struck[:, :FIRST_CHORD].any(1), struck[:, FIRST_CHORD:FIRST_LEAD].sum(1) / 3]
    table = torch.stack([*(part.float() for part in parts), *drums[:, :3].unbind(1)])
    bars = int(len(latents) / score.bar)
    places = [
        sum(table[:, onset(PLACES * number + place, score.bar)] for number in range(bars)) for place in range(PLACES)
    ]
    return torch.stack(places, 1) / max(bars, 1)  # type: ignore[arg-type]


# --- sound ----------------------------------------------------------------------------------------------------------


def heard_keys(audio: Tensor) -> list[tuple[int, str]]:
    """Keys of a sound `[2, S]` as `(tonic, mode)`, the likeliest first, by how much of each semitone is in it."""
    mono = audio.cpu().mean(0)
    size, hop = 16384, 2048
    spectrum = torch.stft(mono, size, hop, window=torch.hann_window(size), return_complex=True).abs()
    hertz = torch.arange(size // 2 + 1) * RATE / size
    heard = (hertz > 120) & (hertz < 1200)
    semitones = (12 * torch.log2(hertz[heard] / 440)).round().long().add(69) % 12
    chroma = torch.zeros(12).index_add_(0, semitones, spectrum[heard].pow(2).sum(1)).sqrt()
    fits = {}
    for mode, profile in PROFILES.items():
        for tonic in range(12):
            pair = torch.stack([torch.tensor(profile).roll(tonic), chroma])
            fits[tonic, mode] = torch.corrcoef(pair)[0, 1].item()
    return sorted(fits, key=fits.__getitem__, reverse=True)


def heard_tempo(audio: Tensor, low: float = 40, high: float = 210) -> float:
    """The bpm of a sound `[2, S]`: of the strongest pulse whose bars are alike."""
    mono = audio.cpu().mean(0)
    hop, size = 480, 1024
    spectrum = torch.stft(mono, size, hop, window=torch.hann_window(size), return_complex=True).abs()
    rises = torch.log1p(30 * spectrum).diff(dim=1).clamp_min(0).sum(0)
    pulses = (rises - rises.mean()).numpy()
    count = len(pulses)
    bpm, when = np.arange(low, high, 0.1), np.arange(count) * hop / RATE
    strength = np.abs(np.exp(-2j * np.pi * bpm[:, None] / 60 * when) @ pulses)
    # Off-beats make a pulse, too, such as one of three where there are two; but bars of that are unlike.
    alike = np.fft.irfft(np.abs(np.fft.rfft(pulses, 2 * count)) ** 2)[:count] / np.arange(count, 0, -1)
    alike = np.convolve(alike, (1, 2, 3, 2, 1), "same")  # a strike may be a frame early or late
    bar = PLACES / 2 * 60 * RATE / hop / bpm  # two eighths are a beat
    return float(bpm[(strength * np.interp(bar, np.arange(count), alike).clip(0)).argmax()])


def same_tempo(found: float, asked: float, within: float = 0.02) -> bool:
    """Whether two tempos are the same, or octaves of one another."""
    return any(abs(found * octave / asked - 1) <= within for octave in (0.25, 0.5, 1, 2, 4))


def overlap(first: Tensor, second: Tensor) -> float:
    """How many of the strikes of two rolls they have in common: 1 for the same roll."""
    assert first.shape[-1] == CHANNELS
    a, b = first > STRIKE / 2, second > STRIKE / 2
    return (a & b).sum().item() / max(1, (a | b).sum().item())


def mean(values: Sequence[float]) -> float:
    """The mean of what is a number; NaN where nothing is."""
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")
