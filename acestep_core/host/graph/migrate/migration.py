"""The door: from somebody else's graph, or from a request of another program, to a graph of our nodes."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from acestep_core.errors import GraphError
from acestep_core.host.graph.canvas import Definitions, convert, is_canvas
from acestep_core.host.graph.drawing import canvas_form
from acestep_core.host.graph.migrate.chain import Chain
from acestep_core.host.graph.migrate.foreign_nodes import is_foreign, read_with
from acestep_core.host.graph.migrate.reading import Reading
from acestep_core.host.graph.migrate.request_chain import from_request, save_request
from acestep_core.host.graph.migrate.rules import RULES, run
from acestep_core.host.graph.migrate.song_request import Request, is_request
from acestep_core.host.graph.sketch import Sketch, api_form
from acestep_core.host.graph.workflow import Workflow, graphs_in, is_prompt, load_workflow, read_json

MOST_REQUESTS = 16
"""Of one file; acestep.cpp takes a list of them."""
OTHER_SONGS = "Noise and codes are drawn in another way here: the same seeds give other songs."


@dataclass(frozen=True)
class Migrated:
    """A graph of our nodes.

    Args:
        canvas: the file that the canvas opens.
        prompt: the same as `/prompt` takes it.
        notes: what could not be carried, one sentence each.
    """

    canvas: dict[str, Any]
    prompt: dict[str, Any]
    notes: tuple[str, ...]


def migrated(data: Any, definitions: Definitions, name: str = "The file") -> Migrated:
    """Turns what another graph or program says into a graph of our nodes.

    Args:
        data: a canvas, a prompt, or a request; parsed JSON.
        definitions: of our nodes and of those that our host has beside them, with the models that are here.
        name: what it is called.

    Raises:
        GraphError: it holds nothing that makes music with ACE-Step, or cannot be read.
    """
    chain = Chain(definitions)
    if isinstance(data, dict) and isinstance(data.get("prompt"), dict):
        data = data["prompt"]
    try:
        if is_canvas(data) or is_prompt(data):
            control = _from_graph(data, chain, name)
        else:
            control = _from_requests(data, chain, name)
    except RecursionError as error:
        raise GraphError(f"{name} is nested too deeply to be read; save it again from the canvas.") from error
    if not any(kind == "ACEStepDecode" for kind, _ in chain.nodes.values()):
        raise GraphError(f"{name} makes no song that can be carried over. {' '.join(chain.notes)}".strip())
    chain.note(OTHER_SONGS)
    stem = PurePosixPath(name).stem
    sketch = Sketch(stem, _told(name, chain.notes), chain.nodes, control)
    drawn = canvas_form(f"migrated/{stem}", sketch, definitions)
    return Migrated(drawn, api_form(sketch, definitions), tuple(chain.notes))


def load_runnable(path: Path, definitions: Definitions) -> Workflow:
    """`load_workflow`; of a file that cannot be run but carried over, the error names the command for that.

    Raises:
        GraphError: as `load_workflow`.
    """
    try:
        return load_workflow(path, definitions)
    except GraphError as error:
        try:
            migrated(read_foreign(path), definitions, path.name)
        except GraphError:
            raise error from None
        way = f"or turn it into this pack's nodes with `acestep import {shlex.quote(str(path))}`"
        raise GraphError(f"{str(error).removesuffix('.')}, {way}.") from error


def read_foreign(path: Path) -> Any:
    """What a file holds that can be migrated: JSON, or the graph in a sound file or a picture.

    Raises:
        GraphError: it cannot be read, or holds nothing of the kind.
    """
    prompt, canvas = graphs_in(path)
    return canvas or prompt or read_json(path)


def _from_graph(data: dict[str, Any], chain: Chain, name: str) -> str:
    prompt, typed = _read(data, chain.definitions)
    kinds = {node["class_type"] for node in prompt.values()}
    if not any(map(is_foreign, kinds)):
        ours = any(kind.startswith("ACEStep") and kind in chain.definitions for kind in kinds)
        what = "is made of this pack's nodes already" if ours else "holds no nodes that make music with ACE-Step"
        raise GraphError(f"{name} {what}; open it as it is.")
    run(Reading(prompt, typed, chain, RULES))
    return "randomize" if "randomize" in json.dumps(data) else "fixed"


def _read(data: dict[str, Any], definitions: Definitions) -> tuple[dict[str, Any], dict[tuple[str, str], Any]]:
    """The prompt, and what stands in widgets that wires feed."""
    if not is_canvas(data):
        return data, {}
    converted = convert(data, read_with(data, definitions))
    return converted.prompt, {key: places[0].value for key, places in converted.places.items()}


def _from_requests(data: Any, chain: Chain, name: str) -> str:
    requests = data if isinstance(data, list) else [data]
    if not requests or not all(map(is_request, requests)):
        raise GraphError(
            f"{name} is neither a graph nor a request for a song; give a workflow, saved parameters or a request."
        )
    if len(requests) > MOST_REQUESTS:
        raise GraphError(f"{name} holds {len(requests)} requests; give at most {MOST_REQUESTS} at once.")
    read = [Request.of(entry) for entry in requests]
    for request in read:
        save_request(chain, request, from_request(chain, request))
    return "randomize" if any(request.is_random for request in read) else "fixed"


def _told(name: str, notes: list[str]) -> str:
    """What stands beside the graph."""
    return "\n".join([f"From **{name}**.", "", *(f"* {note}" for note in notes)])
