"""Values of a prompt in the types that its inputs declare: as ComfyUI reads them, and as people write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from acestep_core.values import is_unset, number, real, truth, whole


def literal(value: Any, kind: Any, options: Mapping[str, Any]) -> Any:
    """The value in the type `kind`.

    Beyond what ComfyUI takes, "1.0" is a whole number, "3:20" a number of seconds and "false" is false. Where an input
    declares what stands for "open" (`empty`), words such as "auto" and a -1 out of range mean it.

    Raises:
        ValueError, TypeError, OverflowError: it is no such value, in Python's words.
    """
    if kind in ("INT", "FLOAT"):
        if "empty" in options and is_unset(value) and _below(number(value), options.get("min")):
            return options["empty"]
        found = whole(value) if kind == "INT" else real(value)
        return _converted(value, kind) if found is None else found
    if kind == "STRING":
        return str(value)
    if kind == "BOOLEAN":
        spelled = truth(value) if isinstance(value, str) else None
        return bool(value) if spelled is None else spelled
    return value


def chosen(value: Any, choices: Sequence[Any] | None, any_case: bool = False) -> Any:
    """The choice that a value means: itself, or the one that differs by the slashes of another system (and by case)."""
    if not isinstance(value, str) or not choices or value in choices:
        return value

    def same(text: str) -> str:
        slashed = text.replace("\\", "/")
        return slashed.strip().casefold() if any_case else slashed

    return next((choice for choice in choices if same(str(choice)) == same(value)), value)


def _below(found: float | None, least: float | None) -> bool:
    return found is None or (least is not None and found < least)


def _converted(value: Any, kind: str) -> int | float:
    if kind == "INT":
        return int(value)
    if not math.isfinite(found := float(value)):
        raise ValueError("the number must be finite")
    return found
