"""No models but those of the tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_known_folders(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test may see the models of the person who runs it."""
    empty = tmp_path_factory.mktemp("home")
    monkeypatch.chdir(empty)
    for name in ("ACESTEP_CHECKPOINTS", "ACESTEP_CHECKPOINTS_DIR", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(empty))
