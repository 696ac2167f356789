"""Weights that later stages need, read from the disk while an earlier stage works."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, takewhile
from pathlib import Path
from threading import Thread, main_thread

from acestep_core import devices
from acestep_core.checkpoints.counting import weight_files
from acestep_core.errors import CheckpointError
from acestep_core.models.handles import Handle, ModelHandle
from acestep_core.models.manager import manager

log = logging.getLogger(__name__)

BLOCK = 8 << 20
"""Bytes read at a time."""
SHARE = 2
"""What is read takes no more than the free memory divided by this: the last would drive out the first."""


def read_ahead(handles: Iterable[Handle | None]) -> Thread | None:
    """Has the system read the files of models that are not loaded yet; it keeps what it reads in memory that nobody
    needs otherwise.

    Args:
        handles: what will be used, first what is used first.

    Returns:
        Who reads, for tests to wait for; None where there is nothing to read.
    """
    missing = [one for one in handles if one is not None and one.lent is None and not manager.holds(one)]
    if not missing:
        return None
    # No daemon: Python ends those in the midst of whatever they do, and C++ then ends the process. It ends by itself.
    reader = Thread(target=_read, args=(missing,), name="read-ahead")
    reader.start()
    return reader


def _wanted() -> bool:
    """Whether the process goes on."""
    return main_thread().is_alive()


def _read(handles: Sequence[Handle]) -> None:
    files = dict.fromkeys(path for handle in handles if _wanted() for path in _files(handle))
    room = devices.free_ram() // SHARE
    sizes = accumulate(path.stat().st_size for path in files)
    for path, _ in takewhile(lambda known: known[1] <= room, zip(files, sizes)):
        read_file(path)


def read_file(path: Path) -> None:
    block = bytearray(BLOCK)
    try:
        with path.open("rb", buffering=0) as file:
            while _wanted() and file.readinto(block):
                pass
    except OSError as error:  # whoever loads the model tells the user
        log.info("%s was not read ahead: %s", path, error)


def _files(handle: Handle) -> Iterator[Path]:
    variant = handle.variant if isinstance(handle, ModelHandle) else None
    try:
        yield from weight_files(handle.role, handle.path, variant)
    except (CheckpointError, OSError) as error:  # as above
        log.info("%s was not read ahead: %s", handle.path, error)
