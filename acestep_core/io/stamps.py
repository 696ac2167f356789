"""What tells that a file was replaced, without reading it."""

from __future__ import annotations

from pathlib import Path


def file_stamp(path: Path) -> tuple[str, int, int]:
    """Path, size in bytes and time of change in nanoseconds. Raises OSError where there is none."""
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns
