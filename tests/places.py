"""Where the library looks for models and keeps its own: nowhere that this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

NAMED = ("ACESTEP_CHECKPOINTS", "ACESTEP_CHECKPOINTS_DIR")
CACHES = ("XDG_CACHE_HOME", "LOCALAPPDATA", "HF_HOME", "HF_HUB_CACHE")


def nothing_known(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """No folder is named, and caches are in `cache`."""
    for name in NAMED:
        patch.delenv(name, raising=False)
    for name in CACHES:
        patch.setenv(name, str(cache))
