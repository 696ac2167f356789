"""Files that are whole or absent, never overwritten by accident, and never outside the allowed folders."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acestep_core.errors import InvalidInput, StorageError


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there becomes `path` in one step at the end.

    If the body raises, the temporary file is removed and `path` keeps its old content. A process that is killed
    leaves at most a hidden `.tmp` file.

    Raises:
        StorageError: the disk is full, or the folder is absent or not writable.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:200]}.{os.urandom(4).hex()}.tmp")
    try:
        with _clear_errors(path):
            temporary.touch(exist_ok=False)
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):  # the folder may have vanished with the file in it
            temporary.unlink(missing_ok=True)


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
    numbered = re.compile(rf"\.?{re.escape(stem)}_(\d{{5,9}})_?(\..*)?", re.DOTALL)
    with _clear_errors(folder / f"{stem}{suffix}"):
        used = (numbered.fullmatch(entry.name) for entry in os.scandir(folder))
        number = max((int(match[1]) for match in used if match), default=0)
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


def confine(path: Path | str, roots: Iterable[Path | str]) -> Path:
    """The absolute path with symlinks resolved, if it lies inside one of `roots`.

    A relative path is taken from the first root that has it, or from the first root if none has.

    Raises:
        InvalidInput: the path leads outside.
    """
    allowed = [Path(root).resolve() for root in roots]
    if not allowed:
        raise ValueError("confine needs at least one root")
    try:
        candidates = [(root / path).resolve() for root in allowed]
        inside = [candidate for candidate in candidates if any(candidate.is_relative_to(root) for root in allowed)]
        existing = [candidate for candidate in inside if candidate.exists()]
    except (OSError, ValueError, RuntimeError):  # too long a name, a null byte, a symlink loop
        inside, existing = [], []
    if not inside:
        raise InvalidInput(
            f"The path {Path(str(path)).name!r} lies outside the folders that may be used; move it there."
        )
    return existing[0] if existing else inside[0]


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turns the usual failures of writing below `path.parent` into a sentence that says what to do."""
    folder = path.parent
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            reason = f"The disk that holds {folder} is full; free some space and run again."
        elif not folder.is_dir():
            reason = f"The folder {folder} does not exist (any more); create it or choose another one."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = f"{path.name} cannot be written into {folder}; allow writing there or choose another folder."
        elif error.errno == errno.ENAMETOOLONG:
            reason = f"The file name {path.name[:40]}… is too long; choose a shorter one."
        else:
            raise
        raise StorageError(reason) from error


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes the new name itself survive a power cut, where the system can (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
