"""From a workflow as the canvas saves it (LiteGraph JSON) to the prompt that `/prompt` takes.

Does what the frontend does when somebody presses Queue: nodes that exist only on the canvas vanish, muted nodes take
their links with them, bypassed ones hand an input of the same type through, subgraphs are unfolded (inner nodes get ids
like `12:3`), widget values get their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from acestep_core.errors import GraphError

Definitions = Mapping[str, Mapping[str, Any]]
"""`/object_info`: node type -> its entry."""

NOTES = ("Note", "MarkdownNote")
MUTED, BYPASSED = 2, 4
CONTROL = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
"""What stands after a seed in `widgets_values`: how the canvas changes it after each run."""

_WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
_INPUT_SIDE, _OUTPUT_SIDE = -10, -20
_DEFAULTS = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}
_MAX_HOPS = 1000


@dataclass(frozen=True)
class Place:
    """Where on the canvas a widget value stands: `container[key]`."""

    container: Any
    key: Any

    def write(self, value: Any) -> None:
        self.container[self.key] = value


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
        GraphError: the file is malformed, or holds a node type that is not in `definitions`.
    """
    try:
        subgraphs = {entry["id"]: entry for entry in (canvas.get("definitions") or {}).get("subgraphs") or []}
        converted = Converted()
        for scope, node in _Scope(canvas, subgraphs).walk():
            _convert_node(scope, node, definitions, converted)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise GraphError(f"The workflow file is malformed; save it again from the canvas ({error!r}).") from error
    return converted


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
        self.user = user
        self.prefix: str = f"{parent.prefix}{user['id']}:" if parent is not None and user is not None else ""
        self.depth: int = parent.depth + 1 if parent is not None else 0
        if self.depth > 50:
            raise ValueError("subgraphs contain each other")
        self.nodes = {node["id"]: node for node in graph["nodes"]}
        self.links = dict(map(_link, graph.get("links") or []))
        self._inner: dict[Any, _Scope] = {}

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


def _link(entry: Any) -> tuple[Any, tuple[Any, int, Any, int]]:
    if isinstance(entry, dict):
        return entry["id"], (entry["origin_id"], entry["origin_slot"], entry["target_id"], entry["target_slot"])
    return entry[0], (entry[1], entry[2], entry[3], entry[4])


@dataclass(frozen=True)
class _Constant:
    value: Any
    place: Place | None = None


def _follow(scope: _Scope, link_id: Any, wanted: Any) -> list[Any] | _Constant | None:
    """What feeds an input: `[node id, slot]`, a constant, or nothing."""
    for _ in range(_MAX_HOPS):
        if link_id is None or link_id not in scope.links:
            return None
        origin, slot, _, _ = scope.links[link_id]
        if origin == _INPUT_SIDE:
            if scope.parent is None or scope.user is None:
                return None
            name = scope.graph["inputs"][slot]["name"]
            outer: dict[str, Any] = next(
                (entry for entry in scope.user.get("inputs") or [] if entry["name"] == name), {}
            )
            if outer.get("link") is None:
                return _own_widget(scope, name)
            scope, link_id = scope.parent, outer["link"]
            continue
        node = scope.nodes[origin]
        if node.get("mode", 0) == MUTED:
            return None
        if node.get("mode", 0) == BYPASSED:
            link_id = _passed_through(node, slot, wanted)
        elif node["type"] == "Reroute":
            link_id = node["inputs"][0].get("link")
        elif node["type"] == "PrimitiveNode":
            values = node.get("widgets_values") or [None]
            return _Constant(values[0], Place(values, 0))
        elif node["type"] in scope.subgraphs:
            scope = scope.inside(node)
            targets = ((key, link) for key, link in scope.links.items() if link[2] == _OUTPUT_SIDE and link[3] == slot)
            link_id = next((key for key, _ in targets), None)
        else:
            return [f"{scope.prefix}{node['id']}", slot]
    raise ValueError("links run in a circle")


def _own_widget(scope: _Scope, name: str) -> _Constant | None:
    """The value of a widget that a subgraph shows on its outside; None lets the inner node's own value stand."""
    user = scope.user or {}
    named, values = user.get("widgets_values_named"), user.get("widgets_values")
    if isinstance(named, dict):
        return _Constant(named[name], Place(named, name)) if name in named else None
    shown = [entry["name"] for slot, entry in enumerate(scope.graph["inputs"]) if _feeds_widget(scope, slot)]
    if not isinstance(values, list) or len(values) != len(shown) or name not in shown:
        return None
    return _Constant(values[shown.index(name)], Place(values, shown.index(name)))


