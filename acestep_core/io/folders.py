"""Where this library keeps what belongs to the user and to no single song."""

from __future__ import annotations

import os
from pathlib import Path

from acestep_core.errors import StorageError
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
    variable, usual = _cache()
    named = os.environ.get(variable) if variable != "HOME" else None
    try:
        return Path(named or Path.home() / usual) / "acestep" / "checkpoints"
    except RuntimeError as error:
        raise StorageError(f"This user has no home folder; set {variable} to a folder that may be written.") from error


def elsewhere(folder: Path) -> str:
    """What to do where a folder cannot be used: of the user's cache, a variable decides where it lies."""
    own = user_folder().parent
    return f"set {_cache()[0]} to another folder" if folder.is_relative_to(own) else "choose another folder"


def _cache() -> tuple[str, str]:
    """The variable that moves this system's cache, and where it lies in the home folder without it."""
    if system.WINDOWS:
        return "LOCALAPPDATA", "AppData/Local"
    return ("HOME", "Library/Caches") if system.MACOS else ("XDG_CACHE_HOME", ".cache")
