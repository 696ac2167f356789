"""The built-in model as a checkpoint: whole, opened like any other, honest about what it is."""

import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acestep_core.builtin import coder, player, reader, thinker
from acestep_core.builtin.clock import clock
from acestep_core.builtin.demo import SILENCE_FRAMES, Built, is_demo, write_demo
from acestep_core.builtin.practice import Course, Progress
from acestep_core.builtin.rolls import CHANNELS
from acestep_core.builtin.training import text_weights
from acestep_core.checkpoints import is_toy
from acestep_core.checkpoints.layouts import open_dit
from acestep_core.checkpoints.verify import check
from acestep_core.commands import music_thinking
from acestep_core.commands.music import unseen
from acestep_core.pipeline.generation import generate
from acestep_core.pipeline.opening import open_models
from acestep_core.song.description import Song


def untrained(course: Course) -> Progress:
    weights = {name: p.detach() for name, p in course.module.named_parameters()}
    return Progress(weights, 0, course.steps, 0.0, ())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint as it is before any training: its codec and its clock are there already."""
    root = tmp_path_factory.mktemp("demo") / "demo"
    read = untrained(reader.course(0))
    thought = replace(untrained(thinker.course(0, text_weights(read.weights))), done=1)
    write_demo(root, Built(read, untrained(coder.course(0)), untrained(player.course(0)), thought))
    return root


def test_it_is_whole_and_opens_like_any_other(folder: Path) -> None:
    assert check(folder).ok
    assert is_demo(folder)
    models = open_models(folder)
    assert models.tiny
    assert models.model.toy
    assert is_toy(models.vae.path)
    assert models.lm is not None
    assert sum(len(zlib.compress(file.read_bytes())) for file in folder.rglob("*") if file.is_file()) < 25e6


def test_a_tiny_checkpoint_is_no_toy(tiny_models) -> None:
    assert tiny_models.tiny
    assert not tiny_models.model.toy


def test_its_silence_is_the_clock(folder: Path) -> None:
    silence = open_dit(next(folder.glob("acestep-v15-turbo"))).silence
    assert silence is not None
    assert silence.shape == (1, SILENCE_FRAMES, CHANNELS)
    assert torch.allclose(silence[0, :300].float(), clock(SILENCE_FRAMES)[:300], atol=1e-3)


def test_it_makes_a_song(folder: Path) -> None:
    made = generate("calm piano", duration=10, seed=1, models=folder)
    assert made.latents.shape == (1, 250, CHANNELS)
    assert made.audio.isfinite().all()


def test_it_thinks_and_its_thoughts_are_judged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(music_thinking, "SECONDS", 10)
    # Untrained, it would go on describing for long.
    monkeypatch.setattr("acestep_core.pipeline.asking.understand", lambda *_, **__: Song(bpm=100, keyscale="C major"))
    figures = dict(music_thinking.thoughts(folder, [ask for ask in unseen(9) if ask.bpm and ask.key][:1]))
    assert figures["plan: tempo as given"] == figures["plan: key as given"] == "1.00 of 1"
    assert {"codes: strikes in the key", "song: strikes in the key", "understood: key"} <= figures.keys()


def test_likeness_counts_common_strikes() -> None:
    one, two = torch.zeros(10, CHANNELS), torch.zeros(12, CHANNELS)
    one[0, 1] = one[3, 2] = two[0, 1] = two[4, 2] = 5.0
    assert music_thinking.likeness(one, one) == 1
    assert music_thinking.likeness(one, two) == 0.5
