"""Where the files of a batch go that is no folder of this machine: anything fsspec knows, `s3://…`, `gs://…`, `file://…`.

Whoever made a row brings its files in: first under hidden names, then by moves to their own, the largest last. Nothing
looks for free names: each row has a folder of its own, named after its run, so a row that is made again takes the same
places. Which rows are whole the journal knows.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from acestep_core.errors import StorageError
from acestep_core.host.queue.results import Result, RunFailed, Stored
from acestep_core.io.atomic import STAGE, TEMPORARY
from acestep_core.io.staging import NAMES_LOCK

TRIES = 3
"""How often files are sent before their row fails."""
PAUSE = 2.0
"""Seconds before they are sent again; the next time four times as many."""


@dataclass(frozen=True)
class Store:
    """A place by its address; `owner` is part of the hidden names, and tells batches apart. Workers get it as it is."""

    uri: str
    owner: str

    def opened(self) -> None:
        """Makes the place and removes what killed workers left half-way.

        Raises:
            StorageError: there is no such place, it cannot be written to, or what it needs is not installed.
        """
        with self._place() as (fs, root):
            fs.makedirs(root, exist_ok=True)
            for name in self._names(fs, root):
                if name.startswith(f".{self.owner}-"):
                    fs.rm(f"{root}/{name}", recursive=True)

    def keep(self, result: Result, made: Path, folder: str) -> Result:
        """Brings in all files below `made`, and names them in the result.

        Args:
            folder: of the rows that share one, below the place; may be empty.

        Raises:
            RunFailed: it cannot be done.
        """
        files = sorted((path for path in made.rglob("*") if _is_song(path)), key=lambda path: path.stat().st_size)
        home = str(PurePosixPath(folder, result.prompt_id))
        for attempt in range(TRIES):
            try:
                with self._place() as (fs, root):
                    stored = {path: self._send(fs, root, home, path, made) for path in files}
                break
            except StorageError as error:
                if attempt == TRIES - 1:
                    raise RunFailed(str(error)) from error
            time.sleep(PAUSE * 4**attempt)
        known = {node: [stored[path] for path in paths if path in stored] for node, paths in result.files.items()}
        return replace(result, files={}, stored={node: found for node, found in known.items() if found})

    def _send(self, fs: Any, root: str, home: str, path: Path, made: Path) -> Stored:
        name = path.relative_to(made).as_posix()
        target, hidden = f"{root}/{home}/{name}", f"{root}/.{self.owner}-{secrets.token_hex(8)}"
        try:
            fs.put_file(str(path), hidden)
            fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            if fs.exists(target):  # of the same row, whose worker died before it was whole
                fs.rm(target)
            fs.mv(hidden, target)
        except BaseException:
            with suppress(Exception):  # what cannot be removed now, the next batch of this name removes
                fs.rm(hidden)
            raise
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return Stored(f"{self.uri.rstrip('/')}/{home}/{name}", digest, path.stat().st_size)

    def _names(self, fs: Any, root: str) -> list[str]:
        return [PurePosixPath(path).name for path in fs.ls(root, detail=False)]

    @contextmanager
    def _place(self) -> Iterator[tuple[Any, str]]:
        """The file system and the path in it. Whatever it raises, its errors are one."""
        try:
            import fsspec
        except ImportError:
            raise StorageError("Addresses of stores need fsspec; run `pip install acestep-nodes[stores]`.") from None
        try:
            fs, root = fsspec.core.url_to_fs(self.uri)
            yield fs, root.rstrip("/")
        except ImportError as error:  # of the one file system, whose package it names
            raise StorageError(f"{self.uri} needs another package: {str(error).rstrip('.')}.") from error
        except Exception as error:  # each file system has errors of its own
            reason = f"{type(error).__name__}: {error}".strip().partition("\n")[0].rstrip(".:")
            raise StorageError(f"{self.uri} cannot be used ({reason}); check its address and your rights.") from error


def _is_song(path: Path) -> bool:
    hidden = TEMPORARY.fullmatch(path.name) or any(STAGE.fullmatch(part) for part in path.parts)
    return path.is_file() and not path.is_symlink() and not hidden and path.name != NAMES_LOCK
