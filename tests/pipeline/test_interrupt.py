"""Ctrl-C at any stage: no file, exit status 130, and no model left in use."""

from __future__ import annotations

import pytest

from acestep_core.commands import main as cli
from acestep_core.models.manager import manager
from acestep_core.monitor import Monitor


@pytest.mark.parametrize("stage", ["sample", "decode", "write"])
def test_an_interrupted_song_leaves_nothing(stage, tiny_root, tmp_path, monkeypatch, capsys):
    reached = []

    def interrupt(*_, **__):
        reached.append(stage)
        raise KeyboardInterrupt

    def tick(monitor, name, *_, **__):
        if name == stage:
            interrupt()

    if stage == "write":
        monkeypatch.setattr("acestep_core.io.audio.write_tags", interrupt)  # the samples are written by then
    else:
        monkeypatch.setattr(Monitor, "tick", tick)
    command = ["song", "x", "--duration", "10", "--models", str(tiny_root), "-o", str(tmp_path / "song.flac")]
    assert cli.main(command) == 130
    assert reached
    assert "Cancelled" in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == []
    assert all(entry.pins == 0 for entry in manager._entries.values())


def test_an_interrupt_while_the_command_starts(monkeypatch):
    monkeypatch.setattr(cli, "import_module", lambda name: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["models", "list"]) == 130
