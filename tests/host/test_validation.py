"""Prompts of every wrong shape get a report, never an exception."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_core.host.graph import stock_nodes
from acestep_core.host.graph.literals import chosen, literal
from acestep_core.host.graph.packs import Pack, Registry, load_pack
from acestep_core.host.graph.validation import types_match, validate
from acestep_core.host.graph.workflow import parse_workflow
from tests.host.lab_site import LAB_PACK


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([*stock_nodes.PACKS, load_pack(LAB_PACK)])


def output(**inputs: Any) -> dict[str, Any]:
    return {"o": {"class_type": "LabText", "inputs": inputs}}


@pytest.mark.parametrize(
    "prompt", [None, 3, "x", [], [1], True, {"1": None}, {"1": 3}, {"1": []}, {"1": {"class_type": ["LabText"]}}]
)
def test_what_is_no_prompt_is_refused(prompt: Any, registry: Registry) -> None:
    report = validate(prompt, registry)
    assert report.error is not None and report.outputs == []


@pytest.mark.parametrize(
    "node", [{"class_type": "LabText"}, {"class_type": "LabText", "inputs": 3}, {"class_type": "LabText", "inputs": []}]
)
def test_nodes_without_proper_inputs(node: Any, registry: Registry) -> None:
    report = validate({"1": node}, registry)
    assert report.error is not None and report.error["type"] == "prompt_outputs_failed_validation"


@pytest.mark.parametrize(
    "link", [["w"], ["w", 0, 1], ["w", 1], ["w", -1], ["w", "0"], ["w", None], ["w", True], [["w"], 0], [{}, 0], [3, 0]]
)
def test_links_of_every_wrong_kind(link: Any, registry: Registry) -> None:
    prompt = {"w": {"class_type": "LabWord", "inputs": {"text": "x"}}, **output(text=link)}
    report = validate(prompt, registry)
    assert report.error is not None and report.node_errors["o"]["errors"]


def test_values_are_converted_in_place(registry: Registry) -> None:
    inputs = {"text": 5, "seconds": "0.5"}
    prompt = {"a": {"class_type": "LabAsync", "inputs": inputs}, **output(text=["a", 0])}
    assert validate(prompt, registry).error is None
    assert inputs == {"text": "5", "seconds": 0.5}


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", None, {}, "abc"])
def test_numbers_must_be_finite(value: Any, registry: Registry) -> None:
    prompt = {"a": {"class_type": "LabAsync", "inputs": {"text": "", "seconds": value}}, **output(text=["a", 0])}
    report = validate(prompt, registry)
    assert report.node_errors["a"]["errors"][0]["type"] == "invalid_input_type"


def test_wrapped_lists_are_unwrapped(registry: Registry) -> None:
    inputs = {"text": {"__value__": "plain"}, "seconds": {"__value__": 1}}
    prompt = {"a": {"class_type": "LabAsync", "inputs": inputs}, **output(text=["a", 0])}
    assert validate(prompt, registry).error is None
    assert inputs == {"text": "plain", "seconds": 1.0}


def test_long_lists_of_choices_are_not_repeated() -> None:
    class Many:
        RETURN_TYPES = ()
        FUNCTION = "run"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"name": ([str(i) for i in range(21)],)}}

    report = validate({"1": {"class_type": "Many", "inputs": {"name": "x"}}}, Registry([Pack("p", {"Many": Many})]))
    problem = report.node_errors["1"]["errors"][0]
    assert problem["details"] == "name: 'x' not in (list of length 21)"
    assert problem["extra_info"]["input_config"] is None


def test_an_error_far_upstream_names_the_output(registry: Registry) -> None:
    prompt = {
        "1": {"class_type": "LabWord", "inputs": {}},
        "2": {"class_type": "LabWord", "inputs": {"text": ["1", 0]}},
        **output(text=["2", 0]),
    }
    report = validate(prompt, registry)
    assert list(report.node_errors) == ["1"]
    assert report.node_errors["1"]["dependent_outputs"] == ["o"]
    assert report.error is not None and report.error["details"] == ""


def test_a_missing_node_upstream_is_an_inner_exception(registry: Registry) -> None:
    prompt = {"2": {"class_type": "LabWord", "inputs": {"text": ["99", 0]}}, **output(text=["2", 0])}
    report = validate(prompt, registry)
    problem = report.node_errors["2"]["errors"][0]
    assert problem["type"] == "exception_during_inner_validation"
    assert problem["extra_info"]["exception_type"] == "KeyError"


@pytest.mark.parametrize("length", [1, 2, 500])
def test_cycles_of_any_length(length: int, registry: Registry) -> None:
    prompt = {str(i): {"class_type": "LabWord", "inputs": {"text": [str((i + 1) % length), 0]}} for i in range(length)}
    report = validate({**prompt, **output(text=["0", 0])}, registry)
    assert {problem["type"] for entry in report.node_errors.values() for problem in entry["errors"]} == {
        "dependency_cycle"
    }
    assert len(report.node_errors) == length


@pytest.mark.parametrize(
    ("choices", "value", "chosen"),
    [
        (["a/x.bin", "b"], "a\\x.bin", "a/x.bin"),
        (["a\\x.bin", "b"], "a/x.bin", "a\\x.bin"),
        (["a/x.bin", "a\\x.bin"], "a\\x.bin", "a\\x.bin"),
        (["a/x.bin"], "x.bin", None),
    ],
)
def test_a_choice_may_be_spelled_with_the_slashes_of_another_system(choices: Any, value: str, chosen: Any) -> None:
    class Chooser:
        RETURN_TYPES = ()
        OUTPUT_NODE = True
        FUNCTION = "run"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"file": (choices, {})}}

    prompt = {"1": {"class_type": "Chooser", "inputs": {"file": value}}}
    registry = Registry([Pack("p", {"Chooser": Chooser}, {})])
    sent = parse_workflow(prompt, registry.definitions()).queued()
    report = validate(prompt, registry)
    assert (report.error is None) == (chosen is not None)
    if chosen is not None:
        assert prompt["1"]["inputs"]["file"] == chosen == sent["1"]["inputs"]["file"]


def test_too_many_nodes(registry: Registry) -> None:
    prompt = {str(i): {"class_type": "LabWord", "inputs": {"text": ""}} for i in range(10_000)}
    report = validate(prompt, registry)
    assert report.error is not None and report.error["type"] == "prompt_too_large"


@pytest.mark.parametrize(
    ("received", "wanted", "fits"),
    [
        ("AUDIO", "AUDIO", True),
        ("AUDIO", "LATENT", False),
        ("*", "AUDIO", True),
        ("AUDIO", "*", True),
        ("STRING,INT", "FLOAT,INT", True),
        ("STRING, INT", "FLOAT", False),
        (["a", "b"], "COMBO", True),
        (["a"], ["a"], True),
        ("STRING", ["a"], False),
    ],
)
def test_which_outputs_fit_which_inputs(received: Any, wanted: Any, fits: bool) -> None:
    assert types_match(received, wanted) is fits


_IDS = st.sampled_from(["1", "2", "3", "4", "missing", ""])
_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_VALUES = _JUNK | st.tuples(_IDS, st.integers(-2, 3)).map(list) | st.sampled_from(["base", "auto", "a", 1, 0.5, True])
_NAMES = st.sampled_from(
    [
        "format",
        "format.quality",
        "text",
        "tail",
        "audio",
        "model",
        "seconds",
        "which",
        "yes",
        "no",
        "name",
        "value",
        "source",
    ]
)
_TYPES = st.sampled_from(
    [
        *("LabText", "LabWord", "LabTone", "LabLoad", "LabSwitch", "LabError", "LabWords", "LabJoin", "LabAlways"),
        *("LoadAudio", "PreviewAudio", "SaveAudioMP3", "PreviewAny", "PrimitiveInt", "Nope"),
        *("SaveAudioAdvanced", "AudioMerge"),
    ]
)
NODES = (
    st.fixed_dictionaries({"class_type": _TYPES | _JUNK, "inputs": st.dictionaries(_NAMES, _VALUES) | _JUNK}) | _JUNK
)
PROMPTS = st.dictionaries(_IDS, NODES, max_size=5)


@settings(max_examples=300)
@given(prompt=PROMPTS | _JUNK, targets=st.none() | st.lists(_IDS))
def test_any_json_is_reported_not_raised(prompt: Any, targets: Any) -> None:
    report = validate(prompt, _REGISTRY, targets)
    assert (report.error is None) == bool(report.outputs)


_REGISTRY = Registry([*stock_nodes.PACKS, load_pack(LAB_PACK)])


@pytest.mark.parametrize(
    ("kind", "value", "options", "wanted"),
    [
        ("INT", "8.0", {}, 8),
        ("INT", 8.9, {}, 8),
        ("INT", True, {}, 1),
        ("FLOAT", "3:20", {}, 200.0),
        ("FLOAT", "7,5", {}, 7.5),
        ("INT", "auto", {"empty": 0, "min": 0}, 0),
        ("INT", -1, {"empty": 0, "min": 0}, 0),
        ("FLOAT", -1, {"empty": 0.0, "min": -5.0}, -1.0),
        ("FLOAT", "0", {"empty": -1.0, "min": -1.0}, 0.0),
        ("BOOLEAN", "false", {}, False),
        ("BOOLEAN", "anything", {}, True),
        ("STRING", 5, {}, "5"),
    ],
)
def test_literals_as_people_write_them(kind: str, value: Any, options: dict[str, Any], wanted: Any) -> None:
    found = literal(value, kind, options)
    assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize(("kind", "value"), [("INT", "auto"), ("INT", "1.5"), ("FLOAT", "nan"), ("FLOAT", "fast")])
def test_literals_that_are_none(kind: str, value: Any) -> None:
    with pytest.raises(ValueError):
        literal(value, kind, {"min": 0})


def test_choices_of_another_system_are_known_by_their_slashes() -> None:
    choices = ["ACE15/x.safetensors", "b"]
    assert chosen("ACE15\\x.safetensors", choices) == "ACE15/x.safetensors"
    assert chosen("ACE15/x.safetensors", ["ACE15\\x.safetensors"]) == "ACE15\\x.safetensors"
    assert chosen("B", choices) == "B" and chosen("B", choices, any_case=True) == "b"
    assert chosen("c", choices) == "c" and chosen(3, choices) == 3
