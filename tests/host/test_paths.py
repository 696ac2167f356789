"""Names of files in graphs: the same places on every system, and none outside the folders."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.paths import save_place
from acestep_core.io.names import safe_name

HOSTILE = (
    "D:evil", "x:y/song", "C:/Windows/song", "CON/song", "nul.txt/song", "a/COM1/song", "song. /x", "a?b*c/song",
    "a|b/<c>/song", "Lpt9 /song", "aux", "a\\D:b\\song",
)  # fmt: skip
"""Prefixes that mean a drive, a stream of a file, a device, or nothing at all on Windows."""


@pytest.mark.parametrize("prefix", HOSTILE)
def test_a_prefix_is_a_place_below_the_folder_on_every_system(prefix: str, tmp_path: Path) -> None:
    folder, stem, subfolder = save_place(tmp_path, prefix)
    parts = PurePosixPath(subfolder).parts
    assert folder == tmp_path.joinpath(*parts) and folder.is_dir()
    assert [safe_name(part) for part in parts] == list(parts)
    place = PureWindowsPath("C:/out", *parts, safe_name(stem))  # as the writer names it
    assert place.drive == "C:" and place.is_relative_to("C:/out")


@pytest.mark.parametrize(
    "prefix", ["//server/share/song", "\\\\server\\share\\song", "\\\\?\\C:\\song", "/song", "..\\song"]
)
def test_servers_and_roots_are_refused(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="leads out of the output folder"):
        save_place(tmp_path, prefix)
    assert not list(tmp_path.iterdir())
