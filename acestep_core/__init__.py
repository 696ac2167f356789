"""acestep_core: make music with ACE-Step 1.5 from Python. Importing it loads neither torch nor any model."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "generate": "acestep_core.pipeline.generation",
    "Generation": "acestep_core.pipeline.generation",
    "cover": "acestep_core.pipeline.editing",
    "repaint": "acestep_core.pipeline.editing",
    "extend": "acestep_core.pipeline.editing",
    "add_track": "acestep_core.pipeline.editing",
    "extract": "acestep_core.pipeline.editing",
    "complete": "acestep_core.pipeline.editing",
    "morph": "acestep_core.pipeline.editing",
    "Song": "acestep_core.song.description",
    "Monitor": "acestep_core.monitor",
    "AceStepError": "acestep_core.errors",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'acestep_core' has no attribute {name!r}")
