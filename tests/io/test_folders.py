"""Where the user's own files lie, and what is said where they cannot."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from acestep_core.errors import StorageError
from acestep_core.io import system
from acestep_core.io.atomic import clear_errors
from acestep_core.io.folders import download_folder, elsewhere, user_folder


@pytest.mark.parametrize(
    ("windows", "macos", "variable"),
    [(False, False, "XDG_CACHE_HOME"), (True, False, "LOCALAPPDATA"), (False, True, "HOME")],
)
def test_the_variable_that_is_named_moves_the_folder(
    windows: bool, macos: bool, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "WINDOWS", windows)
    monkeypatch.setattr(system, "MACOS", macos)
    monkeypatch.setenv(variable, str(tmp_path))
    assert user_folder().is_relative_to(tmp_path)
    assert variable in elsewhere(user_folder())
    assert elsewhere(tmp_path / "songs") == "choose another folder"


def test_a_pack_of_comfyui_downloads_to_the_disk_of_its_models(tmp_path: Path) -> None:
    pack = tmp_path / "custom_nodes" / "acestep-nodes" / "acestep_core"
    assert download_folder(pack) == user_folder()  # there are no models beside the packs
    (tmp_path / "models").mkdir()
    assert download_folder(pack) == tmp_path / "models" / "acestep"
    assert download_folder(tmp_path / "site-packages" / "acestep_core") == user_folder()


def test_a_cache_that_is_closed_says_how_to_move_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "WINDOWS", False)
    monkeypatch.setattr(system, "MACOS", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    closed = OSError(errno.EACCES, "Permission denied")
    for path in (user_folder() / "tiny.json", user_folder().parent / "tiny.json"):
        with pytest.raises(StorageError, match="allow writing there or set XDG_CACHE_HOME"), clear_errors(path):
            raise closed
    with pytest.raises(StorageError, match="choose another folder"), clear_errors(tmp_path / "a.flac"):
        raise closed


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "WINDOWS", False)
    monkeypatch.setattr(system, "MACOS", False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(StorageError, match="set XDG_CACHE_HOME"):
        user_folder()
