"""Piano rolls as latents, and the little composer that makes the songs the built-in model learns from.

A latent frame is 40 ms; each of its 64 channels is a note or a drum, and the value `STRIKE` means: strike it now. So a
song is a sparse piano roll, the codec (`codec.py`) is an instrument that plays it, and what the DiT has to learn is
which notes follow from which request. Everything plays in bars of four beats, on eighths.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

FRAMES_PER_SECOND = 25
STRIKE = 5.0
"""The value of a strike; nothing is 0."""
BASS, CHORD, LEAD = range(36, 48), range(48, 72), range(60, 84)
"""MIDI notes of the three parts, in the order of their channels."""
DRUMS = ("kick", "snare", "hat", "crash")
FIRST_BASS, FIRST_CHORD, FIRST_LEAD, FIRST_DRUM = 0, 12, 36, 60
CHANNELS = 64

PLACES = 8
"""Eighths in a bar."""
BARS = tuple(38 * (100 / 38) ** (i / 31) for i in range(32))
"""Frames of a bar, by tempo class: 158 to 60 bpm, each 3.2 % longer than the one before."""
EVEN_BARS = {2: 40.0, 9: 50.0, 15: 60.0, 20: 70.0, 24: 80.0, 28: 90.0}
"""Classes whose bars are a whole number of codes but for about a frame (some 150 to 67 bpm), and the
frames of that: what a language model can count.
"""
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
MODES = tuple(SCALES)
PROGRESSIONS = {
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (0, 3, 0, 4), (0, 4, 3, 0)),
    "minor": ((0, 5, 3, 4), (0, 3, 4, 0), (0, 4, 0, 3), (0, 4, 3, 0), (0, 6, 5, 4)),
}
"""A chord for each of four bars, as degrees of the scale; those from whose sound the key can be told."""
PHRASE = len(PROGRESSIONS["major"][0])
FIGURES = (
    (0, 1, 2, 3, 4, 3, 2, 1),
    (4, 3, 2, 1, 0, 1, 2, 1),
    (2, 1, 0, 1, 2, 3, 4, 3),
    (4, 4, 5, 4, 2, 2, 1, 0),
)
"""What a melody does in a bar: at each eighth a degree above the chord's root, a note of the chord on strong beats."""
FORM = (0, 0, 1, 0)
"""Which of a song's two figures the bars of a phrase play."""
ARPEGGIO = (0, 1, 2, 1)
"""In which order a chord is played note by note, from its lowest on."""


@dataclass(frozen=True)
class Style:
    """How a style plays: the eighths of the bar each part strikes on, and what it is like where nothing is said.

    `leads` are the rhythms of the melody, one of which a bar takes. `bpm` and `mode` are its habits, `drums` and `lead`
    whether it has them unasked, `fifths` whether the bass goes between root and fifth, `arpeggio` whether chords are
    played note by note.
    """

    kick: tuple[int, ...]
    snare: tuple[int, ...]
    hat: tuple[int, ...]
    bass: tuple[int, ...]
    chords: tuple[int, ...]
    leads: tuple[tuple[int, ...], ...]
    bpm: int
    mode: str
    drums: bool = True
    lead: bool = True
    fifths: bool = False
    arpeggio: bool = False

    @property
    def bass_turns(self) -> tuple[int, ...]:
        """What each strike of the bass in a bar is: 0 the root, 1 the fifth."""
        return tuple(n % 2 if self.fifths else 0 for n in range(len(self.bass)))

    @property
    def chord_turns(self) -> tuple[int, ...]:
        """What each strike of the chord in a bar is: a note's number where they come one by one, else 0 for all."""
        return tuple(ARPEGGIO[n % len(ARPEGGIO)] if self.arpeggio else 0 for n in range(len(self.chords)))


