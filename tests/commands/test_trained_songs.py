"""A song with what was trained is the same by `acestep run`, in whatever form it was exported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from acestep_core.checkpoints.find import TINY_MARK
from acestep_core.commands.main import main
from acestep_core.errors import CheckpointError
from acestep_core.pipeline.learning import existing_run, export_run, train_adapter
from acestep_core.pipeline.opening import open_models
from tests.train.making_trainsets import write_trainset

GRAPH: dict[str, tuple[str, dict[str, Any]]] = {
    "Load": ("ACEStepModelLoader", {"model": "acestep-v15-base"}),
    "VAE": ("ACEStepVAELoader", {"vae": "auto"}),
    "LoRA": ("ACEStepLoRALoader", {"model": ["Load", 0], "lora": "none", "strength": 1.0}),
    "Song": (
        "ACEStepSong",
        {"caption": "wavy", "duration": 10.0, "instrumental": True, "lyrics": "", "language": "unknown", "bpm": 0}
        | {"keyscale": "auto", "timesignature": "auto"},
    ),
    "Task": ("ACEStepTextToMusic", {"song": ["Song", 0]}),
    "Conditioning": ("ACEStepConditioning", {"model": ["LoRA", 0], "song": ["Song", 0], "task": ["Task", 0]}),
    "Sampler": (
        "ACEStepSampler",
        {"model": ["LoRA", 0], "conditioning": ["Conditioning", 0], "seed": 3} | {"batch_size": 1, "sampler": "euler"},
    ),
    "Decode": ("ACEStepDecode", {"vae": ["VAE", 0], "latent": ["Sampler", 0]}),
    "Save": ("ACEStepSaveSong", {"audio": ["Decode", 0], "filename_prefix": "song", "format": "flac"}),
}


@pytest.fixture(scope="module", params=["lora", "dora"])
def place(request, tiny_root, tmp_path_factory) -> Path:
    """A folder with models, and adapters of a run in every form."""
    place = tmp_path_factory.mktemp("place")
    models = place / "models"
    shutil.copytree(tiny_root, models, ignore=shutil.ignore_patterns("loras"))  # other tests leave theirs there
    (models / TINY_MARK).unlink()
    trainset = write_trainset(place / "set", (150, 150))
    flat = {"rank": 4, "kind": request.param, "learning_rate": 3e-3, "max_steps": 8, "memory": "none"}
    list(train_adapter(trainset, open_models(models, "base"), "mine", place / "runs", **flat))
    run = existing_run(place / "runs", "mine")
    shutil.copytree(run.adapter, models / "loras" / "live")
    for form in ("single.safetensors", "kohya.safetensors", "peft"):
        export_run(run, models / "loras" / form, form.partition(".")[0])
    export_run(run, models / "merged", "merged")
    export_run(run, place / "elsewhere" / "merged", "merged")
    graph = {name: {"class_type": kind, "inputs": values} for name, (kind, values) in GRAPH.items()}
    (place / "song.json").write_text(json.dumps(graph))
    return place


def song(place: Path, *changes: str) -> np.ndarray:
    output = place / "output" / str(len(list(place.glob("output/*"))))
    words = [part for change in changes for part in ("--set", change)]
    assert main(["run", str(place / "song.json"), *words, "--base-directory", str(place), "--output", str(output)]) == 0
    (file,) = output.rglob("*.flac")
    return soundfile.read(file)[0]


def test_every_form_makes_the_song_of_what_was_trained(place: Path) -> None:
    plain, live = song(place), song(place, "LoRA.lora=live")
    effect = np.abs(live - plain).max()
    assert effect > 1e-3
    for form in ("kohya.safetensors", "peft"):
        assert np.array_equal(song(place, f"LoRA.lora={form}"), live), form
    assert np.abs(song(place, "LoRA.lora=single.safetensors") - live).max() < 1e-3 * effect + 2**-15  # 16 bits a sample
    assert np.abs(song(place, "Load.model=merged") - live).max() < 0.3 * effect  # the checkpoint's own bf16


def test_a_merged_checkpoint_elsewhere_finds_its_parts_or_says_where_they_belong(place: Path, monkeypatch) -> None:
    merged = place / "elsewhere" / "merged"
    monkeypatch.chdir(place / "set")
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", str(place / "models"))
    models = open_models(merged)
    assert models.model.path == merged and models.model.variant == "base"
    assert models.vae.path.parent == models.model.text.path.parent == place / "models"
    monkeypatch.delenv("ACESTEP_CHECKPOINTS")
    message = rf"There is no text encoder .*fetch one with .* --to {place / 'elsewhere'}"
    with pytest.raises(CheckpointError, match=message):
        open_models(merged)
