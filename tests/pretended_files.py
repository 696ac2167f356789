"""File systems of other systems, as far as Linux can play them, for any test: `pytest --files windows|folding`.

`windows`: what this process has open or mapped is neither replaced, renamed nor deleted; a rename replaces nothing;
paths have at most 259 characters, of folders 247, which is still the default there, unless they are marked.
`folding`: names that differ in case or in the form of accents are one file, as on macOS.
"""

# ruff: noqa: PTH100, PTH113, PTH115, PTH118, PTH208 - pathlib calls the functions that are replaced here

from __future__ import annotations

import builtins
import functools
import io
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def windows(patch: pytest.MonkeyPatch, root: Path) -> None:
    """Windows' rules for files that are in use, below `root`."""
    for name in ("replace", "rename"):
        patch.setattr(os, name, _refusing_moves(getattr(os, name), replaces=name == "replace"))
    for name in ("unlink", "remove"):
        patch.setattr(os, name, _refusing(getattr(os, name)))
    limited = "open", "mkdir", "stat", "scandir", "listdir", "rmdir", "unlink", "remove", "utime", "truncate"
    for module, name in (*((os, name) for name in limited), (builtins, "open"), (io, "open")):
        patch.setattr(module, name, _refusing_length(getattr(module, name), 247 if name == "mkdir" else 259))
    patch.setattr("acestep_core.io.system.WINDOWS", True)
    patch.setattr("acestep_core.io.atomic._PAUSE", 0.0)
    # what `\\?\` is there, two slashes are here: the same file, under another root, at any length
    for name, value in (("_MARK", "//"), ("_marked", "/{}".format), ("_plain", lambda text: text[1:])):
        patch.setattr(f"acestep_core.io.long_paths.{name}", value)


def _refusing(delete: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(delete)
    def wrapped(path: Any, **options: Any) -> None:
        if not options:
            _refuse(path)
        delete(path, **options)

    return wrapped


def _refusing_moves(move: Callable[..., None], replaces: bool) -> Callable[..., None]:
    @functools.wraps(move)
    def wrapped(source: Any, target: Any, **options: Any) -> None:
        if not options:
            if any(_too_long(path, 259) for path in (source, target)):
                raise FileNotFoundError(2, "The system cannot find the path specified", os.fspath(target))
            _refuse(source)
            _refuse(target)
            if not replaces and os.path.lexists(target):
                raise FileExistsError(17, "Cannot create a file when that file already exists", os.fspath(target))
        move(source, target, **options)

    return wrapped


def _refusing_length(function: Callable[..., Any], most: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(path: Any = ".", *rest: Any, **options: Any) -> Any:
        if _too_long(path, most):
            raise FileNotFoundError(2, "The system cannot find the path specified", os.fspath(path))
        return function(path, *rest, **options)

    return wrapped


def _too_long(path: Any, most: int) -> bool:
    if path is None or isinstance(path, int):
        return False
    text = os.path.abspath(os.fsdecode(path))
    return len(text) > most and not text.startswith("//")


def _refuse(path: Any) -> None:
    """Raises what Windows raises for a file that is in use, or a folder with such a file."""
    place = os.path.realpath(os.fspath(path))
    place = os.fsdecode(place) if isinstance(place, bytes) else place
    for held in _held():
        if held == place or held.startswith(place + os.sep):
            raise PermissionError(13, f"The process cannot access the file because it is being used ({held})", place)


def _held() -> set[str]:
    """Files that this process has open or mapped. Deleted ones, whose name is free again, do not count."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # the one that listed the folder
            continue
    with _open("/proc/self/maps", encoding="utf-8") as maps:
        found |= {line[line.index("/") :].rstrip("\n") for line in maps if "/" in line}
    return {name for name in found if os.path.isfile(name)}


def folding(patch: pytest.MonkeyPatch, root: Path) -> None:
    """Names below `root` are found whatever their case and form, and keep the ones they were made with."""

    def real(path: Any) -> Any:
        if isinstance(path, int):
            return path
        text = os.fspath(path)
        if isinstance(text, bytes) or not os.path.abspath(text).startswith(str(root) + os.sep):
            return path
        folder, name = os.path.split(text)
        folder = real(folder) if folder else "."
        try:
            names = _listdir(folder)
        except OSError:
            return os.path.join(folder, name)
        match = next((found for found in names if _folded(found) == _folded(name)), name)
        return os.path.join(folder, match)

    def one(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(path: Any, *rest: Any, **options: Any) -> Any:
            return function(real(path), *rest, **options)

        return wrapped

    def two(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(source: Any, target: Any, **options: Any) -> Any:
            return function(real(source), real(target), **options)

        return wrapped

    for name in (
        "open",
        "stat",
        "lstat",
        "unlink",
        "remove",
        "rmdir",
        "mkdir",
        "scandir",
        "listdir",
        "utime",
        "truncate",
    ):
        patch.setattr(os, name, one(getattr(os, name)))
    for name in ("replace", "rename", "link"):
        patch.setattr(os, name, two(getattr(os, name)))
    patch.setattr(builtins, "open", one(builtins.open))
    patch.setattr(io, "open", one(io.open))


_open, _listdir = builtins.open, os.listdir


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


KINDS = {"windows": windows, "folding": folding}
