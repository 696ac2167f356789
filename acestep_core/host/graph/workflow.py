"""Workflow files, and setting their inputs by name."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from acestep_core.errors import AudioError, GraphError
from acestep_core.host.graph.canvas import Definitions, convert, is_canvas
from acestep_core.host.graph.canvas_widgets import Place, entries
from acestep_core.host.graph.comfyui_types import absent
from acestep_core.host.graph.file_tokens import filled
from acestep_core.host.graph.literals import chosen, literal
from acestep_core.host.graph.nodedef import choices_of
from acestep_core.host.graph.paths import AUDIO
from acestep_core.host.graph.wire import MAX_NODES, MAX_OBJECTS, too_many_nodes
from acestep_core.io.tags import read_tags
from acestep_core.io.text import read_text
from acestep_core.values import is_random, truth

UPLOADS = ("audio_upload", "image_upload", "video_upload", "file_upload")
"""Options of an input whose value names a file in the host's input folder."""

SEEDS = ("seed", "noise_seed")
"""Inputs that draw at random."""
TO_DRAW = -1
"""A seed that each run draws."""
PREFIX = "filename_prefix"
"""The input of nodes that save which says how their files are called."""


@dataclass
class Workflow:
    """A workflow that can be run: the prompt, and the canvas it came from, if it came from one."""

    prompt: dict[str, Any]
    definitions: Definitions
    canvas: dict[str, Any] | None = None
    places: dict[tuple[str, str], list[Place]] = field(default_factory=dict)

    def with_inputs(self, values: Mapping[str, Any]) -> Workflow:
        """A copy in which inputs such as `song.caption` have new values, on the canvas too.

        Args:
            values: `NODE.input` -> value. NODE is an id, a title or a node type, in any case. Texts are read as the
                type that the input declares; a seed of -1 or "random" is drawn by each run, see `drawn`.

        Raises:
            GraphError: there is no such node or input, several nodes are meant, or the value is of another type.
        """
        prompt, canvas, places = copy.deepcopy((self.prompt, self.canvas, self.places))
        changed = Workflow(prompt, self.definitions, canvas, places)
        for key, value in values.items():
            changed._set(key, value)
        return changed

    @property
    def extra_data(self) -> dict[str, Any]:
        """What `/prompt` takes beside the prompt, so that saved files can restore the canvas."""
        return {} if self.canvas is None else {"extra_pnginfo": {"workflow": self.canvas}}

    def queued(self) -> dict[str, Any]:
        """The prompt as it is sent: names of files filled in as of now, choices spelled as the definitions do."""
        prompt, now = copy.deepcopy(self.prompt), datetime.now()
        for node_id, node in prompt.items():
            for name, value in node["inputs"].items():
                if name == PREFIX and isinstance(value, str):
                    node["inputs"][name] = filled(value, now, self.prompt, self.canvas)
                elif (choices := choices_of(*self._entry(node_id, name))) is not None:
                    node["inputs"][name] = chosen(value, choices)
        return prompt

    def title(self, node_id: str) -> str:
        """How the user knows a node."""
        node = self.prompt.get(node_id, {})
        return (node.get("_meta") or {}).get("title") or node.get("class_type") or node_id

    def files(self) -> list[tuple[str, str, str]]:
        """`(node id, input, value)` of every input that names a file to be uploaded."""
        found = []
        for node_id, node in self.prompt.items():
            for name, value in node["inputs"].items():
                options = self._entry(node_id, name)[1]
                if isinstance(value, str) and any(options.get(kind) for kind in UPLOADS):
                    found.append((node_id, name, value))
        return found

    def seeds(self) -> dict[tuple[str, str], int]:
        """`(node id, input)` -> number of every input that draws at random, where it is no wire."""
        found = {}
        for node_id, node in self.prompt.items():
            for name in SEEDS:
                value = node["inputs"].get(name)
                if isinstance(value, int) and self._entry(node_id, name)[0] == "INT":
                    found[node_id, name] = value
        return found

    def texts(self) -> list[tuple[str, str]]:
        """`(node id, input)` of every text that is written in and names no file."""
        files = {(node_id, name) for node_id, name, _ in self.files()}
        return [
            (node_id, name)
            for node_id, node in self.prompt.items()
            for name, value in node["inputs"].items()
            if isinstance(value, str) and self._entry(node_id, name)[0] == "STRING" and (node_id, name) not in files
        ]

    def drawn(self, draws: Random) -> Workflow:
        """A copy in which every seed that is to be drawn is."""
        changed = self.with_inputs({})
        for node_id, name in self._to_draw():
            changed.put(node_id, name, draws.getrandbits(32))
        return changed

    @property
    def draws(self) -> bool:
        """Whether a seed is to be drawn."""
        return bool(self._to_draw())

    @property
    def batch_size(self) -> int:
        """How many songs the largest batch in it makes, which take seeds that go up."""
        sizes = (node["inputs"].get("batch_size") for node in self.prompt.values())
        return max((size for size in sizes if isinstance(size, int)), default=1)

    def put(self, node_id: str, name: str, value: Any) -> None:
        """Sets an input without any conversion."""
        self.prompt[node_id]["inputs"][name] = value
        for place in self.places.get((node_id, name), []):
            place.write(value)

    def _set(self, key: str, value: Any) -> None:
        node_id, name = self._find(key)
        kind, options = self._entry(node_id, name)
        if is_random(value) and self._may_draw(node_id, name):
            value = TO_DRAW
        elif isinstance(value, str) or (kind == "INT" and isinstance(value, float)):
            value = _read(key, str(value), kind, options)
        self.put(node_id, name, value)

    def _to_draw(self) -> list[tuple[str, str]]:
        return [place for place, value in self.seeds().items() if value == TO_DRAW and self._may_draw(*place)]

    def _may_draw(self, node_id: str, name: str) -> bool:
        """Whether an input is a seed that has no meaning of its own for -1."""
        kind, options = self._entry(node_id, name)
        return name in SEEDS and kind == "INT" and options.get("min", 0) > TO_DRAW

    def _find(self, key: str) -> tuple[str, str]:
        known = False
        for index in [i for i, letter in enumerate(key) if letter == "."]:
            nodes = self._named(key[:index])
            known = known or bool(nodes)
            fitting = [node_id for node_id in nodes if self._has(node_id, key[index + 1 :])]
            if len(fitting) > 1:
                ids = ", ".join(fitting)
                raise GraphError(f"{key!r} fits several nodes; name one by its id: {ids}.")
            if fitting:
                return fitting[0], key[index + 1 :]
        if known:
            node_id = next(node for i, c in enumerate(key) if c == "." for node in self._named(key[:i]))
            names = ", ".join(self._inputs(node_id))
            raise GraphError(f"{key!r} names no input of {self.title(node_id)!r}; it has: {names or 'none'}.")
        titles = ", ".join(f"{self.title(node_id)} ({node_id})" for node_id in self.prompt)
        raise GraphError(f"{key!r} names no node of the workflow; use NODE.input with one of: {titles}.")

    def _named(self, name: str) -> list[str]:
        """Nodes by id, else by title, else by type."""
        if name in self.prompt:
            return [name]
        wanted = name.strip().casefold()
        by_title = [node_id for node_id in self.prompt if self.title(node_id).casefold() == wanted]
        if by_title:
            return by_title
        return [node_id for node_id, node in self.prompt.items() if node["class_type"].casefold() == wanted]

    def _has(self, node_id: str, name: str) -> bool:
        return name in self._inputs(node_id)

    def _inputs(self, node_id: str) -> list[str]:
        definition = self.definitions.get(self.prompt[node_id]["class_type"], {"input": {}})
        given = self.prompt[node_id]["inputs"]
        return list(dict.fromkeys([*entries(definition, given), *given]))

    def _entry(self, node_id: str, name: str) -> tuple[Any, Mapping[str, Any]]:
        definition = self.definitions.get(self.prompt[node_id]["class_type"], {"input": {}})
        entry = entries(definition, self.prompt[node_id]["inputs"]).get(name)
        return (None, {}) if entry is None else (entry[0], entry[1] if len(entry) > 1 else {})


