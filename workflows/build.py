"""Writes every workflow of this folder from the short descriptions in `graphs.py`.

For each one: the canvas file, the same as an app (a form with a player), a picture of both, and the API form in `api/`;
and the gallery in three languages in `index/`. Run it after changing a description: `python workflows/build.py`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

HERE = Path(__file__).resolve().parent
LOCALES = HERE.parent / "locales"
sys.path[:0] = [str(HERE.parent), str(HERE)]

from cards import CARDS, GROUPS, NEEDS  # noqa: E402
from graphs import GRAPHS, Graph  # noqa: E402
from pictures import picture  # noqa: E402

from acestep_core.host.graph.packs import Registry, load_pack  # noqa: E402
from acestep_core.host.graph.stock_nodes import PACKS  # noqa: E402

Definitions = dict[str, dict[str, Any]]

COLUMN_HEIGHT, GAP, WIDTH = 960, 40, 320
TITLE_HEIGHT, SLOT, WIDGET, TEXT, PLAYER, UNFOLD = 30, 20, 26, 110, 140, 44
GROUP_TITLE, GROUP_GAP, GROUP_EDGE = 50, 60, 20
NOTE_HEIGHT = 120
GROWTH = {"ACEStepSampler": 260, "ACEStepLoader": 30, "ACEStepSong": 170, "ACEStepPlan": 290}
"""By how much a node grows when it runs and shows what it has so far, or with its editor."""
PARTS = {
    "ACEStepSong": 100,
    "ACEStepPlan": 590,
    "ACEStepLego": 210,
    "ACEStepExtend": 210,
    "ACEStepRepaint": 210,
    "ACEStepConditioning": 32,
    "ACEStepEditDataset": 10,
    "ACEStepTrainLoRA": 80,
}
"""By how much the parts of `web/` (editor, plan, region, panels) make a node higher than its inputs do."""
RESULTS = {"ACEStepSaveSong": "audioUI", "ACEStepPreviewSong": "audioUI", "ACEStepShowText": "shown"}
"""The widget in which a node shows what it made; in an app it stands below the form."""
EDITORS = {"ACEStepRepaint": "region", "ACEStepExtend": "region", "ACEStepLego": "region"}
"""The widget on which a node's inputs are chosen by hand; in an app it stands below the recording."""
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


LABEL = re.compile(r"( (original|retake))?( \d+%?| [AB])?$")
"""What tells nodes of one kind apart in their titles."""


def build_all(folder: Path = HERE) -> list[Path]:
    """Writes all files below `folder` and returns their paths."""
    definitions = Registry([*PACKS, load_pack(HERE.parent)]).definitions()
    (folder / "api").mkdir(parents=True, exist_ok=True)
    written = []
    for name, graph in GRAPHS.items():
        canvas = canvas_form(name, graph, definitions)
        app = canvas_form(f"{name}_app", graph, definitions)
        app["extra"] |= app_form(graph)
        canvas["extra"] |= graph.extra
        shown = picture(CARDS[name].picture, name)
        for stem, workflow in ((name, canvas), (f"{name}_app", app)):
            written.append(_write(folder / f"{stem}.json", workflow))
            shown.save(folder / f"{stem}.jpg", quality=72, optimize=True)
            written.append(folder / f"{stem}.jpg")
        written.append(_write(folder / "api" / f"{name}.json", api_form(graph, definitions)))
    (folder / "index").mkdir(exist_ok=True)
    for language in ("en", "ko", "zh"):
        written.append(_write(folder / "index" / f"{language}.json", index_of(language)))
    return written


def api_form(graph: Graph, definitions: Definitions) -> dict[str, Any]:
    """The prompt that `/prompt` takes."""
    ids = node_ids(graph)
    prompt = {}
    for title, (kind, given) in graph.nodes.items():
        inputs = {}
        for name, entry in _declared(definitions[kind]):
            value = given.get(name, _default(entry))
            if _link(value, graph):
                source, _, slot = value.rpartition(".")
                inputs[name] = [str(ids[source]), int(slot)]
            elif _has_widget(entry):
                inputs[name] = value
        prompt[str(ids[title])] = {"inputs": inputs, "class_type": kind, "_meta": {"title": title}}
    return prompt


