"""A sketch drawn: the file that the canvas opens, its nodes in columns as the song goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from acestep_core.host.graph.canvas import Definitions
from acestep_core.host.graph.canvas_widgets import default_of, is_widget
from acestep_core.host.graph.routing import Box, Columns, Point, Wire, routed
from acestep_core.host.graph.sketch import Out, Sketch, inputs_of

COLUMN_HEIGHT, DATA_HEIGHT, GAP, BETWEEN, WIDTH = 1000, 1200, 68, 112, 320
TITLE_HEIGHT, SLOT, WIDGET, TEXT, PLAYER, UNFOLD = 30, 20, 26, 110, 140, 44
SOCKET_EDGE, SOCKET_MIDDLE = 10, 0.7
"""Of a socket's dot: from the side of its node, and down its row."""
GROUP_TITLE, GROUP_GAP, GROUP_EDGE = 50, 72, 20
GROUP_COLOUR = "#3f789e"
"""The frontend's own blue of groups; without a colour it writes their titles so dark that they cannot be read."""
NOTE_HEIGHT, NOTE_GAP = 72, 16
SCALE = 0.8
BESIDE, ABOVE = 72, 96
"""Pixels that the frontend's sidebar, and its buttons in the corner, cover of a canvas that has just been opened."""
GROWTH = {
    "ACEStepSampler": 210,
    "ACEStepLoader": 30,
    "ACEStepSong": 170,
    "ACEStepPlan": 290,
    "ACEStepSaveSong": 460,
    "ACEStepPreviewSong": 460,
    **dict.fromkeys(("ACEStepCreateSong", "ACEStepFormatSong", "ACEStepUnderstand"), 230),
    **dict.fromkeys(("ACEStepScanDataset", "ACEStepLabelDataset"), 230),
    "ACEStepAudioToCodes": 60,
    "ACEStepEditDataset": 400,
}
"""By how much a node grows when it runs and shows what it has so far, or with its editor."""
PARTS = {
    "ACEStepSong": 100,
    "ACEStepPlan": 420,
    "ACEStepLego": 210,
    "ACEStepExtend": 210,
    "ACEStepRepaint": 210,
    "ACEStepConditioning": 32,
    "ACEStepEditDataset": 10,
    "ACEStepTrainLoRA": 80,
}
"""By how much the parts of `web/` (editor, plan, region, panels) make a node higher than its inputs do."""
WIDE = {"ACEStepSaveSong": 440, "ACEStepPreviewSong": 440, "ACEStepEditDataset": 760, "ACEStepTrainLoRA": 560}
"""Nodes that are wider than others, for the song widget, the table of a dataset and the monitor of a training."""
STAGES = ("Song", "Plan", "Render", "Keep")
TRAINING = ("Models", "Data", "Train", "Keep")
"""Groups of a workflow from left to right; those that it has are numbered."""
_STAGE = {"load": 0, "song": 0, "plan": 1, "codes": 1, "task": 2, "render": 2, "judge": 3, "save": 3}
_TRAINING_STAGE = {
    "ACEStepScanDataset": 1,
    "ACEStepLoadDataset": 1,
    "ACEStepLabelDataset": 1,
    "ACEStepEditSample": 1,
    "ACEStepEditDataset": 1,
    "ACEStepLoadTrainset": 1,
    "ACEStepSaveDataset": 3,
    "ACEStepExportLoRA": 3,
}


