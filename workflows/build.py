"""Writes every workflow of this folder from the short descriptions in `graphs.py`.

For each one: the canvas file, the same as an app (a form with a player), a picture of both, and the API form in `api/`;
the gallery in three languages in `index/`, and the blueprints of `blueprints.py` in `subgraphs/` beside this one. Run
it after changing a description: `python workflows/build.py`.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LOCALES = HERE.parent / "locales"
sys.path[:0] = [str(HERE.parent), str(HERE)]

from blueprints import BLUEPRINTS, blueprint_form  # noqa: E402
from cards import CARDS, GROUPS, NEEDS  # noqa: E402
from graphs import GRAPHS, Graph  # noqa: E402
from pictures import picture  # noqa: E402

from acestep_core.host.graph.drawing import canvas_form  # noqa: E402
from acestep_core.host.graph.packs import Registry, load_pack  # noqa: E402
from acestep_core.host.graph.sketch import api_form  # noqa: E402
from acestep_core.host.graph.stock_nodes import PACKS  # noqa: E402

RESULTS = {
    **dict.fromkeys(("ACEStepSaveSong", "ACEStepPreviewSong"), "audioUI"),
    **dict.fromkeys(("ACEStepEditDataset", "ACEStepTrainLoRA"), "panel"),
    **dict.fromkeys(("ACEStepShowText", "ACEStepPreprocess", "ACEStepSaveDataset", "ACEStepExportLoRA"), "shown"),
}
"""The widget in which a node shows what it made; in an app it stands below the form."""
EDITORS = {"ACEStepRepaint": "region", "ACEStepExtend": "region", "ACEStepLego": "region"}
"""The widget on which a node's inputs are chosen by hand; in an app it stands below the recording."""

LABEL = re.compile(r"( (original|retake))?( \d+%?| [AB])?$")
"""What tells nodes of one kind apart in their titles."""


def build_all(folder: Path = HERE) -> list[Path]:
    """Writes all files below `folder`, the blueprints beside it, and returns their paths."""
    definitions = Registry([*PACKS, load_pack(HERE.parent)]).definitions()
    (folder / "api").mkdir(parents=True, exist_ok=True)
    written = []
    for name, graph in GRAPHS.items():
        canvas = canvas_form(name, graph.sketch, definitions)
        app = canvas_form(f"{name}_app", graph.sketch, definitions)
        app["extra"] |= app_form(graph)
        name_fields(app["nodes"], graph)
        canvas["extra"] |= graph.extra
        shown = picture(CARDS[name].picture, name)
        for stem, workflow in ((name, canvas), (f"{name}_app", app)):
            written.append(_write(folder / f"{stem}.json", workflow))
            shown.save(folder / f"{stem}.jpg", quality=72, optimize=True)
            written.append(folder / f"{stem}.jpg")
        written.append(_write(folder / "api" / f"{name}.json", api_form(graph.sketch, definitions)))
    beside = folder.parent / "subgraphs"
    beside.mkdir(exist_ok=True)
    for name, blueprint in BLUEPRINTS.items():
        written.append(_write(beside / f"{name}.json", blueprint_form(name, blueprint, definitions)))
    (folder / "index").mkdir(exist_ok=True)
    for language in ("en", "ko", "zh"):
        written.append(_write(folder / "index" / f"{language}.json", index_of(language)))
    return written


def app_form(graph: Graph) -> dict[str, Any]:
    """What makes the canvas show a workflow as a form."""
    ids = graph.sketch.ids()
    inputs = [[ids[title], name] for title, _, name in (field.rpartition(".") for field in graph.form)]
    drawn = [[ids[title], EDITORS[kind]] for title, (kind, _) in graph.nodes.items() if kind in EDITORS]
    inputs[1:1] = drawn
    inputs += [[ids[title], RESULTS[graph.nodes[title][0]]] for title in graph.shows]
    return {"linearMode": True, "linearData": {"inputs": inputs, "outputs": [ids[title] for title in graph.shows]}}


def field_names(graph: Graph) -> dict[tuple[str, str], str]:
    """`(title, input)` -> what the form calls a field whose own name does not tell what it is.

    Of several with one name, results too, each says whose it is (`Codes: Seed`); one of a node that is not ours, whose
    name is Python's, is called like the node.
    """
    own = {}
    for title, _, name in (field.rpartition(".") for field in graph.form):
        own[title, name] = name_in("en", graph.nodes[title][0], name)
    often = Counter([*own.values(), *graph.shows])
    told = {field: f"{field[0]}: {label}" if label else field[0] for field, label in own.items()}
    return {field: told[field] for field, label in own.items() if not label or often[label] > 1}


@cache
def _words(language: str) -> dict[str, Any]:
    words: dict[str, Any] = json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))
    return words


def name_in(language: str, kind: str, name: str) -> str | None:
    """What an input of a node of ours is called; None of others."""
    return _words(language)[kind]["inputs"][name]["name"] if kind in _words(language) else None


def name_fields(nodes: list[dict[str, Any]], graph: Graph) -> None:
    """Writes these names into the nodes of an app."""
    names = field_names(graph)
    for node in nodes:
        for socket in node["inputs"]:
            if label := names.get((node["title"], socket["name"])):
                socket["label"] = label


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
                    "sound": (HERE / f"{name}.mp3").is_file(),
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
        words = {"titles": titles, "stages": texts["stages"], "plain": plain}
        categories[0]["words"] = words | {"fields": _fields_in(language)}
    return categories


def _fields_in(language: str) -> dict[str, str]:
    """English name of a field -> the one in this language, of those that stand behind a title."""
    found = {}
    for graph in GRAPHS.values():
        for title, name in field_names(graph):
            kind = graph.nodes[title][0]
            if english := name_in("en", kind, name):
                found[english] = _words(language)[kind]["inputs"][name]["name"]
    return found


def _write(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    build_all()
