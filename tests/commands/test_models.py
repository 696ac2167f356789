from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

from acestep_core.checkpoints import download as download_module
from acestep_core.commands import models
from acestep_core.errors import CheckpointError
from tests.places import nothing_known


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    models.add_parser(parser.add_subparsers())
    return models.run(parser.parse_args(["models", *words]))


@pytest.fixture(autouse=True)
def no_known_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    nothing_known(monkeypatch, tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_list_shows_what_is_found_where(tiny_root: Path, capsys: pytest.CaptureFixture[str]):
    assert run("list", str(tiny_root), "nowhere") == 0
    output = capsys.readouterr().out
    assert "acestep-v15-xl-turbo  [tiny DiT xl-turbo, upstream, 2 MB]" in output
    assert str(tiny_root / "vae") in output
    assert "nowhere (does not exist)" in output


def test_list_says_what_to_do_where_there_is_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert run("list") == 0
    output = capsys.readouterr().out
    assert "acestep models download main" in output
    assert str(tmp_path) in output, "the user's cache is named"


def test_list_marks_broken_models(tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copytree(tiny_root / "vae", tmp_path / "models" / "vae")
    (tmp_path / "models" / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert run("list", str(tmp_path / "models")) == 0
    output = capsys.readouterr().out
    assert "BROKEN  vae" in output
    assert "is incomplete" in output


def test_check_passes_the_tiny_checkpoint(tiny_root: Path, capsys: pytest.CaptureFixture[str]):
    assert run("check", str(tiny_root)) == 0
    output = capsys.readouterr().out
    assert "tensors" in output
    assert output.endswith("All good.\n")


def test_check_fails_a_damaged_one(tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copytree(tiny_root / "acestep-v15-turbo", tmp_path / "acestep-v15-turbo")
    (tmp_path / "acestep-v15-turbo" / "silence_latent.pt").unlink()
    assert run("check", str(tmp_path)) == 1
    output = capsys.readouterr().out
    assert "silence_latent.pt is missing" in output
    with pytest.raises(CheckpointError):
        run("check", str(tmp_path / "nowhere"))


def test_tiny_builds_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("tiny", str(tmp_path / "t"), "--variants", "base", "--seed", "7") == 0
    assert (tmp_path / "t" / "acestep-v15-base" / "model.safetensors").is_file()
    assert not (tmp_path / "t" / "acestep-v15-turbo").exists()
    assert "Built the tiny checkpoint" in capsys.readouterr().out


def test_download_passes_its_arguments_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    asked = []

    def fake(name, dest, source, monitor):
        asked.append((name, dest, source))
        monitor.tick("downloading x", 1, 2)
        return [tmp_path / name]

    monkeypatch.setattr(download_module, "download", fake)
    assert run("download", "main", "--to", str(tmp_path), "--source", "modelscope") == 0
    assert asked == [("main", tmp_path, "modelscope")]
    assert str(tmp_path / "main") in capsys.readouterr().out


def test_an_unknown_action_or_name_is_refused(tmp_path: Path):
    with pytest.raises(SystemExit):
        run("burn")
    with pytest.raises(CheckpointError, match="choose one of main"):
        run("download", "gpt", "--to", str(tmp_path))
