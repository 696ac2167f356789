"""Locks between processes, as files: the system frees them when their holder ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acestep_core.errors import StorageError
from acestep_core.io import system

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_PLACE = 1 << 30
"""The byte that is locked on Windows, where a locked byte cannot be read: behind the number of the process."""


class Busy(StorageError):
    """Another process holds the lock; `pid` is its number, where it is known."""

    def __init__(self, path: Path) -> None:
        with suppress(OSError, ValueError):
            self.pid = int(path.read_bytes())
        running = f"running (pid {self.pid})" if self.pid else "running"
        super().__init__(f"Another process is {running} in {path.parent}; wait until it has ended.")

    pid: int | None = None


@contextmanager
def locked(path: Path, wait: Callable[[], object] | None = None) -> Iterator[None]:
    """Holds the lock that the file `path` stands for; the file is there only while it is held.

    On a file system without locks nothing is locked.

    Args:
        path: in a folder that exists.
        wait: called again and again while another process holds the lock; it sleeps, and may raise to give up.

    Raises:
        Busy: the lock is held, and there is no `wait`.
    """
    while (descriptor := _take(path)) is None:
        if wait is None:
            raise Busy(path)
        wait()
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        _drop(path, descriptor)


@contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Takes the lock `path` if its holder is gone for certain, and says whether it was."""
    descriptor = _take(path, certain=True)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            _drop(path, descriptor)


def patience(seconds: float, message: str) -> Callable[[], None]:
    """A `wait` for `locked` that raises StorageError after some time."""
    end = time.monotonic() + seconds

    def wait() -> None:
        if time.monotonic() > end:
            raise StorageError(message)
        time.sleep(0.01)

    return wait


def _take(path: Path, certain: bool = False) -> int | None:
    """An open descriptor that holds the lock, or None. Without `certain`, a system without locks always gives one."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if path.exists():  # another user's, or on Windows one that is just being removed
            return None
        raise
    held = False
    try:
        # whoever had the lock may have removed the file since it was opened
        held = _lock(descriptor, certain) and os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        pass
    finally:
        if not held:
            os.close(descriptor)
    return descriptor if held else None


def _lock(descriptor: int, certain: bool) -> bool:
    try:
        if sys.platform == "win32":  # in these words, so that type checkers know which module is there
            import msvcrt

            os.lseek(descriptor, _PLACE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return not certain
        if isinstance(error, BlockingIOError) or error.errno in (errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True


def _drop(path: Path, descriptor: int) -> None:
    if system.WINDOWS:
        os.close(descriptor)
        descriptor = -1
    with suppress(OSError):  # gone with its folder, or taken by the next one
        path.unlink()
    if descriptor >= 0:
        os.close(descriptor)
