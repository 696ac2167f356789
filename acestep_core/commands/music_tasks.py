"""Whether the built-in model does its other tasks: what they change and what they leave, counted on rolls, and whether
what people write in captions is heard in what it plays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from acestep_core.builtin.asks import Ask, key_name
from acestep_core.builtin.captions import Caption
from acestep_core.builtin.measure import heard_keys, heard_tempo, mean, overlap, read_roll, same_tempo
from acestep_core.builtin.rolls import FIRST_DRUM, FIRST_LEAD, FRAMES_PER_SECOND, STRIKE, STYLES, Score
from acestep_core.commands.music import metas_of, song_of
from acestep_core.monitor import SILENT, Monitor

if TYPE_CHECKING:
    from acestep_core.pipeline.generation import Generation

SECONDS, FROM, TO, MORE = 16, 6, 10, 6
"""Length of a song, the region that is repainted, and what an extension adds."""
EDGE = 3
"""Frames on either side of a region's edge that do not count, for there the two are blended."""
STRENGTHS = (1.0, 0.5)
RARE = 0.3
"""Strikes a second below which a part is none."""
LENGTHS = (10, 120, 600)
CAPTION_SECONDS = 16


def edits(folder: Path, asks: Sequence[Ask], covers: bool, monitor: Monitor = SILENT) -> list[tuple[str, str]]:
    """Repaints, extends and covers a song of every request, and makes one with that before as its reference; what came
    out, by name.

    Args:
        covers: whether the model has codes, without which it has no covers.
    """
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    earlier: Generation | None = None
    for number, ask in enumerate(asks):
        song = _played(folder, ask, SECONDS, number)
        more = metas_of(ask) | {"seed": number + 1}
        before, edge = song.latents[0], EDGE / FRAMES_PER_SECOND

        after = song.repaint(FROM, TO, ask.caption, **more).latents[0]
        inside, outside = _only(after, FROM + edge, TO - edge), _without(after, FROM - edge, TO + edge)
        note("repaint: new strikes in the key", read_roll(inside, ask.score).in_key)
        note("repaint: new strikes on the grid", read_roll(inside, ask.score).on_grid)
        note("repaint: strikes outside that stay", overlap(outside, _without(before, FROM - edge, TO + edge)))
        note("repaint: strikes inside that stay", overlap(inside, _only(before, FROM + edge, TO - edge)))

        after = song.extend(MORE, caption=ask.caption, **more).latents[0]
        added = _only(after, SECONDS + edge, SECONDS + MORE)
        note("extend: new strikes in the key", read_roll(added, ask.score).in_key)
        note("extend: new strikes on the grid", read_roll(added, ask.score).on_grid)
        note(
            "extend: strikes of the song that stay", overlap(after[: len(before) - EDGE], before[: len(before) - EDGE])
        )

        for strength in STRENGTHS if covers else ():
            cover = song.cover(ask.caption, strength=strength, **more).latents[0]
            notes = slice(FIRST_LEAD, FIRST_DRUM)
            note(f"cover at {strength:g}: notes of the melody kept", _kept(before[:, notes], cover[:, notes]))
            note(f"cover at {strength:g}: struck frames kept", _kept(*(x.amax(1, True) for x in (before, cover))))
            note(f"cover at {strength:g}: strikes in the key", read_roll(cover, ask.score).in_key)

        if earlier is not None:
            again = _played(folder, ask, SECONDS, number, earlier)
            given, led = (read_roll(made.latents[0], ask.score) for made in (earlier, again))
            if STYLES[ask.score.style].hat:
                note(f"reference: drums a second, {_there(given.drums)}", led.drums)
            note(f"reference: melody a second, {_there(given.lead)}", led.lead)
            note("reference: strikes in the key", led.in_key)
        earlier = song
        monitor.tick("tasks", number + 1, len(asks))
    return [(name, f"{mean(values):.2f}") for name, values in found.items()]


