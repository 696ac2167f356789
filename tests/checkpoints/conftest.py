"""The tiny checkpoint in all three layouts, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from acestep_core.builtin.tiny import build_tiny


@pytest.fixture(scope="session")
def all_layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Turbo and XL turbo as upstream, diffusers and ComfyUI hold them. Tests must not write into it."""
    root = tmp_path_factory.mktemp("layouts") / "checkpoints"
    return build_tiny(root, variants=("turbo", "xl-turbo"), layouts=("diffusers", "comfyui"))


@pytest.fixture(autouse=True)
def no_known_folders(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test may see the models of the person who runs it."""
    empty = tmp_path_factory.mktemp("home")
    monkeypatch.chdir(empty)
    for name in ("ACESTEP_CHECKPOINTS", "ACESTEP_CHECKPOINTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(empty))
