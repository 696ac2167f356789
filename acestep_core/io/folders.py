"""Where this library keeps what belongs to the user and to no single song."""

from __future__ import annotations

import os
from pathlib import Path

from acestep_core.io import system


def download_folder(package: Path = Path(__file__).parents[1]) -> Path:
    """Where models go unless told otherwise: beside ComfyUI's where this is a pack in `custom_nodes`, on the disk
    that its users keep models on; else the user's cache.
    """
    packs = package.parents[1]
    models = packs.parent / "models"
    return models / "acestep" if packs.name == "custom_nodes" and models.is_dir() else user_folder()


def user_folder() -> Path:
    """The user's cache, in the place this system has for it."""
    if system.WINDOWS:
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif system.MACOS:
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "acestep" / "checkpoints"
