"""Naming and setting inputs of workflow files."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from acestep_core.errors import GraphError
from acestep_core.host.graph.workflow import Workflow, load_workflow, parse_workflow
from tests.host.lab_site import LAB_PACK
from tests.host.test_canvas import DEFINITIONS

EXAMPLE = LAB_PACK / "example_workflows" / "lab_basic.json"


@pytest.fixture
def example() -> Workflow:
    return load_workflow(EXAMPLE, DEFINITIONS)


@pytest.mark.parametrize("name", ["2", "Tone", "tone", "labtone", "LabTone"])
def test_a_node_has_several_names(name: str, example: Workflow) -> None:
    changed = example.with_inputs({f"{name}.caption": "lo-fi piano"})
    assert changed.prompt["2"]["inputs"]["caption"] == "lo-fi piano"
    assert example.prompt["2"]["inputs"]["caption"] == "a calm tone"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("tone.seconds", "2.5", 2.5),
        ("tone.seed", "7", 7),
        ("tone.seed", "-1", -1),
        ("tone.seed", "-1.0", -1),
        ("tone.seed", " Random", -1),
        ("tone.instrumental", "yes", True),
        ("tone.instrumental", "FALSE", False),
        ("tone.caption", "true", "true"),
        ("tone.caption", "3", "3"),
        ("1.name", "xl", "xl"),
        ("tone.batch", "2", 2),
        ("tone.lyrics", "la", "la"),
    ],
)
def test_texts_are_read_as_the_declared_type(key: str, text: str, value: Any, example: Workflow) -> None:
    changed = example.with_inputs({key: text})
    node, name = key.split(".")
    assert changed.prompt["2" if node == "tone" else node]["inputs"][name] == value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tone.seconds", "long", "takes a number"),
        ("tone.seed", "1.5", "takes a whole number"),
        ("tone.instrumental", "maybe", "takes true or false"),
        ("tone.colour", "x", "it has: model, seconds"),
        ("nobody.x", "x", r"Tone \(2\)"),
        ("caption", "x", "names no node"),
    ],
)
def test_what_cannot_be_set(key: str, value: str, message: str, example: Workflow) -> None:
    with pytest.raises(GraphError, match=message):
        example.with_inputs({key: value})


def test_two_nodes_of_one_name() -> None:
    node = {"class_type": "LabWord", "inputs": {"text": "x"}, "_meta": {"title": "word"}}
    workflow = parse_workflow({"1": node, "2": node}, DEFINITIONS)
    with pytest.raises(GraphError, match="1, 2"):
        workflow.with_inputs({"word.text": "y"})


def test_titles_and_inputs_may_contain_dots() -> None:
    node = {"class_type": "LabWord", "inputs": {"text": "x", "mode.gain": 1}, "_meta": {"title": "no. 1"}}
    workflow = parse_workflow({"1": node}, DEFINITIONS).with_inputs({"no. 1.text": "y", "no. 1.mode.gain": 2})
    assert workflow.prompt["1"]["inputs"] == {"text": "y", "mode.gain": 2}


def test_a_set_value_replaces_a_link() -> None:
    prompt = {
        "1": {"class_type": "LabWord", "inputs": {"text": "x"}},
        "2": {"class_type": "LabWord", "inputs": {"text": ["1", 0]}},
    }
    assert parse_workflow(prompt, DEFINITIONS).with_inputs({"2.text": "y"}).prompt["2"]["inputs"]["text"] == "y"


def test_the_canvas_changes_too(example: Workflow) -> None:
    changed = example.with_inputs({"tone.seed": 99, "tone.caption": "new"})
    assert changed.canvas is not None and example.canvas is not None
    values = {node["id"]: node["widgets_values"] for node in changed.canvas["nodes"]}
    assert values[2] == [1.0, 440.0, 99, "fixed", 4, False, "new", 1]
    assert example.canvas["nodes"][1]["widgets_values"][2] == 5
    assert parse_workflow(changed.canvas, DEFINITIONS).prompt == changed.prompt
    assert changed.extra_data == {"extra_pnginfo": {"workflow": changed.canvas}}


def test_a_request_body_is_a_workflow_too() -> None:
    prompt = {"1": {"class_type": "LabWord", "inputs": {"text": "x"}}}
    workflow = parse_workflow({"prompt": prompt, "client_id": "x"}, DEFINITIONS)
    assert workflow.prompt == prompt and workflow.extra_data == {}


def test_the_files_a_workflow_names() -> None:
    prompt = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "a.wav"}},
        "2": {"class_type": "LabWord", "inputs": {"text": "a.wav"}},
    }
    assert parse_workflow(prompt, DEFINITIONS).files() == [("1", "audio", "a.wav")]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="There is no file"):
        load_workflow(tmp_path / "nope.json", DEFINITIONS)
    for content in ("{", "[" * 100_000, "\ud800".encode("utf-16", "surrogatepass").decode("latin-1")):
        (tmp_path / "a.json").write_text(content, encoding="latin-1")
        with pytest.raises(GraphError):
            load_workflow(tmp_path / "a.json", DEFINITIONS)
    (tmp_path / "a.json").write_text(json.dumps({"nodes": []}))
    assert load_workflow(tmp_path / "a.json", DEFINITIONS).prompt == {}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_workflow(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_bytes(EXAMPLE.read_text(encoding="utf-8").encode(encoding))
    assert load_workflow(tmp_path / "a.json", DEFINITIONS).prompt == load_workflow(EXAMPLE, DEFINITIONS).prompt


@pytest.mark.parametrize("name", ["demo.wav", "memo.m4a"])
def test_a_recording_is_no_workflow_and_no_text(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"RIFF\xff\xfe")
    with pytest.raises(GraphError, match=f"{name} does not hold the workflow that made it"):
        load_workflow(tmp_path / name, {})


@pytest.mark.parametrize(("least", "draws"), [(0, True), (-1, False)])
def test_a_seed_of_minus_one_is_drawn_unless_the_node_takes_it(least: int, draws: bool) -> None:
    inputs = {"seed": ["INT", {"min": least}], "steps": ["INT", {"min": least}]}
    prompt = {"1": {"class_type": "Noise", "inputs": {"seed": -1, "steps": -1}}}
    workflow = Workflow(prompt, {"Noise": {"input": {"required": inputs}}})
    drawn = workflow.drawn(Random("a")).prompt["1"]["inputs"]
    assert workflow.draws == draws and drawn["steps"] == -1
    assert (drawn["seed"] >= 0) == draws
    assert workflow.drawn(Random("a")).prompt == workflow.drawn(Random("a")).prompt
    assert workflow.prompt["1"]["inputs"]["seed"] == -1
