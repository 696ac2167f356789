"""The blueprints that the canvas lists among its nodes: a workflow of this folder as one node, a recording coming in by
wire where it loads one, and what it makes going out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from graphs import GRAPHS

from acestep_core.host.graph.canvas import Definitions
from acestep_core.host.graph.canvas_widgets import default_of
from acestep_core.host.graph.drawing import WIDTH, canvas_form
from acestep_core.host.graph.sketch import Out, inputs_of

INPUT_SIDE, OUTPUT_SIDE = -10, -20
CATEGORY = "Audio/ACE-Step"
LEFT_OUT = ("LoadAudio", "ACEStepSaveSong", "ACEStepShowText")
"""What stands outside: recordings come in by wire, and what is made goes out."""
ROW = 26
LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


@dataclass(frozen=True)
class Blueprint:
    """One blueprint.

    Args:
        graph: the workflow in `graphs.GRAPHS` that it holds.
        about: what it does, in one sentence.
        inputs: `Title.input` of what it shows outside, in this order; those that `LEFT_OUT` nodes fed come before.
        outputs: what goes out.
    """

    graph: str
    about: str
    inputs: tuple[str, ...]
    outputs: tuple[Out, ...]


_WORDS = ("Song.caption", "Song.lyrics", "Song.instrumental", "Song.language", "Song.duration")
_AUDIO = Out("Decode", 0)
BLUEPRINTS: dict[str, Blueprint] = {
    "Song (ACE-Step)": Blueprint(
        "text2music",
        "Makes a song of a description and lyrics.",
        (*_WORDS, "Song.bpm", "Song.keyscale", "Sampler.seed", "Sampler.batch_size", "Load.preset"),
        (_AUDIO,),
    ),
    "Plan (ACE-Step)": Blueprint(
        "think_text2music",
        "Plans a song with the language model, writes audio codes, then makes it.",
        (*_WORDS, "Plan.edited_plan", "Plan.seed", "Load.preset"),
        (_AUDIO, Out("Plan", 1)),
    ),
    "Cover (ACE-Step)": Blueprint(
        "cover",
        "Makes another rendition of a recording, in another style.",
        ("Song.caption", "Song.lyrics", "Song.instrumental", "Task.strength", "Sampler.seed", "Load.preset"),
        (_AUDIO,),
    ),
    "Repaint (ACE-Step)": Blueprint(
        "repaint",
        "Makes one part of a recording anew and keeps the rest.",
        ("Song.caption", "Song.lyrics", "Task.start", "Task.end", "Task.strength", "Sampler.seed", "Load.preset"),
        (_AUDIO,),
    ),
    "Stems (ACE-Step)": Blueprint(
        "extract_stems",
        "Takes the voices and instruments of a recording apart; needs a base model.",
        ("Task.track", "Sampler.seed", "Model.model"),
        (_AUDIO,),
    ),
    "Best of (ACE-Step)": Blueprint(
        "best_of",
        "Makes several songs, listens to them and keeps the best.",
        (*_WORDS, "Codes.batch_size", "Codes.seed", "Best.keep", "Load.preset"),
        (_AUDIO, Out("Best", 2)),
    ),
}


def blueprint_form(name: str, blueprint: Blueprint, definitions: Definitions) -> dict[str, Any]:
    """The file of a blueprint: a workflow of one node, which holds the graph."""
    sketch = GRAPHS[blueprint.graph].sketch
    outside = {title for title, (kind, _) in sketch.nodes.items() if kind in LEFT_OUT}
    wired = [
        f"{title}.{entry}"
        for title, (_, given) in sketch.nodes.items()
        for entry, value in given.items()
        if title not in outside and isinstance(value, Out) and value.title in outside
    ]
    nodes = {
        title: (kind, {entry: value for entry, value in given.items() if f"{title}.{entry}" not in wired})
        for title, (kind, given) in sketch.nodes.items()
        if title not in outside
    }
    inner = replace(sketch, nodes=nodes)
    drawn, ids = canvas_form(name, inner, definitions), inner.ids()
    by_id = {node["id"]: node for node in drawn["nodes"]}
    around = {entry["id"]: {"parentId": entry["parentId"]} for entry in drawn["extra"].get("linkExtensions", [])}
    links = [dict(zip(LINK, link, strict=True)) | around.get(link[0], {}) for link in drawn["links"]]
    reroutes = drawn["extra"].get("reroutes", [])

    def connect(origin: int, slot: int, target: int, at: int, kind: str) -> int:
        links.append(dict(zip(LINK, (len(links) + 1, origin, slot, target, at, kind), strict=True)))
        return len(links)

    inputs, sockets, values = [], [], []
    for slot, place in enumerate((*wired, *blueprint.inputs)):
        title, _, entry = place.rpartition(".")
        node = by_id[ids[title]]
        at = next(i for i, socket in enumerate(node["inputs"]) if socket["name"] == entry)
        socket = node["inputs"][at]
        socket["link"] = connect(INPUT_SIDE, slot, node["id"], at, socket["type"])
        told = {"id": _id(f"{name}/{place}"), "name": entry, "type": socket["type"]}
        inputs.append({**told, "linkIds": [socket["link"]], "pos": [-60, 20 * slot]})
        widget = {"widget": {"name": entry}} if "widget" in socket else {}
        if widget:
            kind, given = nodes[title]
            values.append(given.get(entry, default_of(dict(inputs_of(definitions[kind], given))[entry])))
        sockets.append({"name": entry, "type": socket["type"], **widget, "link": None})
    right = max(node["pos"][0] for node in drawn["nodes"]) + WIDTH + 120
    outputs = []
    for slot, out in enumerate(blueprint.outputs):
        node = by_id[ids[out.title]]
        source = node["outputs"][out.slot]
        link = connect(node["id"], out.slot, OUTPUT_SIDE, slot, source["type"])
        source["links"].append(link)
        told = {"id": _id(f"{name}/{out.title}/{out.slot}"), "name": source["name"], "type": source["type"]}
        outputs.append({**told, "linkIds": [link], "pos": [right + 20, 20 * slot]})
    graph = {
        "id": _id(name),
        "version": 1,
        "state": {
            "lastGroupId": len(drawn["groups"]),
            "lastNodeId": drawn["last_node_id"],
            "lastLinkId": len(links),
            "lastRerouteId": len(reroutes),
        },
        "revision": 0,
        "config": {},
        "name": name,
        "inputNode": {"id": INPUT_SIDE, "bounding": [-260, 0, 160, 40 + 20 * len(inputs)]},
        "outputNode": {"id": OUTPUT_SIDE, "bounding": [right, 0, 120, 40 + 20 * len(outputs)]},
        "inputs": inputs,
        "outputs": outputs,
        "widgets": [],
        "nodes": drawn["nodes"],
        "groups": drawn["groups"],
        "links": links,
        "reroutes": reroutes,
        "extra": {},
        "category": CATEGORY,
        "description": blueprint.about,
    }
    shown = [["-1", socket["name"]] for socket in sockets if "widget" in socket]
    use = {
        "id": drawn["last_node_id"] + 1,  # the frontend renumbers nodes whose numbers others have
        "type": graph["id"],
        "title": name,
        "pos": [0, 0],
        "size": [WIDTH, 60 + ROW * len(sockets)],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": sockets,
        "outputs": [{"name": entry["name"], "type": entry["type"], "links": []} for entry in outputs],
        "properties": {"proxyWidgets": shown},
        "widgets_values": values,
    }
    return {
        "id": _id(f"{name}/file"),
        "revision": 0,
        "last_node_id": use["id"],
        "last_link_id": 0,
        "nodes": [use],
        "links": [],
        "groups": [],
        "definitions": {"subgraphs": [graph]},
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _id(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"acestep-nodes/blueprint/{name}"))
