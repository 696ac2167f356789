r"""Paths of any length on Windows, which takes 259 characters, and more only after `\\?\`.

Files of songs get names that every program can open, see `fitting`; what this library alone writes beside them, such as
a stage, must not be the reason that a name is refused.
"""

from __future__ import annotations

import os
from pathlib import Path

from acestep_core.io import system

LONGEST = 259
"""UTF-16 units of a path that programs on Windows can open, unless the user has allowed more."""
_SAFE = 240
"""Up to here folders, too, can be made, and get files."""
_LEAST = 8
"""Characters of a name that tell songs apart."""
_MARK, _SERVER = "\\\\?\\", "\\\\?\\UNC\\"


def reachable(path: Path) -> Path:
    """`path` as Windows takes it at any length; elsewhere, and where it is short, itself."""
    if not system.WINDOWS:
        return path
    text = os.path.abspath(path)  # noqa: PTH100 - Windows takes no `..` in it, and nobody shall look at the disk
    return Path(_marked(text)) if _units(text) > _SAFE and not text.startswith(_MARK) else path


def familiar(path: Path) -> Path:
    """`path` as people write it: the opposite of `reachable`."""
    return Path(_plain(str(path))) if str(path).startswith(_MARK) else path


def fitting(stem: str, folder: Path, longest_suffix: int) -> str:
    """`stem`, or so much of it that programs on Windows can open the files in `folder`; whole where that is hopeless.

    Args:
        longest_suffix: characters that follow the stem.
    """
    if not system.WINDOWS:
        return stem
    room = LONGEST - _units(str(folder.absolute())) - 1 - longest_suffix
    cut = stem
    while _units(cut) > room and len(cut) > _LEAST:
        cut = cut[:-1]
    return cut.rstrip(" .") if _units(cut) <= room else stem


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def _marked(text: str) -> str:
    return f"{_SERVER}{text[2:]}" if text.startswith("\\\\") else f"{_MARK}{text}"


def _plain(text: str) -> str:
    return f"\\\\{text.removeprefix(_SERVER)}" if text.startswith(_SERVER) else text.removeprefix(_MARK)
