"""Files that are whole or absent, never overwritten by accident, and never outside the allowed folders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acestep_core.io.atomic import atomic_write, clear_errors
from acestep_core.io.confine import confine
from acestep_core.io.names import Taken

__all__ = ["atomic_write", "confine", "unique_path"]


@contextmanager
def unique_path(folder: Path | str, stem: str, suffix: str) -> Iterator[Path]:
    """Reserves `folder/stem_00001suffix` with the next free number and yields it; write it with `atomic_write`.

    A number counts as used if any file has it, whatever its suffix, so that siblings (`.flac`, `.json`) stay together.
    Processes that run at the same time get different numbers. The reservation is a hidden file that the end of the
    block removes; one left over from a killed process only costs a number.

    Raises:
        StorageError: the folder is absent or not writable.
    """
    folder = Path(folder)
    with clear_errors(folder / f"{stem}{suffix}"):
        number = Taken(path.name for path in folder.iterdir()).highest(stem)
        while True:
            number += 1
            path = folder / f"{stem}_{number:05d}{suffix}"
            marker = folder / f".{stem}_{number:05d}.reserved"
            try:
                marker.touch(exist_ok=False)
                break
            except FileExistsError:
                continue
    try:
        yield path
    finally:
        with suppress(OSError):
            marker.unlink(missing_ok=True)