def lengths(folder: Path, ask: Ask, monitor: Monitor = SILENT) -> list[tuple[str, str]]:
    """A request's song in several lengths: strikes on the grid to the end, and its peak."""
    lines = []
    for number, seconds in enumerate(LENGTHS):
        song = _played(folder, ask, seconds, 0)
        tail = _only(song.latents[0], seconds - min(LENGTHS), seconds)
        peak = 20 * song.audio.abs().max().log10().item()
        grid = f"{read_roll(song.latents[0], ask.score).on_grid:.3f}"
        lines.append(
            (f"{seconds} s: on the grid", f"{grid}, {read_roll(tail, ask.score).on_grid:.3f} in the last 10 s")
        )
        lines.append((f"{seconds} s: peak", f"{peak:.1f} dBFS"))
        monitor.tick("lengths", number + 1, len(LENGTHS))
    return lines


def by_hand(folder: Path, captions: Sequence[Caption], monitor: Monitor = SILENT) -> list[tuple[str, str]]:
    """Plays captions alone, without a tempo or a key beside them, and listens for what they say."""
    from acestep_core.pipeline.generation import generate
    from acestep_core.pipeline.opening import open_models
    from acestep_core.song.description import Song

    models = open_models(folder)
    rights: dict[str, list[bool]] = {"tempo heard within 2 %": [], "key heard": [], "key or its relative heard": []}
    parts: dict[str, list[float]] = {}
    for number, caption in enumerate(captions):
        song = Song(caption=caption.text, duration=CAPTION_SECONDS, instrumental=True)
        made = generate(song=song, models=models, seed=number)
        audio, struck = made.audio[0], made.latents[0] > STRIKE / 2
        if caption.bpm:
            rights["tempo heard within 2 %"].append(same_tempo(heard_tempo(audio), caption.bpm))
        if caption.key:
            keys = [_named(tonic, mode) for tonic, mode in heard_keys(audio)[:2]]
            rights["key heard"].append(caption.key in keys[0])
            rights["key or its relative heard"].append(any(caption.key in names for names in keys))
        for name, part, asked in (
            ("drums a second", struck[:, FIRST_DRUM:], caption.drums),
            ("melody a second", struck[:, FIRST_LEAD:FIRST_DRUM], caption.lead),
        ):
            if asked is not None:
                said = "asked" if asked else "not"
                parts.setdefault(f"{name}, {said}", []).append(int(part.sum()) / CAPTION_SECONDS)
        monitor.tick("captions", number + 1, len(captions))
    shares = [(name, f"{sum(held)} of {len(held)}") for name, held in rights.items()]
    return [("captions", str(len(captions))), *shares, *((name, f"{mean(rates):.2f}") for name, rates in parts.items())]


def _played(folder: Path, ask: Ask, seconds: float, seed: int, *references: Generation) -> Generation:
    from acestep_core.pipeline.generation import generate

    return generate(song=song_of(ask, seconds), models=folder, seed=seed, references=references)


def _there(rate: float) -> str:
    """Whether a part of so many strikes a second is in a song that serves as a reference."""
    return "in it" if rate > RARE else "not in it"


def _frames(seconds: float) -> int:
    return round(seconds * FRAMES_PER_SECOND)


def _only(latents: Tensor, start: float, end: float) -> Tensor:
    """The latents with nothing outside those seconds, at their place in time."""
    kept = torch.zeros_like(latents)
    kept[_frames(start) : _frames(end)] = latents[_frames(start) : _frames(end)]
    return kept


def _without(latents: Tensor, start: float, end: float) -> Tensor:
    return latents - _only(latents, start, end)


def _kept(before: Tensor, after: Tensor) -> float:
    """The share of the strikes of a roll that another has too; NaN where there are none."""
    struck = before > STRIKE / 2
    return (after[: len(before)] > STRIKE / 2)[struck[: len(after)]].float().mean().item()


def _named(tonic: int, mode: str) -> tuple[str, str]:
    """A key in both spellings."""
    score = Score(0, tonic, mode, "pop", True, True)
    return key_name(score), key_name(score, flat=True)
