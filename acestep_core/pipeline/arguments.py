"""The arguments of the front door that are no options of the table: what each of them is, checked before any work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from acestep_core.errors import InvalidInput
from acestep_core.models.handles import Models
from acestep_core.options import MAX_SEED, RenderSettings
from acestep_core.planner.think import Thinking
from acestep_core.song.description import Song, normalize_text
from acestep_core.values import truth, whole

Reader = Callable[[Any], Any]
"""The value as it is used; None for one of another kind."""


def _one_of(*kinds: type) -> Reader:
    return lambda value: value if isinstance(value, kinds) else None


def _seed(value: Any) -> int | None:
    found = whole(value)
    return found if found is not None and -1 <= found <= MAX_SEED else None


def _thinking(value: Any) -> Thinking | bool | None:
    return value if isinstance(value, Thinking) else truth(value)


_ARGUMENTS: Mapping[str, tuple[Reader, str]] = {
    "prompt": (_one_of(str), "text"),
    "song": (_one_of(Song), "a Song"),
    "seed": (_seed, f"a whole number from 0 to {MAX_SEED}, or -1 for any"),
    "batch": (whole, "a whole number"),
    "references": (lambda value: value, ""),  # whoever loads them says what is wrong with one
    "reference_seed": (_seed, f"a whole number from 0 to {MAX_SEED}"),
    "latent": (lambda value: value, ""),  # likewise
    "noise_mask": (lambda value: value, ""),
    "models": (_one_of(Models, str, os.PathLike), "a path, or what open_models returned"),
    "variant": (_one_of(str), "text such as 'turbo'"),
    "settings": (_one_of(RenderSettings), "RenderSettings, such as RenderSettings.of(steps=4)"),
    "think": (_thinking, "true, false, or Thinking"),
    "album_caption": (_one_of(str), "text"),
    "progress": (lambda value: value, ""),  # `monitor_of` says
    "cancelled": (lambda value: value, ""),
}
NAMES = frozenset(_ARGUMENTS)


def read_arguments(told: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as they are used; those that are left open, such as a seed of -1, are left out.

    Raises:
        InvalidInput: one of them is of another kind.
    """
    found = {name: _read(name, value) for name, value in told.items() if name in _ARGUMENTS and value is not None}
    if found.get("seed") == -1:
        del found["seed"]
    if "album_caption" in found:
        found["album_caption"] = normalize_text("album_caption", found["album_caption"])
    return found


def _read(name: str, value: Any) -> Any:
    read, words = _ARGUMENTS[name]
    found = read(value)
    if found is None:
        raise InvalidInput(f"{name} must be {words}, not {value!r:.80}.")
    return found
