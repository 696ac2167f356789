"""Reads a graph of nodes that are not ours, from its ends.

Each node is asked for what comes out of it (`meanings`); the rules say what that is. Nodes that our host has, too, such
as those for audio, stay as they are. What nobody here knows hands through what arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from acestep_core.errors import GraphError
from acestep_core.host.graph.migrate.chain import Chain
from acestep_core.host.graph.migrate.foreign_nodes import is_foreign
from acestep_core.host.graph.migrate.meanings import Empty, Encoded, Latent, Node, Sound, Vae
from acestep_core.host.graph.sketch import Out
from acestep_core.host.graph.wire import is_link
from acestep_core.values import number

Values = Mapping[tuple[str, str], Any]
"""`(node id, input)` -> what stands in the widget below a wire."""


Rule = Callable[["Reading", Node], tuple[Any, ...]]
"""What comes out of a node, by slot."""


@dataclass
class Reading:
    """Reads one prompt.

    Args:
        prompt: of other nodes.
        typed: what stands in widgets that a wire feeds, where a canvas keeps it.
        chain: gets our nodes.
        rules: what each node gives, by its kind.
    """

    prompt: Mapping[str, Any]
    typed: Values
    chain: Chain
    rules: Mapping[str, Rule]
    _made: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)

    def node(self, node_id: str) -> Node:
        found = self.prompt[node_id]
        title = (found.get("_meta") or {}).get("title") or found["class_type"]
        return Node(node_id, found["class_type"], str(title), found["inputs"])

    def is_kept(self, node: Node) -> bool:
        """Whether our host has the node, too."""
        return node.kind in self.chain.definitions and node.kind not in self.rules

    def made(self, node_id: str) -> tuple[Any, ...] | None:
        """What comes out of a node, by slot; None where nobody here knows it."""
        if node_id in self._made:
            return self._made[node_id]
        if node_id in self._open:
            raise GraphError("The graph runs in a circle; save it again from the canvas.")
        node = self.node(node_id)
        rule = self.rules.get(node.kind) or (_kept if self.is_kept(node) else None)
        if rule is None:
            return None
        self._open.add(node_id)
        self._made[node_id] = rule(self, node)
        self._open.remove(node_id)
        return self._made[node_id]

    def want(self, link: Any, kind: Any) -> Any:
        """What arrives by a wire, if it is of that kind. Nodes that nobody knows hand it through."""
        if not is_link(link) or link[0] not in self.prompt:
            return None
        node, found = self.node(link[0]), self.made(link[0])
        if found is not None:
            value = found[int(link[1])] if 0 <= link[1] < len(found) else None
            return value if isinstance(value, kind) else None
        if is_foreign(node.kind):
            self.chain.note(f"{named(node)} is left out: it is not carried over.")
            return None
        if node.id in self._open:
            raise GraphError("The graph runs in a circle; save it again from the canvas.")
        self._open.add(node.id)
        arriving = (self.want(value, kind) for value in node.inputs.values())
        passed = next((value for value in arriving if value is not None), None)
        self._open.remove(node.id)
        if passed is not None:
            self.chain.note(f"{named(node)} is left out: what it changes is not known here.")
        return passed

    def given(self, node: Node, name: str, default: Any = None) -> Any:
        """The value of an input: as it stands, or by a wire from a node that stays."""
        value = node.inputs.get(name, default)
        if isinstance(value, dict) and "__value__" in value:
            return value["__value__"]
        if not is_link(value):
            return value
        found = self.made(value[0]) if value[0] in self.prompt else None
        if found is not None and 0 <= value[1] < len(found) and isinstance(found[int(value[1])], Out):
            return found[int(value[1])]
        if value[0] in self.prompt:
            source = self.node(value[0])
            self.chain.note(f"{named(source)} is not here: {node.title} keeps what stood in its {name}.")
        return self.typed.get((node.id, name), default)

    def constant(self, node: Node, name: str, default: float) -> float:
        """A number that is decided now, also where a primitive node holds it."""
        value = self.given(node, name, default)
        if isinstance(value, Out):
            value = self.chain.nodes[value.title][1].get("value")
        found = number(value)
        if found is None:
            self.chain.note(f"What {node.title} gets as {name} is only known when it runs; {default:g} is taken.")
        return default if found is None else found

    def is_made(self, node: Node) -> bool:
        """Whether somebody has asked for the node."""
        return node.id in self._made

    def sound(self, link: Any) -> Sound | None:
        """Audio; a decoder that nobody knows is taken for one."""
        found = self.want(link, Sound)
        if found is None and is_link(link) and link[0] in self.prompt and self.made(link[0]) is None:
            node = self.node(link[0])
            latents = [self.want(value, Latent) for value in node.inputs.values()]
            latent = next((latent for latent in latents if latent is not None), None)
            if latent is not None:
                vae = next((vae for value in node.inputs.values() if (vae := self.want(value, Vae))), None)
                return Sound(self.chain.decoded(self.vae(vae), latent.out))
        return found

    def vae(self, vae: Vae | None) -> Out:
        return self.chain.loader("vae", "" if vae is None else vae.file)


def named(node: Node) -> str:
    return node.title if node.title == node.kind else f"{node.title} ({node.kind})"


def _kept(reading: Reading, node: Node) -> tuple[Any, ...]:
    """A node that our host has, too; where something that it needs is not here, it hands through what is."""
    inputs: dict[str, Any] = {}
    kinds: dict[str, Any] = {"AUDIO": Sound, "LATENT": Latent}
    passing: dict[Any, Any] = {}
    for name, value in node.inputs.items():
        if not is_link(value):
            inputs[name] = reading.given(node, name)
            continue
        arriving = reading.want(value, (Sound, Latent, Out, Empty, Encoded))
        if isinstance(arriving, Empty | Encoded):
            return (_still_open(reading, node, arriving),)
        inputs[name] = arriving.out if isinstance(arriving, Sound | Latent) else arriving
        passing.setdefault(type(arriving), arriving)
        if arriving is None:
            inputs[name] = reading.typed.get((node.id, name))
    definition = reading.chain.definitions[node.kind]
    missing = [name for name in definition["input"].get("required", {}) if name in node.inputs and inputs[name] is None]
    if missing:
        reading.chain.note(f"{named(node)} is left out: nothing here gives its {missing[0]}.")
        return tuple(passing.get(kinds.get(kind)) for kind in definition["output"])
    title = reading.chain.add(node.title, node.kind, **inputs)
    outs = [Out(title, slot) for slot in range(len(definition["output"]))]
    return tuple(kinds.get(kind, _as_it_is)(out) for kind, out in zip(definition["output"], outs, strict=True))


def _as_it_is(out: Out) -> Out:
    return out


def _still_open(reading: Reading, node: Node, latent: Empty | Encoded) -> Empty | Encoded:
    """What a node for latents makes of one that is not there yet."""
    if node.kind == "RepeatLatentBatch" and isinstance(latent, Empty):
        times = int(reading.constant(node, "amount", 1))
        return replace(latent, batch=int(number(latent.batch) or 1) * times)
    reading.chain.note(f"{named(node)} is left out: there are no latents before the sampler.")
    return latent
