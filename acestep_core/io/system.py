"""Which system this is. Outside this room and `acestep_core.devices` nobody asks."""

from __future__ import annotations

import os
import platform
import re
import sys

WINDOWS = os.name == "nt"
"""Whether files in use can neither be replaced nor deleted."""
MACOS = sys.platform == "darwin"
KIND = sys.platform
"""The system as Python and ComfyUI name it: linux, win32, darwin."""
NAME = platform.system()
"""The system as it names itself: Linux, Windows, Darwin."""


def processor_name() -> str:
    """What the system calls its processor; some say only its kind, or nothing."""
    return platform.processor() or platform.machine()


def page_file_too_small(error: BaseException) -> bool:
    """Whether Windows refused memory that would have fitted a larger page file: its error 1455."""
    return getattr(error, "winerror", None) == 1455 or bool(re.search(r"(?i)\b(win|os )error 1455\b", str(error)))


def has_window() -> bool:
    """Whether a browser would open in a window, and not in this terminal or nowhere."""
    return WINDOWS or MACOS or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
