"""Makes the recordings that workflows open with, from nothing but sines and noise: `python workflows/examples.py`.

A song of ten seconds (stereo, MP3, 44.1 kHz: 120 beats a minute in A minor) and a voice (mono, FLAC, 24 kHz), so that
both kinds of recording that need to be converted are there. The same numbers give the same sound.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

FOLDER = Path(__file__).resolve().parent / "examples"
SECONDS, BEAT = 10, 0.5
CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))
MELODY = (69, 72, 76, 74, 72, 69, 67, 69, 72, 76, 77, 76, 74, 72, 71, 69, 69, 71, 72, 74)
VOWELS = ((700, 1220, 2600), (300, 870, 2240), (530, 1840, 2480), (400, 800, 2400))
"""Formants of a, u, e and o."""
Sound = np.ndarray


def pitch(note: float) -> float:
    return 440.0 * 2 ** ((note - 69) / 12)


def decay(time: Sound, seconds: float) -> Sound:
    return np.where(time >= 0, np.exp(-np.maximum(time, 0) / seconds), 0.0)


def song(rate: int) -> Sound:
    """Chords, a bass, a plucked melody, a kick and brushes; `[samples, 2]`."""
    time = np.arange(SECONDS * rate) / rate
    draws = np.random.default_rng(1)
    left, right = np.zeros_like(time), np.zeros_like(time)
    for beat in range(int(SECONDS / BEAT)):
        after = time - beat * BEAT
        chord = CHORDS[beat // 4 % len(CHORDS)]
        on = (after >= 0) & (after < 4 * BEAT)
        if beat % 4 == 0:
            for place, note in enumerate(chord):
                pad = sum(np.sin(2 * np.pi * pitch(note + 12) * n * after + place) / n**2 for n in (1, 2, 3))
                swell = np.clip(after * 4, 0, 1) * np.clip((4 * BEAT - after) * 6, 0, 1) * on
                left += 0.05 * pad * swell * (1.2 - 0.3 * place)
                right += 0.05 * pad * swell * (0.6 + 0.3 * place)
        low = np.sin(2 * np.pi * pitch(chord[0] - 12) * after) * decay(after, 0.35) * 0.22
        kick = np.sin(2 * np.pi * (48 * after - 9 * np.exp(-np.maximum(after, 0) * 28))) * decay(after, 0.12) * 0.5
        brush = draws.standard_normal(len(time)) * decay(after - BEAT / 2, 0.04) * 0.05
        pluck = sum(
            np.sin(2 * np.pi * pitch(MELODY[beat % len(MELODY)]) * n * after) * decay(after, 0.3 / n) / n
            for n in (1, 2, 3, 4)
        )
        both = low + (kick if beat % 2 == 0 else 0.0)
        left += both + brush + 0.10 * pluck
        right += both - brush + 0.07 * pluck
    fade = np.clip(time * 50, 0, 1) * np.clip((SECONDS - time) * 2, 0, 1)
    mixed = np.stack((left, right), axis=1) * fade[:, None]
    return 0.8 * mixed / np.abs(mixed).max()


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