def canvas_form(name: str, sketch: Sketch, definitions: Definitions) -> dict[str, Any]:
    """The file that the canvas opens, laid out in columns, its wires around the nodes between.

    Args:
        name: tells it from other files; the same name gives the same id.
    """
    ids, stages = sketch.ids(), stages_of(sketch, definitions)
    columns, heights, groups = layout(sketch, definitions, stages)
    links: list[list[Any]] = []
    nodes: list[dict[str, Any]] = []
    for order, (title, (kind, given)) in enumerate(sketch.nodes.items()):
        definition = definitions[kind]
        sockets: list[dict[str, Any]] = []
        values: list[Any] = []
        for input_name, entry in inputs_of(definition, given):
            value = given.get(input_name, default_of(entry))
            socket: dict[str, Any] = {"name": input_name, "type": _type(entry), "link": None}
            if isinstance(value, Out):
                links.append([len(links) + 1, ids[value.title], value.slot, ids[title], len(sockets), _type(entry)])
                socket["link"] = len(links)
            if is_widget(entry):
                socket["widget"] = {"name": input_name}
                values.append(default_of(entry) if socket["link"] else value)
                if entry[1].get("control_after_generate"):
                    values.append(sketch.control)
            if _type(entry) != "AUDIO_UI":
                sockets.append(socket)
        box = columns.boxes[title]
        nodes.append(
            {
                "id": ids[title],
                "type": kind,
                "title": title,
                "pos": [box.left, box.top + TITLE_HEIGHT],
                "size": [box.right - box.left, heights[title]],
                "flags": {},
                "order": order,
                "mode": 0,
                "inputs": sockets,
                "outputs": [
                    {"name": output, "type": output_type, "links": []}
                    for output, output_type in zip(definition["output_name"], definition["output"], strict=True)
                ],
                "properties": {"Node name for S&R": kind},
                "widgets_values": values,
            }
        )
    by_id = {node["id"]: node for node in nodes}
    for link in links:
        by_id[link[1]]["outputs"][link[2]]["links"].append(link[0])
    reroutes, extensions = _around(columns, {ids[title]: title for title in ids}, by_id, links)
    lanes = max([0, *(-reroute["pos"][1] for reroute in reroutes)])
    for group in groups:
        group["bounding"][1] -= lanes
        group["bounding"][3] += lanes
    note = len(nodes) + 1
    nodes.append(_note(note, sketch, -GROUP_TITLE - lanes))
    highest = nodes[-1]["pos"][1]
    return {
        "id": str(uuid5(NAMESPACE_URL, f"acestep-nodes/{name}")),
        "revision": 0,
        "last_node_id": note,
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {
            "ds": {
                "scale": SCALE,
                "offset": [round(BESIDE / SCALE) + GROUP_EDGE, round(ABOVE / SCALE) + TITLE_HEIGHT - highest],
            },
            **({"reroutes": reroutes, "linkExtensions": extensions} if reroutes else {}),
        },
        "version": 0.4,
    }


def stages_of(sketch: Sketch, definitions: Definitions) -> dict[str, int]:
    """Which group each node stands in: that of its kind, or a later one where it needs something from there."""
    found: dict[str, int] = {}
    training = any(definitions[kind]["category"] == "ACE-Step/train" for kind, _ in sketch.nodes.values())
    for title, (kind, given) in sketch.nodes.items():
        own = _STAGE.get(definitions[kind]["category"].rpartition("/")[2], 0)
        if training:
            own = _TRAINING_STAGE.get(kind, {0: 0, 3: 3}.get(own, 2) if own or kind.endswith("Loader") else 2)
        before = [found[value.title] for value in given.values() if isinstance(value, Out)]
        found[title] = max([own, *before])
    return found


def layout(
    sketch: Sketch, definitions: Definitions, stages: dict[str, int]
) -> tuple[Columns, dict[str, int], list[dict[str, Any]]]:
    """Where every node stands with the room it grows into, its height, and the groups: side by side as the song goes,
    each filled from the top like a newspaper.
    """
    training = any(definitions[kind]["category"] == "ACE-Step/train" for kind, _ in sketch.nodes.values())
    names = TRAINING if training else STAGES
    boxes, heights, groups, x = {}, {}, [], 0
    members: list[list[str]] = []
    for number, stage in enumerate(sorted(set(stages.values())), start=1):
        left, bottom, lowest, widest = x, 0, 0, WIDTH
        members.append([])
        for title, (kind, given) in sketch.nodes.items():
            if stages[title] != stage:
                continue
            heights[title], width = _height(definitions[kind], given), WIDE.get(kind, WIDTH)
            room = TITLE_HEIGHT + heights[title] + GROWTH.get(kind, 0)
            if bottom and bottom + room > (DATA_HEIGHT if names[stage] == "Data" else COLUMN_HEIGHT):
                x, bottom, widest = x + widest + BETWEEN, 0, WIDTH
                members.append([])
            boxes[title] = Box(x, bottom, x + width, bottom + room)
            members[-1].append(title)
            bottom += room + GAP
            widest = max(widest, width)
            lowest = max(lowest, bottom - GAP)
        x += widest
        box = [left - GROUP_EDGE, -GROUP_TITLE, x - left + 2 * GROUP_EDGE, lowest + GROUP_TITLE + GROUP_EDGE]
        said = f"{number} {names[stage]}"
        groups.append({"id": number, "title": said, "bounding": box, "color": GROUP_COLOUR, "flags": {}})
        x += GROUP_GAP + 2 * GROUP_EDGE
    return Columns(boxes, members), heights, groups


