"""Commands as they are typed where this runs, whatever the system and its shell."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_PLAIN = re.compile(r"[\w.,:/\\~+-]+")


def typed(path: Path | str) -> str:
    """A path as a word of a command: bare where it can be, for PowerShell; else in quotes that cmd knows, too."""
    return str(path) if _PLAIN.fullmatch(str(path)) else f'"{path}"'


def pip_install(*packages: str) -> str:
    """What installs packages for the Python that runs this; its own pip is on no path in ComfyUI's portable build."""
    return f"{typed(sys.executable)} -m pip install {' '.join(packages)}"
