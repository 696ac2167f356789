"""A workflow in short: `"Title": ("Class", {inputs})`, in an order in which everything is made before it is used.

What is not given has the node's default. From a sketch come the prompt (here) and the drawing (`drawing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from acestep_core.host.graph.canvas import Definitions
from acestep_core.host.graph.canvas_widgets import default_of, entries, is_widget


class Out(NamedTuple):
    """An output of a node of the sketch, given as an input of another."""

    title: str
    slot: int


@dataclass(frozen=True)
class Sketch:
    """One workflow.

    Args:
        title: what it is called.
        note: what stands beside it on the canvas (Markdown).
        nodes: title -> class and inputs.
        control: how the canvas changes seeds after a run.
    """

    title: str
    note: str
    nodes: Mapping[str, tuple[str, Mapping[str, Any]]]
    control: str = "randomize"

    def ids(self) -> dict[str, int]:
        return {title: number for number, title in enumerate(self.nodes, start=1)}


def inputs_of(definition: Mapping[str, Any], given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """`(name, [type, options])` of the inputs that a node has for these values."""
    return [(name, [*entry, {}][:2]) for name, entry in entries(definition, given).items()]


def api_form(sketch: Sketch, definitions: Definitions) -> dict[str, Any]:
    """The prompt that `/prompt` takes."""
    ids = sketch.ids()
    prompt = {}
    for title, (kind, given) in sketch.nodes.items():
        inputs = {}
        for name, entry in inputs_of(definitions[kind], given):
            value = given.get(name, default_of(entry))
            if isinstance(value, Out):
                inputs[name] = [str(ids[value.title]), value.slot]
            elif is_widget(entry):
                inputs[name] = value
        prompt[str(ids[title])] = {"inputs": inputs, "class_type": kind, "_meta": {"title": title}}
    return prompt
