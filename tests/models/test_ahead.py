"""Weights are read while something else is done: those that will be used, in the order of use, and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acestep_core import devices, generate
from acestep_core.models import ahead
from acestep_core.models.ahead import read_ahead
from acestep_core.models.manager import manager


@pytest.fixture
def read(monkeypatch, tiny_models) -> list[str]:
    """Folders of what is read; nothing is loaded."""
    manager.unload()
    found: list[str] = []
    really = ahead._read

    def noted(files):
        found.extend(path.parent.name for path in files)
        really(files)

    monkeypatch.setattr(ahead, "_read", noted)
    return found


def every(models) -> list:
    return [models.lm, models.model.text, models.model, models.vae]


def test_files_are_read_in_the_order_of_use(tiny_models, read):
    read_ahead([None, *every(tiny_models)]).join()
    assert read == [tiny_models.lm.path.name, tiny_models.model.text.path.name, tiny_models.model.path.name, "vae"]


def test_what_is_loaded_is_not_read_again(tiny_models, read):
    with manager.resident(tiny_models.vae):
        read_ahead(every(tiny_models)).join()
        assert "vae" not in read and len(read) == 3
        assert read_ahead([tiny_models.vae]) is None
        assert read_ahead([replace(tiny_models.vae, path=tiny_models.vae.path / ".." / "vae")]) is None


def test_nothing_is_read_that_would_drive_out_what_was_read(tiny_models, read, monkeypatch):
    largest = tiny_models.vae.path / "diffusion_pytorch_model.safetensors"
    monkeypatch.setattr(devices, "total_memory", lambda device: 2 * largest.stat().st_size)
    assert read_ahead(every(tiny_models)) is None
    read_ahead([tiny_models.vae]).join()


def test_what_is_missing_is_left_to_whoever_loads_it(tiny_models, read, tmp_path):
    gone = replace(tiny_models.vae, path=tmp_path / "gone")
    read_ahead([gone, tiny_models.model.text]).join()
    assert read == [tiny_models.model.text.path.name]
    ahead._read([tmp_path / "gone"])


def test_a_song_reads_its_models_ahead(tiny_models, read, monkeypatch):
    generate("piano", duration=10, models=tiny_models)
    assert read == [tiny_models.model.text.path.name, tiny_models.model.path.name, "vae"]
    generate("piano", duration=10, models=tiny_models, think=True)
    assert read[3:] == [tiny_models.lm.path.name]
