"""Whole songs from packed weights: the same as from unpacked ones, recorded, and made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from acestep_core import generate
from acestep_core.errors import CheckpointError
from acestep_core.models import loading
from acestep_core.models.manager import manager
from acestep_core.options import RenderSettings
from acestep_core.pipeline.opening import open_models
from acestep_core.pipeline.replay import replay

QUICK = RenderSettings.of(steps=2)
CODES = [5, 1000, 63999, 7]


@pytest.fixture(autouse=True)
def _forgotten():
    manager.unload()
    yield
    manager.unload()


def song(root: Path, **more):
    models = open_models(root, "turbo")
    return generate(
        "calm piano", lyrics="[verse]\nrain on the road", duration=10, seed=5, models=models, settings=QUICK, **more
    )


def test_packed_and_unpacked_weights_make_the_same_song(gguf_root: Path, monkeypatch: pytest.MonkeyPatch):
    found = []
    for packed in (True, False):
        manager.unload()
        monkeypatch.setattr(loading, "stays_packed", lambda *_, packed=packed: packed)
        found.append(song(gguf_root, codes=CODES))
    assert found[0].latents.equal(found[1].latents)
    assert found[0].audio.equal(found[1].audio) and found[0].audio.std() > 1e-3


def test_a_song_is_recorded_and_made_again(gguf_root: Path, tmp_path: Path):
    root = shutil.copytree(gguf_root, tmp_path / "models")
    made = song(root)
    files = {file.role: file for file in made.record(0).files}
    assert {role: file.name for role, file in files.items()} == {
        "dit": "acestep-v15-turbo-Q8_0.gguf",
        "text_encoder": "Qwen3-Embedding-0.6B-Q8_0.gguf",
        "vae": "vae-BF16.gguf",
    }
    assert {role: file.extra.get("weights") for role, file in files.items()} == {
        "dit": "Q8_0",
        "text_encoder": "Q8_0",
        "vae": None,
    }
    again = replay(made.record(0), models=open_models(root, "turbo"))
    assert again.audio.equal(made.audio)


def test_a_file_that_was_cut_off_is_told(gguf_root: Path, tmp_path: Path):
    root = shutil.copytree(gguf_root, tmp_path / "models")
    for name in ("acestep-v15-turbo-Q8_0.gguf", "vae-BF16.gguf", "Qwen3-Embedding-0.6B-Q8_0.gguf"):
        whole = (root / name).read_bytes()
        (root / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CheckpointError, match=rf"{name} is incomplete: it has \d+ of \d+ bytes"):
            song(root)
        (root / name).write_bytes(whole)


def test_a_song_of_int8_is_recorded_and_made_again(tiny_root: Path):
    """Rounded when it is loaded, which the record says, so that it is rounded again."""
    models = open_models(tiny_root, "turbo", dtype="int8")
    told = {"lyrics": "[verse]\nrain on the road", "duration": 10, "seed": 5, "settings": QUICK}
    made, whole = (generate("calm piano", models=m, **told) for m in (models, open_models(tiny_root, "turbo")))
    assert not made.latents.equal(whole.latents)
    assert {role: made.record(0).machine[role] for role in ("dit", "text_encoder", "vae")} == {
        "dit": "int8",
        "text_encoder": "int8",
        "vae": "fp32",
    }
    again = replay(made.record(0), models=tiny_root)
    assert again.audio.equal(made.audio)
