"""Blueprints: a workflow as one node, which the canvas lists and which makes what its workflow makes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.canvas import convert
from acestep_core.host.graph.workflow import Workflow
from acestep_core.io.audio import read_audio
from tests.host.lab_site import Site, with_site

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "subgraphs").glob("*.json"))}
NAMES = [f"{name} (ACE-Step)" for name in ("Best of", "Cover", "Plan", "Repaint", "Song", "Stems")]


@pytest.fixture(scope="module")
def made() -> Iterator[Any]:
    """The builder, which lies beside the workflows."""
    sys.path.insert(0, str(ROOT / "workflows"))
    try:
        import blueprints

        yield blueprints
    finally:
        sys.path.remove(str(ROOT / "workflows"))


def loaded(name: str) -> dict[str, Any]:
    return json.loads(FILES[name].read_text(encoding="utf-8"))


def used(name: str, save: bool = True, **values: Any) -> dict[str, Any]:
    """A workflow that uses a blueprint: a recording where it wants one, values on its outside, its sound saved."""
    canvas = loaded(name)
    (use,) = canvas["nodes"]
    places = [entry for _, entry in use["properties"]["proxyWidgets"]]
    for entry, value in values.items():
        use["widgets_values"][places.index(entry)] = value
    if use["inputs"][0]["name"] == "audio":
        use["inputs"][0]["link"] = 1
        canvas["links"].append([1, 98, 0, use["id"], 0, "AUDIO"])
        output = {"name": "AUDIO", "type": "AUDIO", "links": [1]}
        values = ["acestep_example_song.mp3"]
        sockets = [{"name": "audio", "type": "COMBO", "widget": {"name": "audio"}, "link": None}]
        recording = {"id": 98, "type": "LoadAudio", "inputs": sockets, "outputs": [output], "widgets_values": values}
        canvas["nodes"].append({**recording, "mode": 0})
    if save:
        sockets = [{"name": "audio", "type": "AUDIO", "link": 2}]
        canvas["links"].append([2, use["id"], 0, 99, 0, "AUDIO"])
        canvas["nodes"].append({"id": 99, "type": "ACEStepSaveSong", "inputs": sockets, "outputs": [], "mode": 0})
    return canvas


def test_they_are_the_builders(made: Any, stage: Any) -> None:
    assert list(FILES) == NAMES == sorted(made.BLUEPRINTS)
    definitions = stage.registry.definitions()
    for name, blueprint in made.BLUEPRINTS.items():
        assert loaded(name) == made.blueprint_form(name, blueprint, definitions), "run workflows/build.py"


@pytest.mark.parametrize("name", NAMES)
def test_a_blueprint_is_one_node_with_its_graph(name: str) -> None:
    """What the frontend asks of a blueprint, and tables that agree with each other."""
    canvas = loaded(name)
    (use,), (graph,) = canvas["nodes"], canvas["definitions"]["subgraphs"]
    assert use["type"] == graph["id"] and graph["name"] == name
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", graph["id"])
    assert graph["category"] == "Audio/ACE-Step" and graph["description"].endswith(".")
    names = [entry["name"] for entry in graph["inputs"]]
    assert len(set(names)) == len(names) and names == [entry["name"] for entry in use["inputs"]]
    nodes = {node["id"]: node for node in graph["nodes"]}
    links = {link["id"]: link for link in graph["links"]}
    for slot, entry in enumerate(graph["inputs"]):
        for link in (links[key] for key in entry["linkIds"]):
            assert (link["origin_id"], link["origin_slot"]) == (-10, slot)
            assert nodes[link["target_id"]]["inputs"][link["target_slot"]]["link"] == link["id"]
    for slot, entry in enumerate(graph["outputs"]):
        for link in (links[key] for key in entry["linkIds"]):
            assert (link["target_id"], link["target_slot"]) == (-20, slot)
            assert link["id"] in nodes[link["origin_id"]]["outputs"][link["origin_slot"]]["links"]
    assert {node["type"] for node in nodes.values()} & {"LoadAudio", "ACEStepSaveSong", "ACEStepShowText"} == set()
    shown = use["properties"]["proxyWidgets"]
    assert len(use["widgets_values"]) == len(shown)
    assert [entry for _, entry in shown] == [entry["name"] for entry in use["inputs"] if "widget" in entry]


@pytest.mark.parametrize("name", NAMES)
def test_a_blueprint_is_the_prompt_of_its_workflow(name: str, made: Any, stage: Any) -> None:
    definitions = stage.registry.definitions()
    prompt = convert(used(name), definitions).prompt
    workflow = stage.load(f"api/{made.BLUEPRINTS[name].graph}").prompt
    by_title = {node["_meta"]["title"]: node for node in workflow.values()}
    titles = {node_id: node["_meta"]["title"] for node_id, node in workflow.items()}
    inside = {key: node for key, node in prompt.items() if ":" in key}
    left_out = [node["_meta"]["title"] for node in workflow.values() if node["class_type"] in made.LEFT_OUT]
    assert {node["_meta"]["title"] for node in inside.values()} == by_title.keys() - set(left_out)
    for node in inside.values():
        expected = by_title[node["_meta"]["title"]]["inputs"]
        assert node["inputs"].keys() == expected.keys()
        for entry, value in node["inputs"].items():
            wire, wanted = value, expected[entry]
            if isinstance(value, list) and value[0] in inside:
                wire = [inside[value[0]]["_meta"]["title"], value[1]]
            elif isinstance(value, list):
                wire = [prompt[value[0]]["class_type"], value[1]]
            if isinstance(wanted, list):
                source = titles[wanted[0]]
                wanted = [workflow[wanted[0]]["class_type"] if source in left_out else source, wanted[1]]
            assert wire == wanted, (node["_meta"]["title"], entry)


def test_what_is_set_outside_counts(stage: Any) -> None:
    prompt = convert(used("Song (ACE-Step)", caption="a slow waltz", seed=77), stage.registry.definitions()).prompt
    by_kind = {node["class_type"]: node["inputs"] for node in prompt.values()}
    assert by_kind["ACEStepSong"]["caption"] == "a slow waltz" and by_kind["ACEStepSampler"]["seed"] == 77


@pytest.mark.parametrize("name", NAMES)
def test_every_blueprint_makes_sound(name: str, stage: Any) -> None:
    definitions = stage.registry.definitions()
    outcome = stage.run(stage.short(Workflow(convert(used(name), definitions).prompt, definitions)))
    assert outcome.success, outcome.error
    (song, *_) = [stage.place(item) for shown in outcome.outputs.values() for item in shown.get("audio", ())]
    assert read_audio(song)[0].abs().max() > 0.01


@with_site(packs=(ROOT,))
async def test_our_host_lists_them(site: Site) -> None:
    listed = (await site.get("/api/global_subgraphs"))[1]
    assert sorted(entry["name"] for entry in listed.values()) == NAMES
    for key, entry in listed.items():
        whole = (await site.get(f"/api/global_subgraphs/{key}"))[1]
        assert json.loads(whole["data"]) == loaded(entry["name"])
