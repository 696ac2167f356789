"""Whether the built-in model's language model thinks of what was asked for, and whether that is then played and
understood: plans against requests, codes by their rule, songs by roll and sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from acestep_core.builtin.asks import FLATS, SHARPS, Ask
from acestep_core.builtin.lessons import bpm_of, counted
from acestep_core.builtin.measure import heard_keys, heard_tempo, mean, read_roll, same_tempo
from acestep_core.builtin.rolls import STRIKE, STYLES, Score, tempo_class
from acestep_core.builtin.windows import FRAMES, sounded
from acestep_core.commands.music import song_of
from acestep_core.monitor import SILENT, Monitor

SECONDS = 20


def thoughts(folder: Path, asks: Sequence[Ask], monitor: Monitor = SILENT) -> list[tuple[str, str]]:
    """Makes a song of every request with thinking; what came out, by name. Keys and tempos of songs are judged by the
    plan, which is judged by the request.
    """
    from acestep_core.pipeline.asking import score, understand
    from acestep_core.pipeline.generation import generate
    from acestep_core.pipeline.opening import open_models

    models = open_models(folder)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(float(value))

    for number, ask in enumerate(asks):
        made = generate(song=song_of(ask, SECONDS), models=models, seed=number, think=True)
        plan = made.plan
        assert plan is not None and plan.bpm is not None
        planned = _scored(plan.bpm, plan.keyscale, ask.score)
        if ask.bpm is not None:
            note("plan: tempo as given", plan.bpm == ask.bpm)
        else:
            tempi = (bpm_of(counted(ask.score.tempo)), bpm_of(ask.score.tempo))
            note("plan: tempo of the caption", any(same_tempo(plan.bpm, bpm, 0.03) for bpm in tempi))
        if ask.key:
            note("plan: key as given", plan.keyscale == ask.key)
        else:
            note("plan: key of the caption", (planned.tonic, planned.mode) == (ask.score.tonic, ask.score.mode))
        note("plan: style, drums and melody of the caption", _titled(plan.caption, ask))

        told = sounded(torch.tensor(made.origin.codes[0]))
        latents, audio = made.latents[0], made.audio[0]
        for name, roll in (("codes", told), ("song", latents)):
            seen = read_roll(roll, planned)
            note(f"{name}: strikes in the key", seen.in_key)
            note(f"{name}: with 0.9 and more of it", seen.in_key >= 0.9)
            note(f"{name}: bars of one triad", seen.triads)
            note(f"{name}: strikes a second", seen.strikes)
            note(f"{name}: melody a second, {'asked' if ask.score.lead else 'not asked'}", seen.lead)
            drums = ask.score.drums and bool(STYLES[ask.score.style].hat)
            note(f"{name}: drums a second, {'asked' if drums else 'not asked'}", seen.drums)
        note("song: strikes as the codes tell", likeness(latents, told))
        note("song: tempo heard within 2 %", same_tempo(heard_tempo(audio), plan.bpm))
        note("song: key heard", heard_keys(audio)[0] == (planned.tonic, planned.mode))

        heard = understand(made, seed=number)
        note("understood: tempo within 4 %", heard.bpm is not None and same_tempo(heard.bpm, plan.bpm, 0.04))
        known = _scored(heard.bpm or 100, heard.keyscale, planned)
        note("understood: key", (known.tonic, known.mode) == (planned.tonic, planned.mode))
        if other := next((b for b in (*asks[number:], *asks) if b.score.style != ask.score.style), None):
            own, swapped = (score(made, b.caption)[0]["lm"] for b in (ask, other))
            note("score: above that of another style's caption", own > swapped)
        monitor.tick("thoughts", number + 1, len(asks))
    return [(name, f"{mean(values):.2f} of {len(values)}") for name, values in sorted(found.items())]


def likeness(first: Tensor, second: Tensor) -> float:
    """F1 of the strikes of two rolls `[T, 64]`, as far as both go."""
    length = min(len(first), len(second)) // FRAMES * FRAMES
    a, b = first[:length] > STRIKE / 2, second[:length] > STRIKE / 2
    return 2 * (a & b).sum().item() / max(1, (a.sum() + b.sum()).item())


def _scored(bpm: int, keyscale: str, score: Score) -> Score:
    """The score with a plan's tempo and key, as far as that has one."""
    note, _, mode = keyscale.replace("♯", "#").replace("♭", "b").partition(" ")
    known = {name: n for names in (SHARPS, FLATS) for n, name in enumerate(names)}
    found = replace(score, tempo=tempo_class(bpm))
    return replace(found, tonic=known[note], mode=mode) if note in known else found


def _titled(caption: str, ask: Ask) -> bool:
    """Whether a plan's caption says of style, drums and melody what the request means."""
    drums, lead = ("with" if ask.score.drums else "without"), ("lead" if ask.score.lead else "no")
    return caption.endswith(f"{ask.score.style} music, {drums} drums, {lead} melody")