def load_workflow(path: Path, definitions: Definitions) -> Workflow:
    """Reads a canvas or API-format file, or the graph that made a song from the song's file.

    Raises:
        GraphError: it cannot be read, is neither, or uses node types that are not in `definitions`.
    """
    ran, drawn = graphs_in(path)
    if ran is not None and drawn is not None:
        return _as_it_ran(ran, drawn, definitions, path.name)
    if ran is not None or drawn is not None:
        return parse_workflow(drawn if ran is None else ran, definitions, path.name)
    return parse_workflow(read_json(path), definitions, path.name)


def graphs_in(path: Path) -> tuple[Any, Any]:
    """The prompt and the canvas that a sound file or a picture holds; None for what it does not.

    Raises:
        GraphError: it is one that holds neither, or they are damaged.
    """
    tags: dict[str, str] = {}
    with suppress(AudioError):  # what cannot be opened, whoever reads it says
        tags = read_tags(path)
    try:
        found = json.loads(tags.get("prompt", "null")), json.loads(tags.get("workflow", "null"))
    except (ValueError, RecursionError) as error:
        raise GraphError(f"The workflow in {path.name} is damaged; use the file that it was saved from.") from error
    if tags and found == (None, None):
        raise _no_workflow(path.name)
    return found


def read_json(path: Path) -> Any:
    """What a workflow file or a record holds.

    Raises:
        GraphError: it cannot be read, or it is so large that it is not even parsed.
    """
    if path.suffix.lower() in AUDIO and path.is_file():  # one that bears no tags
        raise _no_workflow(path.name)
    text = read_text(path, GraphError)
    if text.count("{") > MAX_OBJECTS:
        raise too_many_nodes()
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphError(f"{path.name} cannot be read as JSON; save the workflow again.") from error


