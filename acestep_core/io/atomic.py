"""Files that are whole or absent."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from filecmp import cmp
from pathlib import Path

from acestep_core.errors import StorageError
from acestep_core.io import system
from acestep_core.io.folders import elsewhere
from acestep_core.io.long_paths import familiar, reachable

TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.tmp")
STAGE = re.compile(r"\.([a-z0-9]+)-[0-9a-f]{8}\.stage")
"""Names of what a process leaves behind if it is killed: see `atomic_write` and `acestep_core.io.staging`."""

_TRIES, _PAUSE = 40, 0.05


@contextmanager
def atomic_write(path: Path | str, *, new: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there becomes `path` in one step at the end.

    If the body raises, the temporary file is removed and `path` keeps its old content. A process that is killed
    leaves at most a hidden `.tmp` file.

    Args:
        path: an existing file is replaced.
        new: refuse instead to replace one. Where another name will do, see `acestep_core.io.staging`.

    Raises:
        StorageError: the disk is full, the name is not allowed, or the folder is absent or not writable.
    """
    path = Path(path)
    temporary = reachable(path.with_name(f".{os.urandom(4).hex()}.tmp"))
    try:
        with clear_errors(path):
            temporary.touch(exist_ok=False)
            yield temporary
            sync(temporary)
            (place if new else replace)(temporary, path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):  # the folder may have vanished with the file in it
            temporary.unlink(missing_ok=True)


def replace(source: Path, target: Path) -> None:
    """Renames; on Windows it waits while a virus scanner or an indexer looks at one of the files."""
    _patiently(os.replace, source, target)


def place(source: Path, target: Path) -> None:
    """Renames a file or a folder, but never onto another file, even if one appears in the last moment.

    A move that was cut off, so that the file has both names or a backup has it twice, is completed.

    Raises:
        FileExistsError: there is another file at `target`.
    """
    source, target = reachable(source), reachable(target)
    if system.WINDOWS or source.is_dir():
        _patiently(os.rename, source, target)  # which does not replace there, nor a folder with something in it
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        if not cmp(source, target, shallow=False):
            raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
        # this file system has one name per file: a file of ours reserves it
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        source.replace(target)
        return
    source.unlink()


def sync(path: Path) -> None:
    """Brings a file's content to the disk."""
    descriptor = os.open(reachable(path), os.O_RDWR if system.WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Makes new names survive a power cut, where the system can (not on Windows)."""
    if system.WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turns the usual failures of writing below `path.parent` into a sentence that says what to do."""
    folder = path.parent
    try:
        yield
    except OSError as error:
        shown, other = visible(folder), elsewhere(folder)
        denied = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        if isinstance(error, FileExistsError):
            reason = f"{path.name} exists already in {shown} and was left alone; choose another name."
        elif error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            reason = f"The disk that holds {shown} is full; free some space and run again."
        elif (system.WINDOWS or not denied) and not folder.is_dir():
            reason = f"The folder {shown} does not exist (any more); create it or {other}."
        elif system.WINDOWS and isinstance(error, PermissionError):
            reason = f"{path.name} in {shown} is open in another program or closed to writing; close it and run again."
        elif denied or (error.errno == errno.ENOENT and not system.WINDOWS):
            reason = f"{path.name} cannot be written into {shown}; allow writing there or {other}."
        elif error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.ENOENT):  # Windows says the last two
            reason = f"The file name {path.name[:40]}… is too long or not allowed in {shown}; choose a shorter one."
        else:
            raise
        raise StorageError(reason) from error


def visible(folder: Path) -> Path:
    """The folder as the user knows it: without the hidden ones in which files are staged."""
    for parent in [*reversed(folder.parents), folder]:
        if STAGE.fullmatch(parent.name):
            return familiar(parent.parent)
    return familiar(folder)


def remove(path: Path) -> None:
    """Deletes a file, waiting where another program looks at it."""
    _patiently(lambda source, _: source.unlink(), path, path)


def _patiently(operation: Callable[[Path, Path], object], source: Path, target: Path) -> None:
    source, target = reachable(source), reachable(target)
    for left in reversed(range(_TRIES)):
        try:
            operation(source, target)
            return
        except FileExistsError:
            raise
        except PermissionError:
            if not (system.WINDOWS and left):
                raise
            time.sleep(_PAUSE)
