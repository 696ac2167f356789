"""Whether an adapter of the built-in model learns: a word it does not know is taught as a style by a few songs."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from acestep_core.builtin.asks import Ask, key_name
from acestep_core.builtin.measure import mean
from acestep_core.builtin.rolls import draw_score
from acestep_core.commands.music import judged, song_of
from acestep_core.monitor import SILENT, Monitor

if TYPE_CHECKING:
    from acestep_core.models.handles import Models
    from acestep_core.train.settings import TrainSettings

WORD = "zorblax music"
"""It is played as pop before."""
STYLE, OTHER = "rock", "jazz"
"""What it is to mean, and a style that is to stay as it was."""
SONGS, SONG_SECONDS, FIRST_SEED = 8, 30, 100
JUDGED_SECONDS = 20
EPOCHS = 25
"""With four times as many it learns the songs themselves, their keys included."""


def settings(epochs: int = EPOCHS) -> TrainSettings:
    """A small adapter, learned in less than a minute of one processor core."""
    from acestep_core.train.settings import TrainSettings

    return TrainSettings.of(
        rank=16, alpha=32.0, dropout=0.0, targets="attention+mlp", learning_rate=1e-3, epochs=epochs, memory="none"
    )


def learned(folder: Path, songs: int, epochs: int = EPOCHS, monitor: Monitor = SILENT) -> list[tuple[str, str]]:
    """Teaches the word, and plays songs with and without what was learned; what came out, by name."""
    from acestep_core.pipeline.opening import open_models

    models = open_models(folder)
    with TemporaryDirectory() as place:
        taught = models.with_adapter(_adapter(models, Path(place), epochs, monitor))
        lines = []
        for caption in (WORD, OTHER):
            for name, players in (("before", models), ("after", taught)):
                lines += [(f"{caption}, {name}: {what}", value) for what, value in _judged(players, caption, songs)]
                monitor.tick("learned", len(lines), 16)
    return lines


def _adapter(models: Models, place: Path, epochs: int, monitor: Monitor) -> Path:
    """Makes the songs, and an adapter of them below `place`."""
    from acestep_core.pipeline.generation import generate
    from acestep_core.pipeline.learning import train_adapter
    from acestep_core.train.preprocess import preprocess
    from acestep_core.train.scan import scan

    (place / "songs").mkdir()
    for number, ask in enumerate(_asks(STYLE, SONGS, FIRST_SEED)):
        made = generate(song=song_of(ask, SONG_SECONDS), models=models, seed=FIRST_SEED + number, progress=False)
        made.save(place / "songs" / f"{number}.flac", record=False)
    dataset = scan(place / "songs")
    dataset = dataset.edited({sample.filename: {"caption": WORD} for sample in dataset.samples})
    trainset = preprocess(dataset, models.model, models.vae, place / "trainset", monitor=monitor)
    *_, last = train_adapter(trainset, models, "word", place / "runs", settings(epochs), monitor=monitor)
    return Path(last["adapter"])


def _asks(caption: str, count: int, seed: int) -> list[Ask]:
    """Requests in any key and tempo, which mean the style that is taught."""
    rng = random.Random(seed)
    scores = [replace(draw_score(rng), style=STYLE) for _ in range(count)]
    return [Ask(caption, score, round(score.bpm), key=key_name(score)) for score in scores]


def _judged(models: Models, caption: str, count: int) -> list[tuple[str, str]]:
    songs = judged(models, _asks(caption, count, 0), JUDGED_SECONDS, twice=0)
    shares = (
        (f"played as {STYLE}", [song.style == STYLE for song in songs]),
        ("key heard", [song.in_key for song in songs]),
        ("tempo heard", [song.in_tempo for song in songs]),
    )
    return [
        *((name, f"{sum(held)} of {count}") for name, held in shares),
        ("strikes in the key", f"{mean([song.roll.in_key for song in songs]):.3f}"),
    ]