def _no_workflow(name: str) -> GraphError:
    return GraphError(f"{name} does not hold the workflow that made it; choose a file that a workflow saved.")


def _as_it_ran(prompt: Any, canvas: Any, definitions: Definitions, name: str) -> Workflow:
    """The graph as it ran; with its canvas, where that still says the same."""
    ran = parse_workflow(prompt, definitions, name)
    with suppress(GraphError):
        drawn = parse_workflow(canvas, definitions, name)
        if _bare(drawn.prompt) == _bare(ran.prompt):
            return drawn
    return ran


def _bare(prompt: Mapping[str, Any]) -> dict[str, Any]:
    """What tells two prompts apart; not the names of files, which were filled in when it ran."""
    return {
        node_id: (node["class_type"], {name: value for name, value in node["inputs"].items() if name != PREFIX})
        for node_id, node in prompt.items()
    }


def parse_workflow(data: Any, definitions: Definitions, name: str = "The workflow") -> Workflow:
    """As `load_workflow`, from parsed JSON. `{"prompt": …}`, the body of a request, is understood too, and so is the
    record of a song that a graph made.
    """
    if isinstance(data, dict) and "graph" in data and isinstance(data.get("format"), str):
        if data["graph"] is None:
            raise GraphError(
                f"{name} is the record of a song that no graph made; only `acestep run` can make it again."
            )
        data = data["graph"]
    if is_canvas(data):
        if len(data["nodes"]) > 10 * MAX_NODES:
            raise too_many_nodes()
        canvas = copy.deepcopy(data)
        converted = convert(canvas, definitions)
        return Workflow(converted.prompt, definitions, canvas, converted.places)
    if isinstance(data, dict) and isinstance(data.get("prompt"), dict) and "class_type" not in data["prompt"]:
        data = data["prompt"]
    if not is_prompt(data):
        raise GraphError(f"{name} is neither a canvas workflow nor an API-format prompt; export it from the canvas.")
    if len(data) > MAX_NODES:
        raise too_many_nodes()
    missing = {node["class_type"]: _pack_of(node) for node in data.values() if node["class_type"] not in definitions}
    if missing:
        raise absent(missing)
    return Workflow(copy.deepcopy(data), definitions)


def is_prompt(data: Any) -> bool:
    """Whether `data` is a prompt: nodes by their ids."""
    return isinstance(data, dict) and bool(data) and all(_is_node(node) for node in data.values())


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def _pack_of(node: dict[str, Any]) -> str | None:
    meta = node.get("_meta")
    return (meta.get("cnr_id") or meta.get("aux_id")) if isinstance(meta, dict) else None


_TAKEN = {"INT": "a whole number", "FLOAT": "a number", "BOOLEAN": "true or false"}


def _read(key: str, text: str, kind: Any, options: Mapping[str, Any]) -> Any:
    """A text as a value of the declared type."""
    choices = choices_of(kind, options)
    if choices is not None:
        return chosen(text, choices, any_case=True)
    try:
        if kind in ("INT", "FLOAT", "STRING"):
            return literal(text, kind, options)
        if kind == "BOOLEAN":
            if truth(text) is None:
                raise ValueError(text)
            return truth(text)
        return json.loads(text)
    except ValueError:
        if kind in ("INT", "FLOAT", "BOOLEAN"):
            raise GraphError(f"{key} takes {_TAKEN[kind]}, not {text!r}.") from None
        return text
