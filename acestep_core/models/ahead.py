"""Weights that later stages need, read from the disk while an earlier stage works."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from acestep_core import devices
from acestep_core.checkpoints.counting import weight_files
from acestep_core.errors import CheckpointError
from acestep_core.models.handles import Handle, ModelHandle
from acestep_core.models.manager import manager

log = logging.getLogger(__name__)

BLOCK = 8 << 20
"""Bytes read at a time."""
SHARE = 2
"""Files that take more than main memory divided by this are left alone: the last would drive out the first."""


def read_ahead(handles: Iterable[Handle | None]) -> Thread | None:
    """Has the system read the files of models that are not loaded yet; it keeps what it reads in memory that nobody
    needs otherwise.

    Args:
        handles: what will be used, first what is used first.

    Returns:
        Who reads, for tests to wait for; None where there is nothing to read, or too much.
    """
    files: dict[Path, int] = {}
    for handle in handles:
        if handle is not None and handle.lent is None and not manager.holds(handle):
            with suppress(CheckpointError, OSError):  # whoever loads the model tells the user
                files |= {path: path.stat().st_size for path in _files(handle)}
    if not files or sum(files.values()) > devices.total_memory(devices.HOST) // SHARE:
        return None
    reader = Thread(target=_read, args=([*files],), name="read-ahead", daemon=True)
    reader.start()
    return reader


def _files(handle: Handle) -> tuple[Path, ...]:
    return weight_files(handle.role, handle.path, handle.variant if isinstance(handle, ModelHandle) else None)


def _read(files: Sequence[Path]) -> None:
    block = bytearray(BLOCK)
    try:
        for path in files:
            with path.open("rb", buffering=0) as file:
                while file.readinto(block):
                    pass
    except OSError as error:  # as above
        log.info("%s was not read ahead: %s", path, error)
