"""JSON as it goes over the wire: strict when reading, forgiving when writing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from acestep_core.errors import GraphError, InvalidInput

MAX_DEPTH = 100
"""Deeper nesting is refused, so that no later walk over the data can overflow the stack."""

MAX_NODES = 2000
"""Nodes of one prompt."""

MAX_OBJECTS = 100 * MAX_NODES
"""JSON objects in one document; a node on the canvas takes one to a few dozen. More are refused unparsed."""


def too_many_nodes() -> GraphError:
    return GraphError(f"The workflow has more than {MAX_NODES} nodes; split it into several.")


def dumps(value: Any) -> str:
    """`value` as valid JSON, whatever a node put in: NaN becomes null, unknown objects become their `str`."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(clean(value), allow_nan=False)


def clean(value: Any, depth: int = 0) -> Any:
    """A copy of `value` that holds nothing but what JSON knows."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): clean(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [clean(item, depth + 1) for item in value]
    try:
        return str(value)
    except Exception:  # a foreign object's __str__ may do anything
        return f"<{type(value).__name__}>"


def loads(text: str | bytes) -> Any:
    """Parses JSON that a stranger sent.

    Raises:
        InvalidInput: malformed, too large, nested deeper than `MAX_DEPTH`, or holding NaN or infinity.
    """
    if text.count(b"{" if isinstance(text, bytes) else "{") > MAX_OBJECTS:  # type: ignore[arg-type]
        raise InvalidInput(f"The document holds more than {MAX_OBJECTS} objects; send less at once.")
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The request body is not valid JSON; send a JSON document.") from error
    _check(value)
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check(value: Any) -> None:
    """Walks level by level, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise InvalidInput("The request holds a number that is too large; keep numbers finite.")
        if not below:
            return
        level = below
    raise InvalidInput(f"The request is nested deeper than {MAX_DEPTH} levels; flatten it.")


def is_link(value: Any) -> bool:
    """Whether a prompt input is a reference `[node id, output index]` to another node."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
        and not isinstance(value[1], bool)
    )
