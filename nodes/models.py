"""What loaders offer to choose from: the names of models and adapters on this machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_core.checkpoints.catalog import AUTO_TIER, BUILT_IN, TIERS, VARIANTS
from acestep_core.errors import AceStepError, CheckpointError
from acestep_core.io.confine import confine

from .host import host

if TYPE_CHECKING:
    from acestep_core.checkpoints.find import Found

AUTO = AUTO_TIER
NO_LORA = "none"
TIER_CHOICES = list(TIERS)
VARIANT_CHOICES = [AUTO, *VARIANTS]
RESCAN_SECONDS = 3.0
"""Definitions are read many times while one prompt is checked; files do not come and go that fast."""

_scanned: dict[tuple[Path, ...], tuple[float, Found]] = {}


def roots() -> list[Path]:
    """The folders where models are looked for."""
    from acestep_core.checkpoints.find import search_roots

    return search_roots(host().model_roots())


def found() -> Found:
    """The models on this machine."""
    from acestep_core.checkpoints.find import find_models

    places = tuple(root.absolute() for root in roots())
    stamp, known = _scanned.get(places, (float("-inf"), None))
    if known is None or time.monotonic() - stamp > RESCAN_SECONDS:
        known = find_models(places)
        _scanned.clear()
        _scanned[places] = (time.monotonic(), known)
    return known


def choices(kind: str) -> list[str]:
    """Names for a list of models of `kind` (dit, vae, lm)."""
    from acestep_core.checkpoints.choose import names

    return [AUTO, *names(kind, found()), *BUILT_IN]


def device_choices() -> list[str]:
    """Every device of this machine; before anything has imported torch, those that are always there."""
    if "torch" not in sys.modules:
        return [AUTO, "cpu"]
    from acestep_core import devices

    return devices.device_choices()


def lora_choices() -> list[str]:
    """Adapters below the LoRA folders: files, and PEFT folders by their own name."""
    found = []
    for folder in host().lora_folders():
        for file in sorted(folder.rglob("*.safetensors")) if folder.is_dir() else ():
            peft = (file.parent / "adapter_config.json").is_file() and file.parent != folder
            found.append((file.parent if peft else file).relative_to(folder).as_posix())
    return [NO_LORA, *dict.fromkeys(found)]


def lora_path(name: str) -> Path:
    """Where the adapter called `name` lies."""
    path = confine(name, host().lora_folders())
    if not path.exists():
        raise CheckpointError(f"The adapter {name!r} is not there any more; choose another one or put the file back.")
    return path


def lora_stamp(name: str) -> str:
    """Changes when the files of an adapter do; nothing where there is none, which loading it will say."""
    from acestep_core.io.stamps import file_stamp

    if name == NO_LORA:
        return ""
    try:
        path = lora_path(name)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return str([file_stamp(file) for file in files])
    except (AceStepError, OSError):
        return ""