EVERY = tuple(range(PLACES))
STYLES: dict[str, Style] = {
    "pop": Style((0, 4), (2, 6), EVERY, (0, 3, 4, 7), (0, 2, 4, 6), ((0, 2, 4, 6), (0, 2, 4, 5, 6)), 112, "major"),
    "rock": Style((0, 3, 4), (2, 6), EVERY, EVERY, (0, 4), ((0, 2, 4, 6), (0, 1, 2, 4, 6)), 126, "minor"),
    "electronic": Style(
        (0, 2, 4, 6), (2, 6), (1, 3, 5, 7), (1, 3, 5, 7), (1, 3, 5, 7), ((0, 2, 4, 6), (0, 3, 4, 6)), 128, "minor"
    ),
    "jazz": Style(
        (0,),
        (),
        (0, 2, 3, 4, 6, 7),
        (0, 2, 4, 6),
        (0, 3, 6),
        ((0, 2, 4, 6, 7), (0, 3, 4, 6, 7)),
        116,
        "major",
        fifths=True,
    ),
    "folk": Style((0, 4), (), (2, 6), (0, 4), (2, 6), ((0, 2, 4, 6), (0, 2, 3, 4, 6)), 96, "major", False, fifths=True),
    "funk": Style((0, 3, 5), (2, 6), EVERY, (0, 1, 3, 6), (1, 3, 5, 7), ((0, 3, 4, 6), (0, 3, 4, 7)), 108, "minor"),
    "ambient": Style((), (), (), (0,), (0,), ((0, 4), (0, 4, 6)), 72, "major", False),
    "classical": Style(
        (), (), (), (0, 4), EVERY, ((0, 2, 4, 6), (0, 4, 6)), 88, "minor", False, fifths=True, arpeggio=True
    ),
}
STYLE_NAMES = tuple(STYLES)


@dataclass(frozen=True)
class Score:
    """What a song is to be: `tempo` is a class of `BARS`, `tonic` a semitone above C."""

    tempo: int
    tonic: int
    mode: str
    style: str
    drums: bool
    lead: bool

    @property
    def bar(self) -> float:
        """Frames of a bar, no whole number."""
        return BARS[self.tempo]

    @property
    def bpm(self) -> float:
        return 6000 / self.bar

    @property
    def scale(self) -> frozenset[int]:
        """The semitones of its key, 0 to 11."""
        return frozenset((self.tonic + step) % 12 for step in SCALES[self.mode])

    @property
    def key(self) -> int:
        """0 to 23: major keys from C on, then minor ones."""
        return self.tonic + 12 * MODES.index(self.mode)


def draw_score(rng: random.Random) -> Score:
    """Any score; ambient and classical mostly without drums, which they do not play."""
    return Score(
        rng.randrange(len(BARS)),
        rng.randrange(12),
        rng.choice(MODES),
        rng.choice(STYLE_NAMES),
        rng.random() < 0.7,
        rng.random() < 0.7,
    )


def tempo_class(bpm: float) -> int:
    """The class nearest to a tempo; what is slower or faster than the classes goes an octave up or down."""
    while bpm < 58.5:
        bpm *= 2
    while bpm > 162:
        bpm /= 2
    return min(range(len(BARS)), key=lambda i: abs(BARS[i] * bpm / 6000 - 1))


def onset(place: int, bar: float) -> int:
    """The frame of an eighth, counted from the song's start; at 8 the second bar begins."""
    return round(place * bar / PLACES)


def compose(score: Score, frames: int, rng: random.Random) -> Tensor:
    """A song `[frames, 64]` of that score; chords, the melody's two figures and crashes are drawn."""
    style, scale, bar = STYLES[score.style], SCALES[score.mode], score.bar
    strikes: list[tuple[int, int]] = []
    progression = rng.choice(PROGRESSIONS[score.mode])
    figures = rng.sample(FIGURES, 2)
    rhythms = [rng.choice(style.leads) for _ in figures]
    for number in range(int(frames / bar) + 1):
        root = progression[number % PHRASE]
        degrees = [(root + step) % 7 for step in (0, 2, 4)]
        triad = [(score.tonic + scale[d]) % 12 for d in degrees]

        def strike(channel: int, place: int, first: int = PLACES * number) -> None:
            strikes.append((onset(first + place, bar), channel))

        voices = sorted(FIRST_CHORD + 4 + (note - 4) % 12 for note in triad)  # MIDI 52 to 63
        for place, turn in zip(style.chords, style.chord_turns):
            for voice in voices[turn : turn + 1] if style.arpeggio else voices:
                strike(voice, place)
        for place, turn in zip(style.bass, style.bass_turns):
            strike(FIRST_BASS + triad[2 * turn], place)
        if score.drums:
            for drum, places in enumerate((style.kick, style.snare, style.hat)):
                for place in places:
                    strike(FIRST_DRUM + drum, place)
            if style.kick and rng.random() < 0.2:
                strike(FIRST_DRUM + 3, 0)
        if score.lead:
            figure = FORM[number % PHRASE]
            for place in rhythms[figure]:
                degree = root + figures[figure][place] + (7 if root < 2 else 0)
                note = (score.tonic + scale[degree % 7]) % 12
                strike(FIRST_LEAD + note + (12 if degree >= 8 else 0), place)
    roll = torch.zeros(frames, CHANNELS)
    when, what = zip(*((t, c) for t, c in strikes if t < frames))
    roll[list(when), list(what)] = STRIKE
    return roll
