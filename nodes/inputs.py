"""How inputs are declared: each helper returns what ComfyUI expects in `INPUT_TYPES`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Declaration = tuple[Any, dict[str, Any]]

MAX_SEED = 2**53 - 1
"""The largest whole number a browser can hold exactly."""


def integer(default: int, low: int, high: int, tooltip: str, step: int = 1, **options: Any) -> Declaration:
    return "INT", {"default": default, "min": low, "max": high, "step": step, "tooltip": tooltip, **options}


def number(default: float, low: float, high: float, step: float, tooltip: str, **options: Any) -> Declaration:
    return "FLOAT", {"default": default, "min": low, "max": high, "step": step, "tooltip": tooltip, **options}


def switch(default: bool, tooltip: str, **options: Any) -> Declaration:
    return "BOOLEAN", {"default": default, "tooltip": tooltip, **options}


def choice(options: Sequence[str], default: str, tooltip: str, **more: Any) -> Declaration:
    return list(options), {"default": default, "tooltip": tooltip, **more}


def text(tooltip: str, default: str = "", **options: Any) -> Declaration:
    """A text field. Braces stay as they are: the canvas would otherwise expand `{a|b}` before it queues."""
    return "STRING", {"default": default, "tooltip": tooltip, "dynamicPrompts": False, **options}


def wire(kind: str, tooltip: str, **options: Any) -> Declaration:
    """An input that only takes a connection."""
    return kind, {"tooltip": tooltip, **options}


def seed(tooltip: str) -> Declaration:
    return integer(0, 0, MAX_SEED, tooltip, control_after_generate=True)
