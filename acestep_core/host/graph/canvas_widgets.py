"""The widget values of a node on the canvas, by name.

Most files keep them by position only, so the widgets have to be counted as the frontend makes them: in the order of the
definition, each dynamic one followed by those it brings along, and some with a value of the canvas's own behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acestep_core.errors import GraphError

DYNAMIC_COMBO, AUTOGROW, MATCH_TYPE = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3", "COMFY_MATCHTYPE_V3"
"""Inputs whose parts depend on a choice, on how many are connected, or on what is connected."""

CONTROL = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
"""What stands after a seed in `widgets_values`: how the canvas changes it after each run."""

_DEFAULTS = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}
_SHOWN = ("AUDIO_UI", "IMAGECOMPARE", "RESOLUTION_PREVIEW")
"""Widgets that only show something; files keep no value for them."""
_WIDGETS = _DEFAULTS.keys() | {
    *("COMBO", "COLOR", "COLORS", "CURVE", "RANGE", "MARKDOWN", "TEXTAREA", "BOUNDING_BOX", "BOUNDING_BOXES"),
    *("CHART", "GALLERIA", "PAINTER", "COMPOSITOR", "VIDEO_EDIT", "LIGHT_INFO_PREVIEW", "IMAGEUPLOAD", "AUDIO_RECORD"),
}
"""The frontend's widgets, up to its version 1.58; files keep one value for each."""


@dataclass(frozen=True)
class Place:
    """Where on the canvas a widget value stands: `container[key]`."""

    container: Any
    key: Any

    @property
    def value(self) -> Any:
        return self.container[self.key]

    def write(self, value: Any) -> None:
        self.container[self.key] = value


