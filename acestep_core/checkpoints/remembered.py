"""What people said a single file is, where it cannot say so itself: asked once, known until it is replaced."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from acestep_core.errors import AceStepError
from acestep_core.io.atomic import atomic_write
from acestep_core.io.folders import user_folder
from acestep_core.io.stamps import file_stamp
from acestep_core.io.text import json_object, read_text

log = logging.getLogger(__name__)


def remembered(path: Path) -> str | None:
    """The variant that `remember` was told for this very file."""
    told = _all().get(str(path.resolve())) if path.is_file() else None
    return told["variant"] if isinstance(told, dict) and told.get("stamp") == _stamp(path) else None


def remember(path: Path, variant: str) -> None:
    """Notes the variant of a file in the user's folder; where that is not writable, it is asked for again."""
    if remembered(path) == variant:
        return
    known = _all() | {str(path.resolve()): {"variant": variant, "stamp": _stamp(path)}}
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(_file()) as temporary:
            temporary.write_text(json.dumps(known, indent=1, ensure_ascii=False), encoding="utf-8")
    except (AceStepError, OSError) as error:
        log.warning("That %s is a %s model cannot be remembered: %s", path.name, variant, error)


def _file() -> Path:
    return user_folder().parent / "variants.json"


def _all() -> dict[str, object]:
    try:
        return json_object(read_text(_file()), str(_file()), "remove it", AceStepError)
    except AceStepError:
        return {}  # absent or damaged: then it is asked for again


def _stamp(path: Path) -> list[int]:
    return list(file_stamp(path)[1:])
