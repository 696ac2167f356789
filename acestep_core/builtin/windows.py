"""What a code of the built-in model says: everything that happens in the 200 ms that it stands for.

A code is six digits, 8 x 8 x 8 x 5 x 5 x 5 as in the real model. There a trained encoder decides what they mean; here
they are written down, so that songs have few codes, and a small change of the music changes one digit. Five frames are
hardly ever struck twice. Digits 0 and 1 are a cell of a table of harmonies, digit 2 is the drums (or, where there are
none, another page of that table), digits 3 and 4 the melody, digit 5 is the frame of the strike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from acestep_core.builtin.rolls import (
    CHANNELS,
    FIRST_BASS,
    FIRST_CHORD,
    FIRST_DRUM,
    FIRST_LEAD,
    MODES,
    SCALES,
    STRIKE,
)

LEVELS = (8, 8, 8, 5, 5, 5)
BASIS = tuple(math.prod(LEVELS[:i]) for i in range(len(LEVELS)))
FRAMES = 5
CELLS = 64
REST = 2
"""The digit 5 of a window in which nothing is struck."""
NO_NOTES = 60
"""The cell of no harmony; no melody is 0."""
KICK, SNARE, HAT = range(3)
DRUM_SETS = tuple(map(frozenset[int], ((), (HAT,), (SNARE, HAT), (KICK, SNARE), (KICK,), (KICK, HAT))))
"""Drums that are struck together, in an order in which neighbours are alike. Crashes are left to the DiT."""
ARPEGGIOS, FIFTHS = 6, 7
"""Values of digit 2 that are pages of other harmonies. On the last, the second half goes with a hat."""


@dataclass(frozen=True)
class Harmony:
    """Bass and chord notes that are struck together.

    Attributes:
        kind: `none`, `both` (chord and root), `chord`, `bass`, `fifth` (chord over its fifth), and of arpeggios `note`,
            `low root` and `low fifth` (the chord's lowest note and what the bass plays).
        pitch: number of the chord (0 to 23, see `triad`), or of the note, in fifths from C.
    """

    kind: str
    pitch: int

    @property
    def channels(self) -> frozenset[int]:
        """What is struck."""
        if self.kind == "none":
            return frozenset()
        if self.kind == "bass":
            return frozenset((FIRST_BASS + 7 * self.pitch % 12,))
        if self.kind == "note":
            return frozenset((_voice(7 * self.pitch % 12),))
        root, third, fifth = triad(self.pitch)
        voices = sorted(_voice(note) for note in (root, third, fifth))
        bass = {"both": (root,), "chord": (), "fifth": (fifth,), "low root": (root,), "low fifth": (fifth,)}[self.kind]
        return frozenset((*(FIRST_BASS + note for note in bass), *voices[: 1 if "low" in self.kind else 3]))


def triad(number: int) -> tuple[int, int, int]:
    """Root, third and fifth, as semitones above C. Each chord shares two notes with the next: F, Am, C, Em, G, ..."""
    root = (5 + 7 * (number // 2) + 4 * (number % 2)) % 12
    steps = SCALES[MODES[number % 2]]
    return root, (root + steps[2]) % 12, (root + steps[4]) % 12


def _voice(note: int) -> int:
    """The channel of a chord's note, MIDI 52 to 63."""
    return FIRST_CHORD + 4 + (note - 4) % 12


@cache
def harmonies() -> tuple[tuple[Harmony, int], ...]:
    """Harmony and set of drums for each of the 512 values of digits 0 to 2; cells that are not used are empty."""
    none = Harmony("none", 0)
    chords = range(24)
    common = [*(Harmony("both", k) for k in chords), *(Harmony("chord", k) for k in chords)]
    common += [*(Harmony("bass", n) for n in range(12)), none]
    single = [Harmony("note", n) for n in range(12)]
    for kind in ("low root", "low fifth"):  # two chords may have the same
        for harmony in (Harmony(kind, k) for k in chords):
            if harmony.channels not in {known.channels for known in single}:
                single.append(harmony)
    half = [Harmony("fifth", k) for k in chords] + [none] * 8
    table = [(h, drums) for drums in range(len(DRUM_SETS)) for h in _filled(common)]
    table += [(h, 0) for h in _filled(single)]
    return (*table, *((h, 0) for h in half), *((h, 1) for h in half))


def _filled(cells: list[Harmony]) -> list[Harmony]:
    return cells + [Harmony("none", 0)] * (CELLS - len(cells))


@cache
def _bodies() -> dict[tuple[frozenset[int], int], int]:
    """Digits 0 to 2 as one number, by what is struck; the first of those that say the same."""
    found: dict[tuple[frozenset[int], int], int] = {}
    found[frozenset(), 0] = NO_NOTES
    for drums in range(len(DRUM_SETS)):
        found[frozenset(), drums] = CELLS * drums + NO_NOTES
    for number, (harmony, drums) in enumerate(harmonies()):
        found.setdefault((harmony.channels, drums), number)
    return found


def digits(codes: Tensor) -> Tensor:
    """Codes `[...]` -> their digits `[..., 6]`."""
    return codes.unsqueeze(-1) // torch.tensor(BASIS) % torch.tensor(LEVELS)


def code_of(body: int, melody: int = 0, frame: int = REST) -> int:
    """The code of digits 0 to 2 as one number, of digits 3 and 4 as one (0 for none, else 1 and the note), and of
    digit 5.
    """
    return body + BASIS[3] * (melody % 5) + BASIS[4] * (melody // 5) + BASIS[5] * frame


EMPTY = code_of(NO_NOTES)
"""The code of a window in which nothing is struck."""


def spelled(roll: Tensor) -> Tensor:
    """The codes `[T / 5]` of a roll `[T, 64]`, by rule: what the tokenizer is to find.

    Of two strikes in a window the first counts; what no code says exactly is said by the one that is most like it.
    """
    struck = (roll > STRIKE / 2).unflatten(0, (-1, FRAMES))
    frame = struck.any(2).long().argmax(1)
    first = struck[torch.arange(len(struck)), frame]
    notes = (first[:, :FIRST_LEAD] * 2 ** torch.arange(FIRST_LEAD)).sum(1).tolist()
    drums = (first[:, FIRST_DRUM : CHANNELS - 1] * 2 ** torch.arange(CHANNELS - 1 - FIRST_DRUM)).sum(1).tolist()
    lead = first[:, FIRST_LEAD:FIRST_DRUM]
    melody = torch.where(lead.any(1), lead.long().argmax(1) + 1, 0).tolist()
    rests = (~first.any(1)).tolist()
    parts = zip(rests, notes, drums, melody, frame.tolist())
    return torch.tensor([EMPTY if rest else code_of(_body(n, d), m, f) for rest, n, d, m, f in parts])


@cache
def _body(notes: int, drums: int) -> int:
    """Digits 0 to 2 for the channels of notes, and for the drums, that are struck: a bit for each."""
    harmony = frozenset(c for c in range(FIRST_LEAD) if notes >> c & 1)
    hit = frozenset(drum for drum in (KICK, SNARE, HAT) if drums >> drum & 1)
    played = min(range(len(DRUM_SETS)), key=lambda n: len(DRUM_SETS[n] ^ hit))
    body = _bodies().get((harmony, played))
    if body is not None:
        return body
    return min(_bodies().items(), key=lambda item: (len(item[0][0] ^ harmony) + (item[0][1] != played), item[1]))[1]


@cache
def _sounds() -> Tensor:
    """What each of the 512 values of digits 0 to 2 strikes, `[512, 64]`."""
    table = torch.zeros(len(harmonies()), CHANNELS)
    for row, (harmony, drums) in zip(table, harmonies()):
        row[[*harmony.channels, *(FIRST_DRUM + drum for drum in DRUM_SETS[drums])]] = STRIKE
    return table


def sounded(codes: Tensor) -> Tensor:
    """The roll `[..., 5 N, 64]` that codes `[..., N]` stand for, by rule: what the detokenizer is to give back."""
    parts = digits(codes)
    struck = _sounds()[(parts[..., :3] * torch.tensor(BASIS[:3])).sum(-1)].clone()
    melody = parts[..., 3] + 5 * parts[..., 4]
    leads = torch.eye(FIRST_DRUM - FIRST_LEAD + 1)[melody][..., 1:]
    struck[..., FIRST_LEAD:FIRST_DRUM] = STRIKE * leads
    when = torch.eye(FRAMES)[parts[..., 5]]
    return (when.unsqueeze(-1) * struck.unsqueeze(-2)).flatten(-3, -2)
