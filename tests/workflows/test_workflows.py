"""The workflow files: consistent, equal in all three forms, and running on the tiny checkpoint."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from acestep_core.host.graph.context import hosting
from acestep_core.host.graph.drawing import TITLE_HEIGHT, inlet, outlet
from acestep_core.host.graph.routing import Box, Point, Wire, behind, drawn
from acestep_core.io.audio import read_audio
from acestep_core.vocabulary import TRACKS

FOLDER = Path(__file__).parents[2] / "workflows"
NAMES = sorted(path.stem for path in (FOLDER / "api").glob("*.json"))
every_workflow = pytest.mark.parametrize("name", NAMES)


def read(stem: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{stem}.json").read_text(encoding="utf-8"))


def test_every_capability_comes_in_three_forms_with_a_picture() -> None:
    stems = {path.stem for path in FOLDER.glob("*.json")}
    assert stems == {*NAMES, *(f"{name}_app" for name in NAMES)}
    assert all(re.fullmatch("[a-z0-9_]+", stem) for stem in stems)
    for stem in stems:
        with Image.open(FOLDER / f"{stem}.jpg") as picture:
            assert picture.size[0] >= 400 and len(picture.convert("L").getcolors() or range(257)) > 10


def test_every_node_is_shown_in_some_workflow(stage: Any) -> None:
    used = {node["class_type"] for name in NAMES for node in read(f"api/{name}").values()}
    only_in_comfyui = {"ACEStepFromNative", "ACEStepToNative"}  # our workflows run in every host
    assert set(stage.pack.classes) - only_in_comfyui <= used


@every_workflow
def test_canvas_and_app_convert_to_the_api_form(name: str, stage: Any) -> None:
    with hosting(stage.folders):
        wanted = read(f"api/{name}")
        assert stage.load(name).prompt == wanted
        assert stage.load(f"{name}_app").prompt == wanted
        assert stage.load(f"api/{name}").prompt == wanted


@every_workflow
def test_links_are_consistent(name: str) -> None:
    canvas = read(name)
    nodes = {node["id"]: node for node in canvas["nodes"]}
    assert len(nodes) == len(canvas["nodes"]) and canvas["last_node_id"] == max(nodes)
    for number, source, slot, target, place, kind in canvas["links"]:
        output, taken = nodes[source]["outputs"][slot], nodes[target]["inputs"][place]
        assert number in output["links"] and taken["link"] == number
        assert taken["type"] == kind and (output["type"] == kind or "*" in (output["type"], kind))
    assert all(
        set(output["links"]) <= {link[0] for link in canvas["links"]} for n in nodes.values() for output in n["outputs"]
    )
    boxes = [
        (*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1]) for node in nodes.values()
    ]
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], "nodes overlap"


@every_workflow
def test_no_wire_passes_behind_a_node(name: str) -> None:
    canvas = read(name)
    nodes = {node["id"]: node for node in canvas["nodes"]}
    boxes = {
        str(at): Box(x, y - TITLE_HEIGHT, x + width, y + height)
        for at, node in nodes.items()
        for (x, y), (width, height) in [(node["pos"], node["size"])]
    }
    wires = [
        Wire(str(source), slot, str(target), outlet(nodes[source], slot), inlet(nodes[target], at))
        for _, source, slot, target, at, _ in canvas["links"]
    ]
    reroutes = {reroute["id"]: reroute for reroute in canvas["extra"].get("reroutes", [])}
    last = {entry["id"]: entry["parentId"] for entry in canvas["extra"].get("linkExtensions", [])}
    ways: list[list[Point]] = []
    for number, *_ in canvas["links"]:
        ways.append([])
        at = last.get(number)
        while at is not None:
            assert number in reroutes[at]["linkIds"]
            ways[-1].insert(0, tuple(reroutes[at]["pos"]))
            at = reroutes[at].get("parentId")
    for wire, line in zip(wires, drawn(wires, ways), strict=True):
        assert not behind(boxes, wire, line), [nodes[int(at)]["title"] for at in (wire.source, wire.target)]


@every_workflow
def test_the_form_of_the_app_names_widgets(name: str, stage: Any) -> None:
    app = read(f"{name}_app")
    prompt = read(f"api/{name}")
    assert app["extra"]["linearMode"] is True and "linearMode" not in read(name)["extra"]
    outputs = app["extra"]["linearData"]["outputs"]
    fields = app["extra"]["linearData"]["inputs"]
    results = {"ACEStepSaveSong": "audioUI", "ACEStepPreviewSong": "audioUI", "ACEStepShowText": "shown"}
    results |= {"ACEStepEditDataset": "panel", "ACEStepTrainLoRA": "panel"}
    results |= dict.fromkeys(("ACEStepPreprocess", "ACEStepSaveDataset", "ACEStepExportLoRA"), "shown")
    shown = [[i, results[prompt[str(i)]["class_type"]]] for i in outputs]  # an app that shows nothing ends empty
    assert fields[len(fields) - len(shown) :] == shown
    for node_id, widget in fields[: len(fields) - len(shown)]:
        if widget != "region":  # which writes start and end, and is no input itself
            assert not isinstance(prompt[str(node_id)]["inputs"][widget], list), widget
    assert outputs and all(
        getattr(stage.registry.cls(prompt[str(i)]["class_type"]), "OUTPUT_NODE", False) for i in outputs
    )


@every_workflow
def test_no_two_fields_of_an_app_are_called_alike(name: str) -> None:
    """In English; `tests/canvas` looks at the other languages."""
    words = json.loads((FOLDER.parent / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    app = read(f"{name}_app")
    nodes = {node["id"]: node for node in app["nodes"]}
    called = []
    for node_id, field in app["extra"]["linearData"]["inputs"]:
        node = nodes[node_id]
        label = next((socket.get("label") for socket in node["inputs"] if socket["name"] == field), node["title"])
        called.append(label or words[node["type"]]["inputs"][field]["name"])
    assert len(set(called)) == len(called), called


@every_workflow
def test_runs_on_the_tiny_checkpoint(name: str, stage: Any) -> None:
    made = stage.made(name)
    prompt = read(f"api/{name}")
    saves = [node["_meta"]["title"] for node in prompt.values() if node["class_type"] == "ACEStepSaveSong"]
    assert set(saves) <= set(made)
    songs = [path for title in saves for path in made[title]]
    assert len(songs) == {"batch_of_four": 4, "make_a_song": 2, "extract_stems": len(TRACKS)}.get(name, len(saves))
    for path in songs:
        audio, rate = read_audio(path)
        assert rate == 48_000 and audio.shape[0] == 2 and audio.shape[1] >= 5 * rate
        assert audio.abs().max() > 0.05
