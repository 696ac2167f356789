"""Whether the built-in model makes the music that was asked for: songs of the front door, judged by roll and sound."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.builtin.asks import Ask, draw_ask
from acestep_core.builtin.measure import (
    Roll,
    heard_keys,
    heard_tempo,
    mean,
    nearest_style,
    overlap,
    read_roll,
    same_tempo,
)
from acestep_core.builtin.rolls import STYLES
from acestep_core.monitor import SILENT, Monitor

SECONDS = 20

if TYPE_CHECKING:
    from acestep_core.models.handles import Models
    from acestep_core.song.description import Song


@dataclass(frozen=True)
class Judged:
    """One song: what was asked for, what its roll says, the two likeliest keys and the tempo of its sound."""

    ask: Ask
    roll: Roll
    keys: tuple[tuple[int, str], ...]
    bpm: float
    style: str
    overlap: float | None

    @property
    def in_tempo(self) -> bool:
        return same_tempo(self.bpm, self.ask.score.bpm)

    @property
    def in_key(self) -> bool:
        return self.keys[0] == (self.ask.score.tonic, self.ask.score.mode)

    @property
    def wants_drums(self) -> bool:
        return self.ask.score.drums and bool(STYLES[self.ask.score.style].hat)


def judged(
    models: Path | Models, asks: Sequence[Ask], seconds: float = SECONDS, twice: int = 4, monitor: Monitor = SILENT
) -> list[Judged]:
    """Makes a song of every request and listens to it.

    Args:
        models: the folder of a checkpoint, or what was opened of it.
        twice: so many of them are made with a second seed as well, to compare.
    """
    from acestep_core.pipeline.generation import generate
    from acestep_core.pipeline.opening import open_models

    players = open_models(models) if isinstance(models, Path) else models
    found = []
    for number, ask in enumerate(asks):
        song = song_of(ask, seconds)
        made = [
            generate(song=song, models=players, seed=seed)
            for seed in ((number, 10**6 + number)[: 1 + (number < twice)])
        ]
        roll, audio = made[0].latents[0], made[0].audio[0]
        found.append(
            Judged(
                ask,
                read_roll(roll, ask.score),
                tuple(heard_keys(audio)[:2]),
                heard_tempo(audio),
                nearest_style(roll, ask.score),
                overlap(roll, made[1].latents[0]) if len(made) > 1 else None,
            )
        )
        monitor.tick("songs", number + 1, len(asks))
    return found


def metas_of(ask: Ask) -> dict[str, Any]:
    """What the request says beside its caption, in the words of a song."""
    return {"bpm": ask.bpm, "keyscale": ask.key, "timesignature": ask.timesignature}


def song_of(ask: Ask, seconds: float) -> Song:
    """The request as a song without lyrics."""
    from acestep_core.song.description import Song

    return Song(caption=ask.caption, duration=seconds, instrumental=True, **metas_of(ask))


def unseen(count: int) -> list[Ask]:
    """Requests of every kind from a generator of their own, none of which was used in training."""
    rng = random.Random("unseen")
    return [draw_ask(rng) for _ in range(count)]


def table(songs: Sequence[Judged]) -> str:
    """What came out, in lines."""
    rolls = [song.roll for song in songs]

    def share(holds: Sequence[bool]) -> str:
        return f"{100 * mean([float(value) for value in holds]):.0f} %"

    def rates(part: str, asked: Sequence[bool]) -> str:
        with_it, without = ([getattr(r, part) for r, a in zip(rolls, asked) if a is yes] for yes in (True, False))
        return f"{mean(with_it):.2f} asked, {mean(without):.2f} not"

    overlaps = [song.overlap for song in songs if song.overlap is not None]
    lines = (
        ("strikes in the asked key", f"{mean([roll.in_key for roll in rolls]):.3f}"),
        ("songs with 0.9 and more of it", share([roll.in_key >= 0.9 for roll in rolls])),
        ("strikes on the asked grid", f"{mean([roll.on_grid for roll in rolls]):.3f}"),
        ("tempo heard within 2 %", share([song.in_tempo for song in songs])),
        ("key heard", share([song.in_key for song in songs])),
        ("bars of one triad", f"{mean([roll.triads for roll in rolls]):.2f}"),
        ("style told by its pattern", share([song.style == song.ask.score.style for song in songs])),
        ("strikes a second", f"{mean([roll.strikes for roll in rolls]):.1f}"),
        ("drums a second", rates("drums", [song.wants_drums for song in songs])),
        ("melody a second", rates("lead", [song.ask.score.lead for song in songs])),
        ("overlap of two seeds", f"{mean(overlaps):.2f}"),
    )
    return "\n".join(f"{name:32}{value}" for name, value in (("songs", str(len(songs))), *lines))
