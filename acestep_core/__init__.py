"""acestep_core: make music with ACE-Step 1.5 from Python. Importing it loads neither torch nor any model."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "generate": "acestep_core.generation",
    "Generation": "acestep_core.generation",
    "cover": "acestep_core.editing",
    "repaint": "acestep_core.editing",
    "extend": "acestep_core.editing",
    "add_track": "acestep_core.editing",
    "extract": "acestep_core.editing",
    "complete": "acestep_core.editing",
    "morph": "acestep_core.editing",
    "Song": "acestep_core.song",
    "Monitor": "acestep_core.monitor",
    "AceStepError": "acestep_core.errors",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'acestep_core' has no attribute {name!r}")
