"""Whether an adapter of the built-in model learns: a word it does not know is taught as a style by a few songs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from acestep_core.builtin.asks import key_name
from acestep_core.builtin.measure import heard_keys, heard_tempo, mean, nearest_style, read_roll, same_tempo
from acestep_core.builtin.rolls import Score, draw_score
from acestep_core.monitor import SILENT, Monitor

if TYPE_CHECKING:
    from acestep_core.models.handles import Models
    from acestep_core.pipeline.generation import Generation
    from acestep_core.train.settings import TrainSettings

WORD = "zorblax music"
"""It is played as pop before."""
STYLE, OTHER = "rock", "jazz"
"""What it is to mean, and a style that is to stay as it was."""
SONGS, SONG_SECONDS, JUDGED_SECONDS = 8, 30, 20
EPOCHS = 100


def settings(epochs: int = EPOCHS) -> TrainSettings:
    """A small adapter, learned in some three minutes of one processor core."""
    from acestep_core.train.settings import TrainSettings

    return TrainSettings.of(
        rank=16, alpha=32.0, dropout=0.0, targets="attention+mlp", learning_rate=1e-3, epochs=epochs, memory="none"
    )


def learned(folder: Path, judged: int, epochs: int = EPOCHS, monitor: Monitor = SILENT) -> list[tuple[str, str]]:
    """Teaches the word, and plays songs with and without what was learned; what came out, by name."""
    from acestep_core.pipeline.opening import open_models

    models = open_models(folder)
    with TemporaryDirectory() as place:
        taught = models.with_adapter(_adapter(models, Path(place), epochs, monitor))
        lines = []
        for caption in (WORD, OTHER):
            for name, players in (("before", models), ("after", taught)):
                lines += [(f"{caption}, {name}: {what}", value) for what, value in _judged(players, caption, judged)]
                monitor.tick("learned", len(lines), 16)
    return lines


def _adapter(models: Models, place: Path, epochs: int, monitor: Monitor) -> Path:
    """Makes the songs, and an adapter of them below `place`."""
    from acestep_core.pipeline.learning import train_adapter
    from acestep_core.train.preprocess import preprocess
    from acestep_core.train.scan import scan

    (place / "songs").mkdir()
    for number, (_, made) in enumerate(_songs(models, STYLE, SONGS, SONG_SECONDS, 100)):
        made.save(place / "songs" / f"{number}.flac", record=False)
    dataset = scan(place / "songs")
    dataset = dataset.edited({sample.filename: {"caption": WORD} for sample in dataset.samples})
    trainset = preprocess(dataset, models.model, models.vae, place / "trainset", monitor=monitor)
    *_, last = train_adapter(trainset, models, "word", place / "runs", settings(epochs), monitor=monitor)
    return Path(last["adapter"])


def _songs(models: Models, caption: str, count: int, seconds: float, seed: int) -> Iterator[tuple[Score, Generation]]:
    """Songs in any key and tempo, and what they are to be."""
    from acestep_core.pipeline.generation import generate
    from acestep_core.song.description import Song

    rng = random.Random(seed)
    for number in range(count):
        score = replace(draw_score(rng), style=STYLE)
        song = Song(caption, keyscale=key_name(score), bpm=round(score.bpm), duration=seconds, instrumental=True)
        yield score, generate(song=song, models=models, seed=seed + number, progress=False)


def _judged(models: Models, caption: str, count: int) -> list[tuple[str, str]]:
    styled, keys, tempos, in_key = [], [], [], []
    for score, made in _songs(models, caption, count, JUDGED_SECONDS, 0):
        roll, audio = made.latents[0], made.audio[0]
        styled.append(nearest_style(roll, score) == STYLE)
        keys.append(heard_keys(audio)[0] == (score.tonic, score.mode))
        tempos.append(same_tempo(heard_tempo(audio), score.bpm))
        in_key.append(read_roll(roll, score).in_key)
    shares = ((f"played as {STYLE}", styled), ("key heard", keys), ("tempo heard", tempos))
    return [
        *((name, f"{sum(held)} of {count}") for name, held in shares),
        ("strikes in the key", f"{mean(in_key):.3f}"),
    ]
