"""What a classic node class declares, in the two forms the host needs: for its own use and for `/object_info`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from acestep_core.errors import GraphError
from acestep_core.host.graph.canvas_widgets import DYNAMIC_COMBO, with_parts
from acestep_core.host.graph.wire import clean


def choices_of(kind: Any, options: Mapping[str, Any]) -> list[Any] | None:
    """What may be chosen for an input, or None if it is no combo. A dynamic one offers the keys of its options."""
    if isinstance(kind, list | tuple):
        return list(kind)
    if kind == "COMBO":
        return list(options.get("options", []))
    if kind == DYNAMIC_COMBO:
        return [option["key"] for option in options["options"]]
    return None


@dataclass(frozen=True)
class Input:
    """One declared input. `type` is a type name, or a list of choices (the older way to write a COMBO)."""

    name: str
    type: Any
    options: Mapping[str, Any]
    required: bool

    @property
    def config(self) -> list[Any]:
        """As error reports show it."""
        return [self.type, self.options]

    @property
    def choices(self) -> list[Any] | None:
        """What may be chosen, or None if this is no combo."""
        return choices_of(self.type, self.options)

    @property
    def lazy(self) -> bool:
        return bool(self.options.get("lazy"))

    @property
    def raw_link(self) -> bool:
        return bool(self.options.get("rawLink"))


@dataclass(frozen=True)
class NodeDef:
    """A node class as declared at this moment; choices such as file lists may differ the next time it is read."""

    id: str
    cls: Any
    inputs: Mapping[str, Input]
    hidden: Mapping[str, str]
    returns: tuple[Any, ...]
    output_is_list: tuple[bool, ...]
    input_is_list: bool
    is_output: bool
    is_async: bool
    function: str

    def given(self, values: Mapping[str, Any]) -> Mapping[str, Input]:
        """The inputs there are for these values: a dynamic choice brings its own along, called `format.quality`."""
        if not any(entry.type == DYNAMIC_COMBO for entry in self.inputs.values()):
            return self.inputs
        parts = (part for i in self.inputs.values() for part in with_parts(i.name, i.config, i.required, values))
        return {name: _input(name, entry, required) for name, entry, required in parts}

    @property
    def keyed_by_id(self) -> bool:
        """Whether two equal nodes must not share a result."""
        return "UNIQUE_ID" in self.hidden.values() or bool(getattr(self.cls, "NOT_IDEMPOTENT", False))


def read(node_id: str, cls: Any) -> NodeDef:
    """Reads the class attributes that ComfyUI reads.

    Raises:
        GraphError: the class lacks what a node must have.
    """
    try:
        declared = cls.INPUT_TYPES()
        function, returns = cls.FUNCTION, tuple(cls.RETURN_TYPES)
        inputs = {
            name: _input(name, entry, group == "required")
            for group in ("required", "optional")
            for name, entry in (declared.get(group) or {}).items()
        }
        hidden = {name: _hidden(entry) for name, entry in (declared.get("hidden") or {}).items()}
    except AttributeError as error:
        raise GraphError(f"The node class {node_id!r} is incomplete; give it the missing part: {error}.") from error
    is_list = tuple(getattr(cls, "OUTPUT_IS_LIST", ()))
    return NodeDef(
        id=node_id,
        cls=cls,
        inputs=inputs,
        hidden=hidden,
        returns=returns,
        output_is_list=is_list + (False,) * (len(returns) - len(is_list)),
        input_is_list=bool(getattr(cls, "INPUT_IS_LIST", False)),
        is_output=getattr(cls, "OUTPUT_NODE", False) is True,
        is_async=inspect.iscoroutinefunction(getattr(cls, function, None)),
        function=function,
    )


def nested(arguments: dict[str, Any], definition: NodeDef) -> dict[str, Any]:
    """The arguments of a call, in which a dynamic choice is `{"format": "mp3", "quality": "V0"}`."""
    for name, entry in definition.inputs.items():
        if entry.type == DYNAMIC_COMBO and name in arguments:
            arguments = _gathered(arguments, name)
    return arguments


def _gathered(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    """`{"a": "x", "a.b": "y", "a.b.c": 1}` -> `{"a": {"a": "x", "b": {"b": "y", "c": 1}}}`."""
    last = name.rpartition(".")[2]
    inner = {part[len(name) + 1 :]: value for part, value in arguments.items() if part.startswith(f"{name}.")}
    for part in [part for part in inner if any(other.startswith(f"{part}.") for other in inner)]:
        if part in inner:
            inner = _gathered(inner, part)
    kept = {part: value for part, value in arguments.items() if not part.startswith(f"{name}.")}
    return {**kept, name: {last: arguments[name], **inner}}


def _input(name: str, entry: Any, required: bool) -> Input:
    options = entry[1] if len(entry) > 1 else {}
    return Input(name, entry[0], options, required)


def _hidden(entry: Any) -> str:
    return entry if isinstance(entry, str) else entry[0]


Reader = Callable[[str], NodeDef]
"""Gives the definition of a node type, the same object each time it is asked during one prompt."""


def describe(node_id: str, cls: Any, title: str, module: str) -> dict[str, Any]:
    """The entry of this node in `/object_info`, as ComfyUI writes it for classic nodes."""
    declared = cls.INPUT_TYPES()
    returns = list(cls.RETURN_TYPES)
    info: dict[str, Any] = {
        "input": declared,
        "input_order": {group: list(entries) for group, entries in declared.items()},
        "is_input_list": bool(getattr(cls, "INPUT_IS_LIST", False)),
        "output": returns,
        "output_is_list": list(getattr(cls, "OUTPUT_IS_LIST", [False] * len(returns))),
        "output_name": list(getattr(cls, "RETURN_NAMES", returns)),
        "name": node_id,
        "display_name": title,
        "description": getattr(cls, "DESCRIPTION", ""),
        "python_module": module,
        "category": getattr(cls, "CATEGORY", "sd"),
        "output_node": getattr(cls, "OUTPUT_NODE", False) is True,
        "has_intermediate_output": getattr(cls, "HAS_INTERMEDIATE_OUTPUT", False) is True,
        "search_aliases": list(getattr(cls, "SEARCH_ALIASES", [])),
    }
    for key, attribute in _OPTIONAL.items():
        if hasattr(cls, attribute):
            info[key] = getattr(cls, attribute)
    for key, attribute in _FLAGS.items():
        if getattr(cls, attribute, False):
            info[key] = True
    return clean(info)


_OPTIONAL = {
    "output_tooltips": "OUTPUT_TOOLTIPS",
    "api_node": "API_NODE",
    "essentials_category": "ESSENTIALS_CATEGORY",
}
_FLAGS = {"deprecated": "DEPRECATED", "experimental": "EXPERIMENTAL", "dev_only": "DEV_ONLY"}
