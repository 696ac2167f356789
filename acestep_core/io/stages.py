"""Stages that are used again and again, by who delivers thousands of times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from acestep_core.io.atomic import clear_errors
from acestep_core.io.staging import Stage, clear_home, new_home


class Stages:
    """Stages in one folder that are used for one delivery after the other, for what making them costs; see `staging`.

    Args:
        owner: as for `staging`.
    """

    def __init__(self, root: Path, owner: str) -> None:
        self._root, self._owner = root, owner
        self._locks = ExitStack()
        self._all: list[Stage] = []
        self._free: list[Stage] = []

    @contextmanager
    def one(self) -> Iterator[Stage]:
        """An empty stage. What has not been delivered by the end of the block is dropped.

        Raises:
            StorageError: the disk is full, or the folder is absent or not writable.
        """
        stage = self._free.pop() if self._free else self._new()
        try:
            yield stage
            stage.settled = True
        finally:
            if stage.settled and stage.emptied():  # else it stays as it is
                self._free.append(stage)

    def close(self) -> None:
        """Removes the stages."""
        for stage in self._all:
            if stage.settled:
                clear_home(stage.home)
        self._locks.close()

    def _new(self) -> Stage:
        with clear_errors(self._root / "A file"):
            stage = Stage(new_home(self._root, self._owner, self._locks))
            stage.folder.mkdir()
        self._all.append(stage)
        return stage
