"""From a workflow as the canvas saves it (LiteGraph JSON) to the prompt that `/prompt` takes.

Does what the frontend does when somebody presses Queue: nodes that exist only on the canvas vanish, muted nodes take
their links with them, bypassed ones hand an input of the same type through, subgraphs are unfolded (inner nodes get ids
like `12:3`), widget values get their names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from acestep_core.errors import GraphError
from acestep_core.host.graph.canvas_widgets import Place, takes, widget_places
from acestep_core.host.graph.comfyui_types import COMFYUI, absent
from acestep_core.host.graph.wire import MAX_NODES, too_many_nodes

Definitions = Mapping[str, Mapping[str, Any]]
"""`/object_info`: node type -> its entry."""

NOTES = ("Note", "MarkdownNote")
REROUTE, PRIMITIVE = "Reroute", "PrimitiveNode"
SETTERS = ("SetNode", "easy setNode")
GETTERS = {"GetNode": "SetNode", "easy getNode": "easy setNode"}
"""Pairs of packs that carry a link over the canvas under the name in their widget: who gets -> who sets."""
CONTROLS = frozenset(
    f"{name} (rgthree)"
    for name in (
        *("Bookmark", "Label", "Node Collector", "Random Unmuter", "Mute / Bypass Relay", "Mute / Bypass Repeater"),
        *("Fast Muter", "Fast Bypasser", "Fast Groups Muter", "Fast Groups Bypasser", "Fast Actions Button"),
    )
)
"""Nodes of packs that steer the canvas and, though wired, take no part in a run."""
MUTED, BYPASSED = 2, 4

_INPUT_SIDE, _OUTPUT_SIDE = -10, -20
_MAX_HOPS = 1000
_LEADING_ID = re.compile(r"\s*(\d+)\s*:\s*(.+)", re.DOTALL)


@dataclass
class Converted:
    """The prompt, and for each of its widget inputs where it came from."""

    prompt: dict[str, Any] = field(default_factory=dict)
    places: dict[tuple[str, str], list[Place]] = field(default_factory=dict)


def is_canvas(data: Any) -> bool:
    """Whether `data` is a canvas workflow rather than a prompt."""
    return isinstance(data, dict) and isinstance(data.get("nodes"), list)


def convert(canvas: dict[str, Any], definitions: Definitions) -> Converted:
    """Converts a canvas workflow.

    Raises:
        GraphError: the file is malformed or too large, or it holds node types that are not in `definitions`.
    """
    try:
        subgraphs = {entry["id"]: entry for entry in (canvas.get("definitions") or {}).get("subgraphs") or []}
        found = [(scope, node) for scope, node in _Scope(canvas, subgraphs).walk() if not is_virtual(node, definitions)]
        nodes = [(scope, node) for scope, node in found if _takes_part(scope, node, definitions)]
        missing = {node["type"]: _pack_of(node) for _, node in nodes or found if node["type"] not in definitions}
        if missing:
            raise absent(missing)
        if len(nodes) > MAX_NODES:
            raise too_many_nodes()
        converted = Converted()
        for scope, node in nodes:
            _convert_node(scope, node, definitions, converted)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise GraphError(f"The workflow file is malformed; save it again from the canvas ({error!r}).") from error
    return converted


def is_virtual(node: dict[str, Any], definitions: Definitions) -> bool:
    """Whether the node exists on the canvas only."""
    kind = node["type"]
    if kind in NOTES or kind in (REROUTE, PRIMITIVE):
        return True
    return kind not in definitions and (_is_reroute(node) or kind in SETTERS or kind in GETTERS or kind in CONTROLS)


def _takes_part(scope: _Scope, node: dict[str, Any], definitions: Definitions) -> bool:
    """Whether the node is to run. An unknown one that nothing is connected to is taken for a label or a bookmark."""
    return node["type"] in definitions or node["type"] in COMFYUI or node["id"] in scope.connected


def _is_reroute(node: dict[str, Any]) -> bool:
    """Packs call theirs `Reroute (rgthree)` and the like. Asked of types that are not installed."""
    return "reroute" in node["type"].lower() and len(node.get("inputs") or []) == 1


def _pack_of(node: dict[str, Any]) -> str | None:
    properties = node.get("properties") or {}
    return properties.get("cnr_id") or properties.get("aux_id")


class _Scope:
    """One graph: the whole workflow, or one use of a subgraph."""

    def __init__(
        self,
        graph: dict[str, Any],
        subgraphs: Mapping[str, Any],
        parent: _Scope | None = None,
        user: dict[str, Any] | None = None,
    ) -> None:
        self.graph = graph
        self.subgraphs = subgraphs
        self.parent = parent
        self.user: dict[str, Any] = user or {}
        self.root: _Scope = parent.root if parent is not None else self
        self.prefix: str = f"{parent.prefix}{self.user['id']}:" if parent is not None else ""
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.unfolded = 0  # in the root: nodes of all uses of all graphs
        if self.depth > 50:
            raise ValueError("subgraphs contain each other")
        self.root.unfolded += 1 + len(graph["nodes"])
        if self.root.unfolded > 10 * MAX_NODES:
            raise too_many_nodes()
        self.nodes = {node["id"]: node for node in graph["nodes"]}
        self.links = dict(map(_link, graph.get("links") or []))
        self._inner: dict[Any, _Scope] = {}

    @cached_property
    def connected(self) -> set[Any]:
        """The ids of all nodes that a link begins or ends at."""
        return {end for origin, _, target, _ in self.links.values() for end in (origin, target)}

    def walk(self) -> Iterator[tuple[_Scope, dict[str, Any]]]:
        """All nodes that take part, those inside subgraphs included."""
        for node in self.graph["nodes"]:
            if node.get("mode", 0) in (MUTED, BYPASSED):
                continue
            if node["type"] in self.subgraphs:
                yield from self.inside(node).walk()
            else:
                yield self, node

    def inside(self, node: dict[str, Any]) -> _Scope:
        if node["id"] not in self._inner:
            self._inner[node["id"]] = _Scope(self.subgraphs[node["type"]], self.subgraphs, self, node)
        return self._inner[node["id"]]

    # -- widgets that a subgraph shows on its outside ------------------------------------------------------------------

    def held(self, node_id: Any, name: str, leaf: Any = None) -> Place | None:
        """Where users of this graph keep the value of the widget `name` of one of its nodes; the outermost one counts.

        Args:
            leaf: the node that has the widget, if it is in a subgraph of this graph.
        """
        outer = None
        if self.parent is not None:
            outer = self.parent.held(self.user["id"], name, node_id if leaf is None else leaf)
        return outer or self._promoted.get(_key(node_id, name, leaf)) or self._promoted.get(_key(node_id, name))

    def held_input(self, name: str) -> Place | None:
        """Where users of this graph keep the value of its input `name`, which no link feeds."""
        slot = next((i for i, entry in enumerate(self.graph["inputs"]) if entry["name"] == name), None)
        fed = [(self.nodes[target], at) for _, _, target, at in self._fed_by(slot) if target in self.nodes]
        widgets = [(node["id"], _widget_name(node["inputs"][at])) for node, at in fed]
        place = None
        if self.parent is not None:
            place = self.parent.held(self.user["id"], name)
            for node_id, widget in widgets:
                place = place or self.parent._promoted.get(_key(self.user["id"], widget, node_id))
        for key in (_key(-1, name), *(_key(node_id, widget) for node_id, widget in widgets)):
            place = place or self._promoted.get(key)
        return place

    def _fed_by(self, slot: int | None) -> list[tuple[Any, int, Any, int]]:
        return [link for link in self.links.values() if link[:2] == (_INPUT_SIDE, slot)]

    @cached_property
    def _promoted(self) -> dict[tuple[str, str, str | None], Place]:
        """What the node that uses this graph keeps, by `_key`. A value that is null is none: the inner one stands."""
        named, listed = self.user.get("widgets_values_named"), self.user.get("widgets_values")
        found: dict[tuple[str, str, str | None], Place] = {}
        if isinstance(listed, list):
            keys = _proxies(self.user) or [_key(-1, name) for name in self._shown()]
            found |= {key: Place(listed, i) for i, key in enumerate(keys[: len(listed)]) if listed[i] is not None}
        for values in (listed, named):
            if isinstance(values, dict):
                found |= {_key(-1, name): Place(values, name) for name in values if values[name] is not None}
        return found

    def _shown(self) -> list[str]:
        """The inputs that are widgets on the outside, in their order there."""
        return [
            entry["name"]
            for slot, entry in enumerate(self.graph["inputs"])
            if any(
                self.nodes[target]["inputs"][at].get("widget")
                for _, _, target, at in self._fed_by(slot)
                if target in self.nodes
            )
        ]


def _proxies(user: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """`properties.proxyWidgets`, the order in which older frontends keep the values of a subgraph node."""
    entries = (user.get("properties") or {}).get("proxyWidgets") or []
    if isinstance(entries, str):
        entries = json.loads(entries)
    return [_proxy(*entry) for entry in entries]


def _proxy(node_id: Any, name: str, leaf: Any = None) -> tuple[str, str, str | None]:
    """A widget further in is called `7: text`, or its node is the third part of the entry."""
    while found := _LEADING_ID.fullmatch(name):
        leaf, name = found[1], found[2]
    return _key(node_id, name, leaf)


def _key(node_id: Any, name: str, leaf: Any = None) -> tuple[str, str, str | None]:
    """How a promoted widget is named: inner node or -1, its widget or an input, and the node further in that has it."""
    return str(node_id), name, None if leaf is None else str(leaf)


def _widget_name(socket: dict[str, Any]) -> str:
    return (socket.get("widget") or {}).get("name") or socket["name"]


def _link(entry: Any) -> tuple[Any, tuple[Any, int, Any, int]]:
    if isinstance(entry, dict):
        return entry["id"], (entry["origin_id"], entry["origin_slot"], entry["target_id"], entry["target_slot"])
    return entry[0], (entry[1], entry[2], entry[3], entry[4])


def _follow(scope: _Scope, link_id: Any, wanted: Any, definitions: Definitions) -> list[Any] | Place | None:
    """What feeds an input: `[node id, slot]`, the place of a value, or nothing."""
    for _ in range(_MAX_HOPS):
        if link_id is None or link_id not in scope.links:
            return None
        origin, slot, _, _ = scope.links[link_id]
        if origin == _INPUT_SIDE:
            if scope.parent is None:
                return None
            name = scope.graph["inputs"][slot]["name"]
            outer: dict[str, Any] = next(
                (entry for entry in scope.user.get("inputs") or [] if entry["name"] == name), {}
            )
            if outer.get("link") is None:
                return scope.held_input(name)
            scope, link_id = scope.parent, outer["link"]
            continue
        node = scope.nodes[origin]
        kind = node["type"]
        if node.get("mode", 0) == MUTED:
            return None
        if node.get("mode", 0) == BYPASSED:
            taken = _passed_through(node, slot, wanted)
            link_id, wanted = (None, None) if taken is None else (taken.get("link"), taken.get("type"))
        elif kind == REROUTE:
            link_id = node["inputs"][0].get("link")
        elif kind == PRIMITIVE:
            return scope.held(origin, "value") or Place(node.get("widgets_values") or [None], 0)
        elif kind in scope.subgraphs:
            scope = scope.inside(node)
            targets = ((key, link) for key, link in scope.links.items() if link[2] == _OUTPUT_SIDE and link[3] == slot)
            link_id = next((key for key, _ in targets), None)
        elif kind in definitions:
            return [f"{scope.prefix}{node['id']}", slot]
        elif kind in GETTERS:
            scope, link_id = _setter(scope, node)
        elif kind in SETTERS or _is_reroute(node):
            link_id = node["inputs"][0].get("link")
        else:
            return None
    raise ValueError("links run in a circle")


def _setter(scope: _Scope, getter: dict[str, Any]) -> tuple[_Scope, Any]:
    """Where the link arrives that a node gets by name: in its own graph, or in one around it."""
    name = getter["widgets_values"][0]
    around: _Scope | None = scope
    while around is not None:
        for node in around.graph["nodes"]:
            if node["type"] == GETTERS[getter["type"]] and (node.get("widgets_values") or [None])[0] == name:
                return around, None if node.get("mode", 0) == MUTED else node["inputs"][0].get("link")
        around = around.parent
    raise GraphError(f"The workflow gets {name!r} by name, but no node sets it; add a Set node of that name.")


def _passed_through(node: dict[str, Any], slot: int, wanted: Any) -> dict[str, Any] | None:
    """The input that a bypassed node hands on in an output's place: the one at the same place if it fits the output and
    what is `wanted`, else the first of exactly that type, else the first that fits both. The frontend's rule, which
    takes whatever stands at that place where anything is wanted.
    """
    inputs = node.get("inputs") or []
    if wanted in _ANY:
        return next(iter(inputs[slot : slot + 1] or inputs[:1]), None)
    kind = node["outputs"][slot]["type"]
    fitting = [entry for entry in inputs if _fits(entry.get("type"), kind) and _fits(entry.get("type"), wanted)]
    beside = [entry for entry in inputs[slot : slot + 1] if entry in fitting]
    exact = [entry for entry in inputs if entry.get("type") == wanted]
    return next(iter([*beside, *exact, *fitting]), None)


_ANY = ("*", "", None, 0)


def _fits(one: Any, other: Any) -> bool:
    """Whether two types of sockets may be connected; several types stand with commas between them."""
    if one in _ANY or other in _ANY:
        return True
    return not {part.lower() for part in str(one).split(",")}.isdisjoint(str(other).lower().split(","))


def _convert_node(scope: _Scope, node: dict[str, Any], definitions: Definitions, converted: Converted) -> None:
    kind = node["type"]
    definition = definitions[kind]
    node_id = f"{scope.prefix}{node['id']}"
    inputs: dict[str, Any] = {}
    for name, places in widget_places(node, definition).items():
        held = scope.held(node["id"], name)
        converted.places[node_id, name] = places if held is None else [held]
        inputs[name] = _wrapped(converted.places[node_id, name][0].value)
    for entry in node.get("inputs") or []:
        if entry.get("link") is None or not takes(entry["name"], definition):
            continue
        source = _follow(scope, entry["link"], entry.get("type"), definitions)
        if isinstance(source, Place):
            inputs[entry["name"]] = _wrapped(source.value)
            converted.places.setdefault((node_id, entry["name"]), []).append(source)
        elif source is not None:
            inputs[entry["name"]] = source
    title = node.get("title") or definition.get("display_name") or kind
    converted.prompt[node_id] = {"inputs": inputs, "class_type": kind, "_meta": {"title": title}}


def _wrapped(value: Any) -> Any:
    """Lists travel wrapped, as a bare list means a link."""
    return {"__value__": value} if isinstance(value, list) else value
