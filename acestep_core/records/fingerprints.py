"""The SHA-256 of files. Those of large files are remembered in the user's cache, so that weights are not read again by
every process that mentions them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from acestep_core.errors import InvalidInput, StorageError
from acestep_core.io.atomic import atomic_write
from acestep_core.io.folders import user_folder
from acestep_core.io.stamps import file_stamp
from acestep_core.io.text import read_text

log = logging.getLogger(__name__)

LARGE = 64 << 20
"""Bytes from which on a hash is worth remembering."""


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits. A file counts as unchanged while its size and time of change are the same."""
    path = path.resolve()
    return _sha256(path, *file_stamp(path)[1:])


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    if size < LARGE:
        return content_hash(path)
    known = _known()
    entry = known.get(str(path))
    if isinstance(entry, list) and entry[:2] == [size, changed] and len(entry) == 3:
        return str(entry[2])
    log.info("reading %s once for its hash", path.name)
    digest = content_hash(path)
    _remember({**known, str(path): [size, changed, digest]})
    return digest


def content_hash(path: Path) -> str:
    """64 hexadecimal digits of a file, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file() -> Path:
    return user_folder().parent / "sha256.json"


def _known() -> dict[str, Any]:
    try:
        values = json.loads(read_text(_file()))
    except (InvalidInput, ValueError):  # absent or damaged: it is made anew
        return {}
    return values if isinstance(values, dict) else {}


def _remember(values: dict[str, Any]) -> None:
    """Files that are gone are forgotten. A cache that cannot be written costs time, not the song."""
    kept = {name: entry for name, entry in values.items() if Path(name).is_file()}
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(_file()) as temporary:
            temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    except (OSError, StorageError) as error:
        log.info("The hashes of large files could not be kept: %s", error)
