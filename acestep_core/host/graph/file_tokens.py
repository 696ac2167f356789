"""What stands between percent signs in the name of a file to be saved, as ComfyUI's canvas and server fill it in.

`%date:yyyy-MM-dd hh-mm-ss%` and `%year% %month% %day% %hour% %minute% %second%` are the time; `%Node.widget%` is what a
node has in a widget, where the node is called by its "Node name for S&R", its type or its title.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from acestep_core.host.graph.wire import is_link

_TOKEN = re.compile("%([^%]+)%")
_DATE = re.compile("dd?|MM?|hh?|mm?|ss?|yyyy|yy")
_NOT_IN_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_FIELDS = {"year": "yyyy", "month": "MM", "day": "dd", "hour": "hh", "minute": "mm", "second": "ss"}


def filled(text: str, when: datetime, prompt: Any = None, canvas: Any = None) -> str:
    """`text` with all that is known filled in; the rest stays as it is.

    Args:
        prompt: API format, whose nodes may be named.
        canvas: the workflow it came from, which has the names for S&R.
    """

    def fill(token: re.Match[str]) -> str:
        name = token[1]
        if name.startswith("date:"):
            return _date(name.removeprefix("date:"), when)
        if name in _FIELDS:
            return _date(_FIELDS[name], when)
        node, dot, widget = name.rpartition(".")
        found = _value(node, widget, prompt, canvas) if dot and isinstance(prompt, Mapping) else None
        return token[0] if found is None else found

    return _TOKEN.sub(fill, text)


def _date(form: str, when: datetime) -> str:
    values = {"d": when.day, "M": when.month, "h": when.hour, "m": when.minute, "s": when.second}

    def part(found: re.Match[str]) -> str:
        letters = found[0]
        if letters[0] == "y":
            return f"{when.year:04d}"[-len(letters) :]
        return f"{values[letters[0]]:0{len(letters)}d}"

    return _DATE.sub(part, form)


def _value(node: str, widget: str, prompt: Mapping[str, Any], canvas: Any) -> str | None:
    """The value as a part of a file name; None if there is no such node or widget, or a wire feeds it."""
    names = _search_names(canvas)
    for called in (
        lambda node_id: names.get(node_id, prompt[node_id].get("class_type")),
        lambda node_id: (prompt[node_id].get("_meta") or {}).get("title"),
    ):
        for node_id in prompt:
            if called(node_id) == node:
                value = prompt[node_id]["inputs"].get(widget)
                return None if value is None or is_link(value) else _NOT_IN_NAMES.sub("_", _shown(value))
    return None


def _search_names(canvas: Any) -> dict[str, str]:
    nodes = canvas.get("nodes") if isinstance(canvas, Mapping) else None
    found = {}
    for node in nodes if isinstance(nodes, list) else ():
        properties = node.get("properties") if isinstance(node, Mapping) else None
        if isinstance(properties, Mapping) and "Node name for S&R" in properties:
            found[str(node.get("id"))] = properties["Node name for S&R"]
    return found


def _shown(value: Any) -> str:
    """As a browser writes it: `true`, and 8 for 8.0."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
