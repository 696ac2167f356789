"""No models but those of the tests."""

from __future__ import annotations

import pytest

from tests.places import nothing_known


@pytest.fixture(autouse=True)
def no_known_folders(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test may see the models of the person who runs it."""
    empty = tmp_path_factory.mktemp("home")
    monkeypatch.chdir(empty)
    nothing_known(monkeypatch, empty)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(empty))
