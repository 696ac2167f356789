"""How inputs are declared: each helper returns what ComfyUI expects in `INPUT_TYPES`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acestep_core.declared import Option, Options, options_of

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


def further(name: str, kind: str, tooltip: str) -> dict[str, Declaration]:
    """Three more inputs of the kind that `name` is, `name_2` to `name_4`, which may stay empty."""
    return {f"{name}_{number}": wire(kind, tooltip) for number in (2, 3, 4)}


def seed(tooltip: str) -> Declaration:
    return integer(0, 0, MAX_SEED, tooltip, control_after_generate=True)


def counting(**values: Sequence[Any]) -> dict[str, Any]:
    """Says that an input counts only while other widgets of its node have one of these values; else it is hidden."""
    return {"counts": {name: list(wanted) for name, wanted in values.items()}}


def widgets(group: type[Options], *names: str, advanced: bool | None = None) -> dict[str, Declaration]:
    """The widgets of a group of options.

    Args:
        names: which, in the order they stand in; none for all, or for all that are (not) `advanced`.
    """
    declared = {o.name: o for o in options_of(group)}
    chosen = [declared[name] for name in names] or [
        o for o in declared.values() if advanced is None or o.advanced is advanced
    ]
    return {o.widget: widget(o) for o in chosen}


def widget(o: Option) -> Declaration:
    """What the canvas shows for an option."""
    more = {**o.field, **({"advanced": True} if o.advanced else {}), **(counting(**o.counts) if o.counts else {})}
    first = o.to_widget(o.default if o.example is None else o.example)
    if o.kind == "bool":
        return switch(first, o.help, **more)
    if o.choices and o.kind == "str":
        choices = o.choices if o.empty is None else (o.empty, *o.choices)
        return choice(choices, o.empty if first == "" else first, o.help, **more)
    if o.kind in ("int", "float"):
        more |= {} if o.empty is None else {"empty": o.empty}  # what a host may write for "open"
        low, high = o.low or 0, o.high or MAX_SEED
        if o.empty is not None:
            low = min(low, o.empty)
        if o.kind == "int":
            return integer(first, int(low), min(int(high), MAX_SEED), o.help, int(o.step or 1), **more)
        return number(first, low, high, o.step or 0.01, o.help, **more)
    return text(o.help, first, **more)
