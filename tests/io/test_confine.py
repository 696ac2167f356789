"""Paths that stay inside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import InvalidInput
from acestep_core.io.confine import confine
from tests.capabilities import link


def test_confine(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    (second / "deep").mkdir(parents=True)
    (second / "deep" / "song.flac").touch()
    assert confine("new.flac", [first, second]) == first / "new.flac"
    assert confine("deep/song.flac", [first, second]) == second / "deep" / "song.flac"
    assert confine(second / "deep", [first, second]) == second / "deep"
    assert confine("a/../b", [first]) == first / "b"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../x", "nul\0byte", "x" * 5000 + "/../..", ".."])
def test_confine_refuses_what_leads_outside(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(InvalidInput, match="outside"):
        confine(path, [root])


def test_confine_follows_symlinks(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").touch()
    link(root / "link", tmp_path / "secret")
    link(root / "loop", root / "loop")
    for name in ("link", "loop/x"):
        with pytest.raises(InvalidInput):
            confine(name, [root])


@given(st.text())
def test_confined_paths_are_always_inside(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.getbasetemp()
    try:
        found = confine(path, [root])
    except InvalidInput:
        return
    assert found == root or root in found.parents


FOREIGN = [
    "\\\\evil\\share\\a.wav",
    "//evil/share/a.wav",
    "\\\\?\\C:\\a.wav",
    "C:\\a.wav",
    "C:a.wav",
    "D:evil",
    "\\a.wav",
    "/net/evil/a.wav",
    "../../../net/evil/a.wav",
    "a/../../../net/evil",
]


@pytest.mark.parametrize("path", FOREIGN)
def test_what_leads_outside_by_its_letters_is_not_looked_at(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows a look at a server's path logs in there; on macOS one at /net mounts it."""
    root = (tmp_path / "root").resolve()
    root.mkdir()

    def watched(original):
        def call(place, *args, **options):
            assert Path(place).is_relative_to(tmp_path) or tmp_path.is_relative_to(place), place
            return original(place, *args, **options)

        return call

    for name in ("stat", "lstat", "readlink"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    with pytest.raises(InvalidInput, match="outside"):
        confine(path, [root])


def test_absolute_paths_by_any_spelling_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link(tmp_path / "link", tmp_path / "real")
    assert confine(tmp_path / "link" / "x", [tmp_path / "link"]) == (tmp_path / "real" / "x").resolve()
    assert confine("../real/x", [tmp_path / "other", tmp_path / "real"]) == (tmp_path / "real" / "x").resolve()


@pytest.mark.skipif(os.sep == "\\", reason="there it is the system's own slash")
def test_a_path_written_on_windows_is_found(tmp_path: Path) -> None:
    (tmp_path / "root/sub").mkdir(parents=True)
    (tmp_path / "root/sub/a.wav").touch()
    (tmp_path / "out.wav").touch()
    roots = [tmp_path / "root"]
    assert confine("sub\\a.wav", roots) == tmp_path / "root/sub/a.wav"
    assert confine("sub\\b.wav", roots) == tmp_path / "root/sub\\b.wav"  # nothing is there: a name as it stands
    (tmp_path / "root/sub\\a.wav").touch()
    assert confine("sub\\a.wav", roots) == tmp_path / "root/sub\\a.wav"
    assert confine("..\\out.wav", roots).parent == tmp_path / "root"


def test_what_a_copy_of_a_path_brings_along_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    for pasted in ("a.wav ", "a.wav\n", ' "a.wav"', f"{tmp_path / 'a.wav'}\r\n"):
        assert confine(pasted, [tmp_path]) == (tmp_path / "a.wav").resolve(), pasted
    for outside in ('"../a.wav"', "file:///etc/passwd"):
        with pytest.raises(InvalidInput, match="outside"):
            confine(outside, [tmp_path / "root"])