def declared(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """`(name, entry)` of all inputs, the required ones first."""
    for group in ("required", "optional"):
        yield from (inputs.get(group) or {}).items()


def with_parts(name: str, entry: Any, required: bool, values: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """`(name, entry, whether required)` of an input and of those that it brings along, as dynamic choices do."""
    yield name, entry, required
    kind, options = _kind(entry)
    if kind == DYNAMIC_COMBO:
        chosen: Mapping[str, Any] = next((o["inputs"] for o in options["options"] if o["key"] == values.get(name)), {})
        for part, inner in declared(chosen):
            needed = required and part in (chosen.get("required") or {})
            yield from with_parts(f"{name}.{part}", inner, needed, values)


def entries(definition: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that a node has for these values, by name."""
    parts = (part for name, entry in declared(definition["input"]) for part in with_parts(name, entry, True, values))
    return {name: entry for name, entry, _ in parts}


def is_widget(entry: Any) -> bool:
    """Whether an input is a widget, whose value the canvas keeps."""
    kind, options = _kind(entry)
    return (_is_known(entry) or kind == DYNAMIC_COMBO) and not options.get("forceInput")


def takes(name: str, definition: Mapping[str, Any]) -> bool:
    """Whether a node has an input of this name; parts of dynamic inputs are called like `format.quality`."""
    names = {known: _kind(entry)[0] for known, entry in declared(definition["input"])}
    return name in names or names.get(name.partition(".")[0]) in (DYNAMIC_COMBO, AUTOGROW)


def widget_places(node: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, list[Place]]:
    """The places of each widget value by input name, that to read first.

    Values that the file lacks get the input's default, in a place of their own.

    Raises:
        GraphError: the node has a widget of a pack's own type, so that the values after it cannot be told apart.
    """
    named, listed = node.get("widgets_values_named"), node.get("widgets_values")
    if isinstance(listed, dict):
        named = named or listed
    if not named:
        return {name: [place] for name, place in _walk(node, definition, listed if isinstance(listed, list) else [])}
    found = {name: [place] for name, place in _walk(node, definition, named)}
    if isinstance(listed, list):  # both are kept by newer frontends, and older ones read this one
        for name, place in _known(node, definition, listed):
            found.setdefault(name, [place]).append(place)
    return found


def _known(node: Mapping[str, Any], definition: Mapping[str, Any], listed: list[Any]) -> list[tuple[str, Place]]:
    try:
        return [(name, place) for name, place in _walk(node, definition, listed) if place.container is listed]
    except GraphError:
        return []


def _walk(
    node: Mapping[str, Any], definition: Mapping[str, Any], stored: list[Any] | dict[str, Any]
) -> list[tuple[str, Place]]:
    walk = _Walk(node, stored)
    walk.group(definition["input"], "")
    walk.check()
    return list(walk.found.items())


class _Walk:
    """Goes along the widgets of one node and the values that the file has for them."""

    def __init__(self, node: Mapping[str, Any], stored: list[Any] | dict[str, Any]) -> None:
        self.node = node
        self.stored = stored
        self.sockets = {socket["name"]: socket for socket in node.get("inputs") or []}
        self.index = 0
        self.found: dict[str, Place] = {}
        self.strange: list[tuple[str, Any, int]] = []  # name, entry and position of widgets of unknown types

    def group(self, inputs: Mapping[str, Any], prefix: str) -> None:
        entries = [(f"{prefix}{name}", entry) for name, entry in declared(inputs)]
        for position, (name, entry) in enumerate(entries):
            kind, options = _kind(entry)
            if kind == DYNAMIC_COMBO:
                value = self._take(name, entry)
                chosen = next((option for option in options["options"] if option["key"] == value), None)
                if chosen is not None:
                    self.group(chosen["inputs"], f"{name}.")
            elif kind == AUTOGROW:
                self._grown(name, options["template"])
            elif self._is_widget(name, entry):
                self._take(name, entry)
                if _is_controlled(name, entry):
                    self._pass_control(kind, [_kind(other)[0] for _, other in entries[position + 1 :]])

    def check(self) -> None:
        """Raises GraphError if a widget of unknown type leaves open which value belongs to which widget."""
        if not self.strange or not isinstance(self.stored, list):
            return
        name, entry, index = self.strange[0]
        left = len(self.stored) - self.index
        if len(self.strange) == 1 and index == self.index and left == 1:
            self.found[name] = Place(self.stored, index)
            return
        if len(self.stored) <= index or (left == 0 and "default" not in _kind(entry)[1]):
            # no value reaches it; or all values have their widgets, and it is a socket that is not listed
            for missing, known, _ in self.strange:
                if "default" in _kind(known)[1]:
                    self.found[missing] = Place({missing: _kind(known)[1]["default"]}, missing)
            return
        title = self.node.get("title") or self.node["type"]
        raise GraphError(
            f"The node {title!r} has a widget of the unknown type {_kind(entry)[0]!r}, so its saved values cannot be "
            "told apart; export the workflow with Export (API)."
        )

    def _grown(self, name: str, template: Mapping[str, Any]) -> None:
        """The parts of an input that grows: those that the file lists, else as many as a new node has."""
        entries = dict(declared(template["input"]))
        possible = {f"{name}.{part}": entries[inner] for part, inner in _parts(template, template.get("max", 100))}
        listed = [socket for socket in self.sockets if socket in possible]
        made = [f"{name}.{part}" for part, _ in _parts(template, max(1, template.get("min", 1)))]
        for part in listed or made:
            entry = possible[part]
            if _is_known(entry) and self._is_widget(part, entry):  # one of another type is a socket
                self._take(part, entry)

    def _take(self, name: str, entry: Any) -> Any:
        place = None
        if isinstance(self.stored, dict):
            place = Place(self.stored, name) if name in self.stored else None
        elif self.index < len(self.stored):
            place = Place(self.stored, self.index)
            self.index += 1
        if place is None:
            default = default_of(entry)
            if default is None:
                return None
            place = Place({name: default}, name)
        self.found[name] = place
        return place.value

    def _pass_control(self, kind: Any, following: Sequence[Any]) -> None:
        """Steps over what stands behind a seed: a word, or as early frontends wrote it, nothing or a switch."""
        if isinstance(self.stored, dict) or self.index >= len(self.stored):
            return
        value = self.stored[self.index]
        if value is None or value in CONTROL or (isinstance(value, bool) and not self._are_values(following)):
            self.index += 1
            # behind a choice there is also a filter for the choices to come
            if (kind == "COMBO" or isinstance(kind, list)) and self.stored[self.index : self.index + 1] == [""]:
                self.index += 1

    def _are_values(self, following: Sequence[Any]) -> bool:
        """Whether the switches that stand here belong to widgets that are switches."""
        assert isinstance(self.stored, list)
        widgets = next((i for i, kind in enumerate(following) if kind != "BOOLEAN"), len(following))
        values = self.stored[self.index :]
        switches = next((i for i, value in enumerate(values) if not isinstance(value, bool)), len(values))
        return switches <= widgets

    def _is_widget(self, name: str, entry: Any) -> bool:
        """Files list every socket, and newer ones also the widgets among them; what is not listed is a widget."""
        kind, options = _kind(entry)
        if options.get("forceInput") or kind == MATCH_TYPE or kind in _SHOWN:
            return False
        if name in self.sockets and not self.sockets[name].get("widget"):
            return False
        if _is_known(entry):
            return True
        if isinstance(self.stored, dict):
            return name in self.stored or "default" in options
        self.strange.append((name, entry, self.index))
        return False


def _kind(entry: Any) -> tuple[Any, Mapping[str, Any]]:
    return entry[0], entry[1] if len(entry) > 1 else {}


def _is_known(entry: Any) -> bool:
    return isinstance(entry[0], list) or entry[0] in _WIDGETS


def _is_controlled(name: str, entry: Any) -> bool:
    kind, options = _kind(entry)
    return bool(options.get("control_after_generate", kind == "INT" and name in ("seed", "noise_seed")))


def _parts(template: Mapping[str, Any], count: int) -> Iterator[tuple[str, str]]:
    """`(name, input of the template)` of the first parts of an input that grows."""
    inner = [name for name, _ in declared(template["input"])]
    for number in range(count):
        for name in inner:
            if template.get("names"):
                if number < len(template["names"]):
                    yield template["names"][number], name
            else:
                yield f"{template.get('prefix', '') if len(inner) == 1 else name}{number}", name


def default_of(entry: Any) -> Any:
    """What an input holds before anybody changes it; None where that is nothing."""
    kind, options = _kind(entry)
    if "default" in options:
        return options["default"]
    choices = kind if isinstance(kind, list) else options.get("options")
    if isinstance(choices, list):
        first = choices[0] if choices else None
        return first["key"] if kind == DYNAMIC_COMBO and isinstance(first, dict) else first
    return _DEFAULTS.get(kind)
