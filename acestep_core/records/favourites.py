"""Which songs of a folder people marked as favourites: one hidden file, so that every browser shows the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from acestep_core.errors import InvalidInput
from acestep_core.io.atomic import atomic_write
from acestep_core.io.locks import locked, patience
from acestep_core.io.text import read_text

_FILE = ".acestep_favourites.json"
_KEY = "favourites"


def favourites(root: Path) -> frozenset[str]:
    """Paths below `root`, with slashes; none where the file is absent or damaged."""
    try:
        return frozenset(_read(root))
    except InvalidInput:
        return frozenset()


def mark(root: Path, names: Iterable[str], favourite: bool) -> None:
    """Marks songs, or takes the mark away.

    Raises:
        InvalidInput: the file with the marks is damaged; it is left as it is.
        StorageError: it cannot be written.
    """
    with locked(root / f"{_FILE}.lock", patience(10, "Another program is writing the favourites; try again.")):
        known = set(_read(root))
        wanted = known | set(names) if favourite else known - set(names)
        if wanted != known:
            with atomic_write(root / _FILE) as temporary:
                temporary.write_text(json.dumps({_KEY: sorted(wanted)}, ensure_ascii=False, indent=1), encoding="utf-8")


def _read(root: Path) -> list[str]:
    path = root / _FILE
    if not path.exists():
        return []
    try:
        names = json.loads(read_text(path))[_KEY]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    except (ValueError, KeyError, TypeError):
        pass
    raise InvalidInput(f"The list of favourites, {path}, is damaged; mend or delete it.")
