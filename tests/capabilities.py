"""What not every system or user can do: tests that need it skip where it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="only Linux shows its memory as files")


def link(path: Path, target: Path) -> None:
    """A symbolic link at `path`; on Windows only some users may make one."""
    try:
        path.symlink_to(target)
    except OSError as error:
        pytest.skip(f"this user may make no links: {error}")
