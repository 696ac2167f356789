"""Makes the recordings that workflows open with: `python workflows/examples.py`.

A song of ten seconds by the built-in model, which therefore hears it well (stereo, MP3, 44.1 kHz: 120 beats a minute in
A minor), and a voice of nothing but sines and noise (mono, FLAC, 24 kHz), so that both kinds of recording that need to
be converted are there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from acestep_core import generate
from acestep_core.checkpoints.catalog import TOY
from acestep_core.io.audio import resample
from acestep_core.vocabulary import SAMPLE_RATE

FOLDER = Path(__file__).resolve().parent / "examples"
SECONDS = 10
MELODY = (69, 72, 76, 74, 72, 69, 67, 69, 72, 76, 77, 76, 74, 72, 71, 69, 69, 71, 72, 74)
VOWELS = ((700, 1220, 2600), (300, 870, 2240), (530, 1840, 2480), (400, 800, 2400))
"""Formants of a, u, e and o."""
Sound = np.ndarray


def pitch(note: float) -> float:
    return 440.0 * 2 ** ((note - 69) / 12)


def song(rate: int) -> Sound:
    """Bass, chords, drums and a melody; `[samples, 2]`."""
    caption = "happy pop with drums and a lead melody"
    made = generate(caption, bpm=120, keyscale="A minor", duration=SECONDS, seed=7, models=TOY)
    return resample(made.audio[0], SAMPLE_RATE, rate).T.numpy()


def voice(rate: int) -> Sound:
    """A hummed melody on vowels, with vibrato and breath; `[samples]`."""
    time = np.arange(SECONDS * rate) / rate
    draws = np.random.default_rng(2)
    sung = np.zeros_like(time)
    for place in range(SECONDS):
        note, vowel = MELODY[place * 2] - 5, VOWELS[place % len(VOWELS)]
        after = time - place
        tone = pitch(note) * after + 0.35 * np.sin(2 * np.pi * 5.2 * after) * np.clip(after * 2, 0, 1)
        shape = np.clip(after * 9, 0, 1) * np.clip((0.94 - after) * 12, 0, 1)
        for n in range(1, 24):
            hertz = pitch(note) * n
            loud = sum(np.exp(-(((hertz - peak) / (90 + 40 * i)) ** 2)) / (1 + i) for i, peak in enumerate(vowel))
            sung += (loud + 0.02) / n**0.5 * np.sin(2 * np.pi * n * tone) * shape
    sung += 0.004 * draws.standard_normal(len(time))
    return 0.7 * sung / np.abs(sung).max()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    soundfile.write(FOLDER / "acestep_example_song.mp3", song(44_100), 44_100, format="MP3", subtype="MPEG_LAYER_III")
    soundfile.write(FOLDER / "acestep_example_voice.flac", voice(24_000), 24_000, subtype="PCM_16")


if __name__ == "__main__":
    main()