def _around(
    columns: Columns, titles: Mapping[int, str], nodes: Mapping[int, Any], links: list[list[Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, int]]]:
    """The reroutes that lead wires around nodes, and which of them each link ends with, as the frontend saves both."""
    wires = [
        Wire(titles[source], slot, titles[target], outlet(nodes[source], slot), inlet(nodes[target], at))
        for _, source, slot, target, at, _ in links
    ]
    reroutes: list[dict[str, Any]] = []
    known: dict[tuple[Any, ...], int] = {}
    extensions = []
    for link, wire, way in zip(links, wires, routed(columns, wires), strict=True):
        parent: int | None = None
        for x, y in way:
            key = (wire.source, wire.output, parent, round(x), round(y))
            if key not in known:
                known[key] = len(reroutes) + 1
                above = {} if parent is None else {"parentId": parent}
                reroutes.append({"id": known[key], **above, "pos": [round(x), round(y)], "linkIds": []})
            parent = known[key]
            reroutes[parent - 1]["linkIds"].append(link[0])
        if parent is not None:
            extensions.append({"id": link[0], "parentId": parent})
    return reroutes, extensions


def outlet(node: Mapping[str, Any], slot: int) -> Point:
    """Where a wire leaves an output."""
    return node["pos"][0] + node["size"][0] - SOCKET_EDGE, node["pos"][1] + (slot + SOCKET_MIDDLE) * SLOT


def inlet(node: Mapping[str, Any], at: int) -> Point:
    """Where a wire reaches an input: sockets stand above the widgets."""
    x, y = node["pos"][0] + SOCKET_EDGE, node["pos"][1]
    plain = [place for place, socket in enumerate(node["inputs"]) if "widget" not in socket]
    if at in plain:
        return x, y + (plain.index(at) + SOCKET_MIDDLE) * SLOT
    before = at - sum(place < at for place in plain)
    return x, y + SLOT * max(len(plain), len(node["outputs"])) + WIDGET * (before + SOCKET_MIDDLE)


def _note(number: int, sketch: Sketch, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "MarkdownNote",
        "title": sketch.title,
        "pos": [0, top - NOTE_HEIGHT - NOTE_GAP],
        "size": [3 * WIDTH, NOTE_HEIGHT],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [sketch.note],
    }


def _type(entry: Any) -> str:
    return "COMBO" if isinstance(entry[0], list) else entry[0]


def _height(definition: Mapping[str, Any], given: Mapping[str, Any]) -> int:
    """With what is rarely needed folded away, and what does not count as it is set hidden, as a node opens."""
    inputs = inputs_of(definition, {})
    entries = [entry for _, entry in inputs]
    values = {name: given.get(name, default_of(entry)) for name, entry in inputs if is_widget(entry)}

    def counts(entry: Any) -> bool:
        asked = {other: wanted for other, wanted in entry[1].get("counts", {}).items() if other in values}
        return all(isinstance(values[other], Out) or values[other] in wanted for other, wanted in asked.items())

    shown = [entry for entry in entries if is_widget(entry) and counts(entry) and not entry[1].get("advanced")]
    widgets = sum(TEXT if entry[1].get("multiline") else WIDGET for entry in shown)
    widgets += sum(WIDGET for entry in shown if entry[1].get("control_after_generate"))
    widgets += UNFOLD if any(entry[1].get("advanced") for entry in entries) else 0
    sockets = sum(not is_widget(entry) for entry in entries)
    player = PLAYER if any(_type(entry) == "AUDIO_UI" for entry in entries) else 0
    player += PLAYER if any(entry[1].get("audio_upload") for entry in entries) else 0
    text = TEXT if definition["name"] == "ACEStepShowText" else 0
    own = player + text + PARTS.get(definition["name"], 0)
    return 16 + SLOT * max(sockets, len(definition["output"])) + widgets + own