def canvas_form(name: str, graph: Graph, definitions: Definitions) -> dict[str, Any]:
    """The file that the canvas opens, laid out in columns."""
    ids, stages = node_ids(graph), stages_of(graph, definitions)
    places, groups = layout(graph, definitions, stages)
    links: list[list[Any]] = []
    nodes = []
    for order, (title, (kind, given)) in enumerate(graph.nodes.items()):
        definition = definitions[kind]
        sockets, values = [], []
        for input_name, entry in _declared(definition):
            value = given.get(input_name, _default(entry))
            socket: dict[str, Any] = {"name": input_name, "type": _type(entry), "link": None}
            if _link(value, graph):
                source, _, slot = value.rpartition(".")
                links.append([len(links) + 1, ids[source], int(slot), ids[title], len(sockets), _type(entry)])
                socket["link"] = len(links)
            if _has_widget(entry):
                socket["widget"] = {"name": input_name}
                values.append(_default(entry) if socket["link"] else value)
                if entry[1].get("control_after_generate"):
                    values.append("randomize")
            if _type(entry) != "AUDIO_UI":
                sockets.append(socket)
        x, y, height = places[title]
        nodes.append(
            {
                "id": ids[title],
                "type": kind,
                "title": title,
                "pos": [x, y],
                "size": [WIDTH, height],
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
    note = len(nodes) + 1
    nodes.append(_note(note, graph, -GROUP_TITLE))
    return {
        "id": str(uuid5(NAMESPACE_URL, f"acestep-nodes/{name}")),
        "revision": 0,
        "last_node_id": note,
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": {"scale": 0.8, "offset": [60, 260]}},
        "version": 0.4,
    }


def app_form(graph: Graph) -> dict[str, Any]:
    """What makes the canvas show a workflow as a form."""
    ids = node_ids(graph)
    inputs = [[ids[title], name] for title, _, name in (field.rpartition(".") for field in graph.form)]
    drawn = [[ids[title], EDITORS[kind]] for title, (kind, _) in graph.nodes.items() if kind in EDITORS]
    inputs[1:1] = drawn
    shown = [(title, RESULTS.get(graph.nodes[title][0])) for title in graph.shows]
    inputs += [[ids[title], widget] for title, widget in shown if widget]
    return {"linearMode": True, "linearData": {"inputs": inputs, "outputs": [ids[title] for title in graph.shows]}}


def node_ids(graph: Graph) -> dict[str, int]:
    return {title: number for number, title in enumerate(graph.nodes, start=1)}


def stages_of(graph: Graph, definitions: Definitions) -> dict[str, int]:
    """Which group each node stands in: that of its kind, or a later one where it needs something from there."""
    found: dict[str, int] = {}
    training = any(definitions[kind]["category"] == "ACE-Step/train" for kind, _ in graph.nodes.values())
    for title, (kind, given) in graph.nodes.items():
        own = _STAGE.get(definitions[kind]["category"].rpartition("/")[2], 0)
        if training:
            own = _TRAINING_STAGE.get(kind, {0: 0, 3: 3}.get(own, 2) if own or kind.endswith("Loader") else 2)
        before = [found[value.rpartition(".")[0]] for value in given.values() if _link(value, graph)]
        found[title] = max([own, *before])
    return found


def layout(
    graph: Graph, definitions: Definitions, stages: dict[str, int]
) -> tuple[dict[str, tuple[int, int, int]], list[dict[str, Any]]]:
    """`(x, y, height)` of every node, and the groups: side by side as the song goes, each filled from the top like a
    newspaper.
    """
    training = any(definitions[kind]["category"] == "ACE-Step/train" for kind, _ in graph.nodes.values())
    names = TRAINING if training else STAGES
    places, groups, x = {}, [], 0
    for number, stage in enumerate(sorted(set(stages.values())), start=1):
        left, bottom, lowest = x, 0, 0
        for title, (kind, _) in graph.nodes.items():
            if stages[title] != stage:
                continue
            height = _height(definitions[kind])
            room = TITLE_HEIGHT + height + GROWTH.get(kind, 0)
            if bottom and bottom + room > COLUMN_HEIGHT:
                x, bottom = x + WIDTH + GAP, 0
            places[title] = (x, bottom + TITLE_HEIGHT, height)
            bottom += room + GAP
            lowest = max(lowest, bottom - GAP)
        x += WIDTH
        box = [left - GROUP_EDGE, -GROUP_TITLE, x - left + 2 * GROUP_EDGE, lowest + GROUP_TITLE + GROUP_EDGE]
        groups.append({"id": number, "title": f"{number} {names[stage]}", "bounding": box, "flags": {}})
        x += GROUP_GAP + 2 * GROUP_EDGE
    return places, groups


def index_of(language: str) -> list[dict[str, Any]]:
    """The gallery of a language in the form that the frontend reads, with what our own gallery needs besides.

    One card for each job: its graph is `name`, its form `name` + `_app`.
    """
    texts = {} if language == "en" else json.loads((LOCALES / language / "workflows.json").read_text(encoding="utf-8"))
    said = texts.get("workflows", {})
    categories = []
    for group in GROUPS:
        cards = []
        for name, card in ((name, card) for name, card in CARDS.items() if card.group == group):
            graph = GRAPHS[name]
            own = said.get(name, {"title": graph.title, "about": card.about, "note": graph.note})
            needs = [texts.get("needs", NEEDS)[need] for need in card.needs]
            cards.append(
                {
                    "name": name,
                    "title": own["title"],
                    "description": own["about"],
                    "mediaType": "image",
                    "mediaSubtype": "jpg",
                    "tags": [texts.get("groups", {}).get(group, group), *needs],
                    "models": ["ACE-Step 1.5 base" if "base" in card.needs else "ACE-Step 1.5"],
                    "isApp": False,
                    "openSource": True,
                    "needs": needs,
                    "note": own["note"],
                }
            )
        title = texts.get("groups", {}).get(group, group)
        categories.append(
            {"moduleName": "default", "title": title, "category": "ACE-Step", "type": "audio", "templates": cards}
        )
    if texts:
        bases = {LABEL.sub("", title) for graph in GRAPHS.values() for title in graph.nodes}
        titles = texts["titles"]
        plain = sorted(bases - titles.keys())
        categories[0]["words"] = {"titles": titles, "stages": texts["stages"], "plain": plain}
    return categories


def _note(number: int, graph: Graph, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "MarkdownNote",
        "title": graph.title,
        "pos": [0, top - NOTE_HEIGHT - GAP],
        "size": [2 * WIDTH, NOTE_HEIGHT],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [graph.note],
    }


def _declared(definition: dict[str, Any]) -> list[tuple[str, Any]]:
    groups = (definition["input"].get(group) or {} for group in ("required", "optional"))
    return [(name, [*entry, {}][:2]) for group in groups for name, entry in group.items()]


def _link(value: Any, graph: Graph) -> bool:
    source, _, slot = value.rpartition(".") if isinstance(value, str) else ("", "", "")
    return source in graph.nodes and slot.isdigit()


def _type(entry: Any) -> str:
    return "COMBO" if isinstance(entry[0], list) else entry[0]


def _has_widget(entry: Any) -> bool:
    return _type(entry) in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO") and not entry[1].get("forceInput")


def _default(entry: Any) -> Any:
    choices = entry[0] if isinstance(entry[0], list) else entry[1].get("options") or [None]
    return entry[1].get("default", choices[0])


def _height(definition: dict[str, Any]) -> int:
    """With everything that is rarely needed folded away, as a node opens."""
    entries = [entry for _, entry in _declared(definition)]
    shown = [entry for entry in entries if _has_widget(entry) and not entry[1].get("advanced")]
    widgets = sum(TEXT if entry[1].get("multiline") else WIDGET for entry in shown)
    widgets += sum(WIDGET for entry in shown if entry[1].get("control_after_generate"))
    widgets += UNFOLD if any(entry[1].get("advanced") for entry in entries) else 0
    sockets = sum(not _has_widget(entry) for entry in entries)
    player = PLAYER if any(_type(entry) == "AUDIO_UI" for entry in entries) else 0
    player += PLAYER if any(entry[1].get("audio_upload") for entry in entries) else 0
    text = TEXT if definition["name"] == "ACEStepShowText" else 0
    own = player + text + PARTS.get(definition["name"], 0)
    return 16 + SLOT * max(sockets, len(definition["output"])) + widgets + own


def _write(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    build_all()
