"""Paths that stay inside the folders that may be used."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from acestep_core.errors import InvalidInput
from acestep_core.io.names import spellings


def confine(path: Path | str, roots: Iterable[Path | str]) -> Path:
    """The absolute path with symlinks resolved, if it lies inside one of `roots`.

    A relative path is taken from the first root that has it, or from the first root if none has; one that was written
    on Windows, `sub\\a.wav`, is found too. What leads outside by its letters alone is refused without a look at the
    disk: on Windows a look at `//server/share` is a log-in there.

    Raises:
        InvalidInput: the path leads outside, or has a drive or a server in front.
    """
    named = [Path(root) for root in roots]
    if not named:
        raise ValueError("confine needs at least one root")
    inside = [place for spelling in spellings(str(path)) for place in _places(spelling, named)]
    if not inside:
        raise InvalidInput(f"The path {Path(path).name!r} lies outside the folders that may be used; move it there.")
    return next((place for place, is_there in inside if is_there), inside[0][0])


def _places(path: str, named: list[Path]) -> list[tuple[Path, bool]]:
    """Where `path` may lie in the roots, and whether something is there."""
    allowed = [root.resolve() for root in named]
    try:
        spelled = [place for root in allowed if (place := _inside(path, root, [*allowed, *named]))]
        resolved = [place.resolve() for place in spelled]
        inside = [place for place in resolved if any(place.is_relative_to(root) for root in allowed)]
        return [(place, place.exists()) for place in inside]
    except (OSError, ValueError, RuntimeError):  # too long a name, a null byte, a symlink loop
        return []


def is_foreign(path: str) -> bool:
    """Whether a path starts at a drive, a server or a root that this system does not have."""
    windows = PureWindowsPath(path)
    return bool(windows.anchor or PurePosixPath(path).is_absolute()) and not Path(path).is_absolute()


def _inside(path: str, root: Path, roots: list[Path]) -> Path | None:
    """`path` below `root` if its spelling stays inside one of `roots`; names of other systems' drives do not."""
    if is_foreign(path):
        return None
    place = Path(os.path.normpath(root / path))
    return root / path if any(place.is_relative_to(other.absolute()) for other in roots) else None
