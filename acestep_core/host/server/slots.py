"""Several hosts on the same folders: each takes a number, and knows whether it is alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from acestep_core.io.locks import Busy, abandoned, locked


@contextmanager
def slot(folder: Path) -> Iterator[tuple[int, bool]]:
    """Takes the lowest number in `folder` that no running host has, for the length of the block.

    Yields:
        The number, and whether no other host was using the folder at the start.
    """
    with ExitStack() as stack:
        for number in count(1):
            with suppress(Busy):
                stack.enter_context(locked(_lock(folder, number)))
                break
        # the own lock is held before the others are looked at, so two that start at once both see each other
        others = [path for path in folder.glob(".host-*.lock") if path != _lock(folder, number)]
        yield number, all(_is_abandoned(path) for path in others)


def _lock(folder: Path, number: int) -> Path:
    return folder / f".host-{number}.lock"


def _is_abandoned(path: Path) -> bool:
    with abandoned(path) as gone:
        return gone
