"""How a node's inputs become the arguments of its calls, and the results of its calls become its outputs.

Every output is a list of values, usually of one. A node runs once per element, and shorter lists repeat their last
element; a node with `INPUT_IS_LIST` runs once and takes the lists themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from acestep_core.errors import GraphError
from acestep_core.host.graph.context import ExecutionBlocker
from acestep_core.host.graph.nodedef import NodeDef, nested
from acestep_core.host.graph.wire import is_link

Resolve = Callable[[str, Any], "Sequence[Any] | None"]
"""Gives the values behind a link of the named input, or None while they are not there."""


def _unresolved(name: str, link: Any) -> None:
    return None


def input_lists(
    inputs: Mapping[str, Any],
    definition: NodeDef,
    node_id: str,
    resolve: Resolve = _unresolved,
    prompt: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Sequence[Any]]:
    """The values of each declared and hidden input. A link that cannot be resolved yields `(None,)`."""
    lists: dict[str, Sequence[Any]] = {}
    known = definition.given(inputs)
    for name, value in inputs.items():
        declared = known.get(name)
        if declared is None:
            continue
        if is_link(value) and not declared.raw_link:
            found = resolve(name, value)
            lists[name] = (None,) if found is None else found
        else:
            lists[name] = [value]
    hidden = {"PROMPT": prompt or {}, "UNIQUE_ID": node_id, "EXTRA_PNGINFO": (extra or {}).get("extra_pnginfo")}
    for name, kind in definition.hidden.items():
        if kind in hidden:
            lists[name] = [hidden[kind]]
    return lists


def calls_of(lists: Mapping[str, Sequence[Any]], definition: NodeDef) -> list[dict[str, Any]]:
    """The keyword arguments of each call.

    Raises:
        GraphError: an input is an empty list.
    """
    if definition.input_is_list:
        return [nested(dict(lists), definition)]
    if not lists:
        return [{}]
    empty = [name for name, values in lists.items() if not values]
    if empty:
        raise GraphError(f"The input {empty[0]!r} received an empty list; feed it at least one value.")
    count = max(len(values) for values in lists.values())
    calls = ({name: values[min(i, len(values) - 1)] for name, values in lists.items()} for i in range(count))
    return [nested(call, definition) for call in calls]


def map_over_lists(function: Callable[..., Any], lists: Mapping[str, Sequence[Any]], definition: NodeDef) -> list[Any]:
    """Calls `function` as a node would be called; coroutines are returned as such."""
    return [function(**arguments) for arguments in calls_of(lists, definition)]


def blocker_in(arguments: Mapping[str, Any], input_is_list: bool) -> ExecutionBlocker | None:
    """The blocker among the arguments of a call, if any: such a call does not take place."""
    for value in arguments.values():
        for item in value if input_is_list else (value,):
            if isinstance(item, ExecutionBlocker):
                return item
    return None


def merge_results(returned: Sequence[Any], definition: NodeDef) -> tuple[list[list[Any]], dict[str, list[Any]]]:
    """Splits what the calls of a node returned into outputs (a list per output) and `ui` (lists concatenated).

    Raises:
        GraphError: a call returned something that is neither a tuple, nor a result dict, nor a blocker.
    """
    rows: list[Sequence[Any]] = []
    ui: dict[str, list[Any]] = {}
    for value in returned:
        if isinstance(value, dict):
            if value.get("expand") is not None:
                raise GraphError(f"Node type {definition.id!r} expands into a graph; this host cannot run such nodes.")
            for key, items in (value.get("ui") or {}).items():
                ui.setdefault(key, []).extend(items)
            value = value.get("result", ())
        row = _row(value, definition)
        if row:
            rows.append(row)
    if not rows:
        return [], ui
    width = min(len(row) for row in rows)
    outputs = []
    for slot in range(width):
        values = [row[slot] for row in rows]
        if slot < len(definition.output_is_list) and definition.output_is_list[slot]:
            values = [item for value in values for item in ([value] if isinstance(value, ExecutionBlocker) else value)]
        outputs.append(values)
    return outputs, ui


def _row(value: Any, definition: NodeDef) -> Sequence[Any]:
    if isinstance(value, ExecutionBlocker):
        return [value] * len(definition.returns)
    if value is None:
        return ()
    if isinstance(value, tuple | list):
        return value
    raise GraphError(f"Node type {definition.id!r} returned {type(value).__name__}; it must return a tuple.")
