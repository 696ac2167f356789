"""Weights are read while something else is done: those that will be used, in the order of use, and no others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from acestep_core import devices, generate
from acestep_core.models import ahead
from acestep_core.models.ahead import read_ahead, read_file
from acestep_core.models.manager import manager


class Read:
    """Whose files are read, by their folders, and who reads them."""

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.readers: list[Thread] = []

    def file(self, path: Path) -> None:
        self.folders.append(path.parent.name)
        read_file(path)

    def all(self) -> list[str]:
        for reader in self.readers:
            reader.join()
        return self.folders


@pytest.fixture
def read(monkeypatch, tiny_models) -> Iterator[Read]:
    """Nothing is loaded."""
    manager.unload()
    noted = Read()

    class Noted(Thread):
        def start(self) -> None:
            noted.readers.append(self)
            super().start()

    monkeypatch.setattr(ahead, "read_file", noted.file)
    monkeypatch.setattr(ahead, "Thread", Noted)
    yield noted
    noted.all()


def every(models) -> list:
    return [models.lm, models.model.text, models.model, models.vae]


def names(models) -> list[str]:
    return [handle.path.name for handle in every(models)]


def test_files_are_read_in_the_order_of_use(tiny_models, read):
    read_ahead([None, *every(tiny_models)])
    assert read.all() == names(tiny_models)


def test_what_is_loaded_is_not_read_again(tiny_models, read):
    with manager.resident(tiny_models.vae):
        read_ahead(every(tiny_models))
        assert read.all() == names(tiny_models)[:3]
        assert read_ahead([tiny_models.vae]) is None
        assert read_ahead([replace(tiny_models.vae, path=tiny_models.vae.path / ".." / "vae")]) is None


def test_nothing_is_read_that_would_drive_out_what_was_read(tiny_models, read, monkeypatch):
    sizes = [sum(file.stat().st_size for file in handle.path.glob("*.safetensors")) for handle in every(tiny_models)]
    monkeypatch.setattr(devices, "free_ram", lambda: 2 * sum(sizes[:2]))
    read_ahead(every(tiny_models))
    assert read.all() == names(tiny_models)[:2]


def test_what_is_missing_is_left_to_whoever_loads_it(tiny_models, read, tmp_path, caplog):
    caplog.set_level("INFO")
    read_ahead([replace(tiny_models.vae, path=tmp_path / "gone"), tiny_models.model.text])
    assert read.all() == [tiny_models.model.text.path.name]
    read_file(tmp_path / "gone.safetensors")
    assert len(caplog.records) == 2


def test_a_song_reads_its_models_ahead(tiny_models, read):
    generate("piano", duration=10, models=tiny_models)
    assert read.all() == names(tiny_models)[1:]
    generate("piano", duration=10, models=tiny_models, think=True)
    assert read.all()[3:] == names(tiny_models)[:1]


ENDING = """
import sys, time
from pathlib import Path
import torch
from acestep_core.models import ahead
from acestep_core.models.handles import VAEHandle

def busy(*_):
    until = time.monotonic() + 1
    while time.monotonic() < until:
        torch.ones(100_000).add_(1).tolist()
    return ()

ahead.weight_files = busy
ahead.read_ahead([VAEHandle(Path(sys.argv[1]))])
"""


@pytest.mark.parametrize("time", range(3))
def test_a_process_ends_well_while_files_are_opened(time, tiny_root):
    """Python ends daemon threads in the midst of C++, which ends the process with SIGABRT."""
    done = subprocess.run([sys.executable, "-c", ENDING, str(tiny_root)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_who_reads_stops_when_the_process_ends(tmp_path, monkeypatch):
    file, read = tmp_path / "large", []
    file.write_bytes(bytes(100))

    class Ending:
        def is_alive(self) -> bool:
            read.append(1)
            return len(read) < 4

    monkeypatch.setattr(ahead, "main_thread", Ending)
    monkeypatch.setattr(ahead, "BLOCK", 1)
    read_file(file)
    assert len(read) == 4
