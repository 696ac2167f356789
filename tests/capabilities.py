"""What not every system or user can do: tests that need it skip where it is missing, and `test_capabilities.py` sees to
it that they ask here.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from acestep_core.io.mapping import maps_files

needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="only Linux shows its memory as files")
needs_kills = pytest.mark.skipif(os.name != "posix", reason="Windows knows neither fork nor kill -9")
needs_rusage = pytest.mark.skipif(find_spec("resource") is None, reason="Windows does not count what a process took")


def needs_mapping() -> None:
    """Files are mapped, not read; called inside a test, for some only pretend to be on another system."""
    if not maps_files():
        pytest.skip("here files are read")


def link(path: Path, target: Path) -> None:
    """A symbolic link at `path`; on Windows only some users may make one."""
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError as error:
        pytest.skip(f"this user may make no links: {error}")


def close_to_reading(path: Path) -> bool:
    """Forbids to read a file, and says whether that works: root reads everything, and so does Windows' owner."""
    path.chmod(0)
    try:
        path.open("rb").close()
    except PermissionError:
        return True
    return False