def _feeds_widget(scope: _Scope, slot: int) -> bool:
    for origin, origin_slot, target, target_slot in scope.links.values():
        if (origin, origin_slot) == (_INPUT_SIDE, slot) and target in scope.nodes:
            return bool(scope.nodes[target]["inputs"][target_slot].get("widget"))
    return False


def _passed_through(node: dict[str, Any], slot: int, wanted: Any) -> Any:
    """The link that a bypassed node hands on: of the input at the same place, or of the first of the same type."""
    inputs = node.get("inputs") or []
    kind = node["outputs"][slot]["type"]
    candidates = [*inputs[slot : slot + 1], *inputs]
    for entry in candidates:
        if entry.get("type") in (kind, wanted) or "*" in (entry.get("type"), kind):
            return entry.get("link")
    return None


def _convert_node(scope: _Scope, node: dict[str, Any], definitions: Definitions, converted: Converted) -> None:
    kind = node["type"]
    if kind in NOTES or kind in ("Reroute", "PrimitiveNode"):
        return
    if kind not in definitions:
        raise GraphError(
            f"The workflow uses the node type {kind!r}, which is not installed; install the pack it is from."
        )
    definition = definitions[kind]
    node_id = f"{scope.prefix}{node['id']}"
    inputs: dict[str, Any] = {}
    for name, place in _widgets(node, definition).items():
        inputs[name] = _wrapped(place.container[place.key])
        converted.places.setdefault((node_id, name), []).append(place)
    declared = dict(_declared(definition))
    for entry in node.get("inputs") or []:
        if entry.get("link") is None or entry["name"] not in declared:
            continue
        source = _follow(scope, entry["link"], entry.get("type"))
        if isinstance(source, _Constant):
            inputs[entry["name"]] = _wrapped(source.value)
            if source.place is not None:
                converted.places.setdefault((node_id, entry["name"]), []).append(source.place)
        elif source is not None:
            inputs[entry["name"]] = source
    title = node.get("title") or definition.get("display_name") or kind
    converted.prompt[node_id] = {"inputs": inputs, "class_type": kind, "_meta": {"title": title}}


def _wrapped(value: Any) -> Any:
    """Lists travel wrapped, as a bare list means a link."""
    return {"__value__": value} if isinstance(value, list) else value


def _declared(definition: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for group in ("required", "optional"):
        yield from (definition["input"].get(group) or {}).items()


def _widgets(node: dict[str, Any], definition: Mapping[str, Any]) -> dict[str, Place]:
    """The place of each widget value by input name. Values the file lacks get the input's default, in no place."""
    names = [(name, entry) for name, entry in _declared(definition) if _is_widget(node, name, entry)]
    stored = node.get("widgets_values_named") or node.get("widgets_values")
    found: dict[str, Place] = {}
    if isinstance(stored, dict):
        found = {name: Place(stored, name) for name, _ in names if name in stored}
    elif isinstance(stored, list):
        index = 0
        for name, entry in names:
            if index >= len(stored):
                break
            found[name] = Place(stored, index)
            index += 1
            if _is_controlled(name, entry) and index < len(stored) and stored[index] in CONTROL:
                index += 1
    for name, entry in names:
        default = _default(entry)
        if name not in found and default is not None:
            found[name] = Place({name: default}, name)
    return found


def _is_widget(node: dict[str, Any], name: str, entry: Any) -> bool:
    """Files list every socket, and newer ones also the widgets among them; what is not listed is a widget."""
    options = entry[1] if len(entry) > 1 else {}
    if options.get("forceInput"):
        return False
    for socket in node.get("inputs") or []:
        if socket["name"] == name:
            return bool(socket.get("widget"))
    return isinstance(entry[0], list) or entry[0] in _WIDGETS or "default" in options


def _is_controlled(name: str, entry: Any) -> bool:
    options = entry[1] if len(entry) > 1 else {}
    return bool(options.get("control_after_generate", entry[0] == "INT" and name in ("seed", "noise_seed")))


def _default(entry: Any) -> Any:
    options = entry[1] if len(entry) > 1 else {}
    if "default" in options:
        return options["default"]
    choices = entry[0] if isinstance(entry[0], list) else options.get("options")
    if isinstance(choices, list):
        return choices[0] if choices else None
    return _DEFAULTS.get(entry[0])
