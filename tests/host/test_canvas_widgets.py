"""The widget values of saved nodes get their names: by position, by name, and from what a subgraph shows outside."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from acestep_core.errors import GraphError
from acestep_core.host.graph.canvas import convert
from acestep_core.host.graph.workflow import parse_workflow
from tests.host.test_canvas import canvas, node, socket


def combo(*choices: str, **more: Any) -> list[Any]:
    return ["COMBO", {"options": list(choices), **more}]


def define(required: dict[str, Any], optional: dict[str, Any] | None = None, output: Sequence[str] = ()) -> Any:
    return {"input": {"required": required, "optional": optional or {}}, "output": list(output), "display_name": None}


SEED = ["INT", {"default": 0, "control_after_generate": True}]
FORMATS = [
    {"key": "flac", "inputs": {"required": {}}},
    {"key": "mp3", "inputs": {"required": {"quality": combo("V0", "128k")}, "optional": {"joint": ["BOOLEAN", {}]}}},
    {"key": "more", "inputs": {"required": {"kind": ["COMFY_DYNAMICCOMBO_V3", {"options": [
        {"key": "deep", "inputs": {"required": {"level": ["INT", {"default": 3}], "with": ["AUDIO", {}]}}}
    ]}]}}},
]  # fmt: skip
DEFINITIONS = {
    "Sampler": define(
        {
            "model": ["MODEL", {}],
            "seed": SEED,
            "steps": ["INT", {"default": 20}],
            "cfg": ["FLOAT", {"default": 8.0}],
            "name": combo("euler", "heun"),
        }
    ),
    "Switches": define({"seed": SEED, "first": ["BOOLEAN", {}], "second": ["BOOLEAN", {}], "last": ["STRING", {}]}),
    "Chooser": define({"style": combo("a", "b", control_after_generate=True), "count": ["INT", {"default": 1}]}),
    "Save": define(
        {"audio": ["AUDIO", {}], "prefix": ["STRING", {}], "format": ["COMFY_DYNAMICCOMBO_V3", {"options": FORMATS}]},
        {"seed": SEED, "name": ["STRING", {"default": "n"}]},
    ),
    "Grow": define(
        {
            "songs": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"a": ["AUDIO", {}]}}, "prefix": "a"}}],
            "gains": [
                "COMFY_AUTOGROW_V3",
                {"template": {"input": {"required": {"g": ["FLOAT", {"default": 1.0}]}}, "prefix": "g", "min": 2}},
            ],
            "same": ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "t", "allowed_types": "*"}}],
            "name": ["STRING", {"default": "n"}],
        }
    ),
    "Named": define(
        {
            "words": [
                "COMFY_AUTOGROW_V3",
                {
                    "template": {
                        "input": {"required": {"w": ["STRING", {"default": ""}]}},
                        "names": ["one", "two", "six"],
                    }
                },
            ],
            "name": ["STRING", {"default": "n"}],
        }
    ),
    "Strange": define({"text": ["STRING", {}], "shape": ["PACK_SHAPE", {}], "number": ["INT", {"default": 0}]}),
    "StrangeDefault": define({"shape": ["PACK_SHAPE", {"default": [0]}], "number": ["INT", {"default": 0}]}),
    "StrangeLast": define({"text": ["STRING", {}], "shape": ["PACK_SHAPE", {"default": {"x": 0}}]}),
    "Words": define(
        {
            "caption": ["STRING", {}],
            "lyrics": ["STRING", {}],
            "seed": SEED,
            "meter": combo("2", "3", "4", "6"),
            "language": combo("en", "ja", "de"),
        },
        output=["SONG"],
    ),
    "Sink": define({"song": ["SONG", {}]}),
}


def inputs_of(kind: str, values: Any, inputs: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    data = canvas([node(1, kind, list(inputs), values, outputs=[], **more)], [])
    return convert(data, DEFINITIONS).prompt["1"]["inputs"]


@pytest.mark.parametrize("control", [["fixed"], ["randomize"], [None], [True], [False], []])
def test_what_stands_behind_a_seed_is_no_value(control: list[Any]) -> None:
    found = inputs_of("Sampler", [42, *control, 8, 1.5, "heun"], [socket("model", "MODEL")])
    assert found == {"seed": 42, "steps": 8, "cfg": 1.5, "name": "heun"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7, True, False, "x"], (True, False, "x")),
        ([7, "fixed", True, False, "x"], (True, False, "x")),
        ([7, True, True, False, "x"], (True, False, "x")),
        ([7, None, True, False, "x"], (True, False, "x")),
        ([7, False, True], (False, True, "")),
    ],
)
def test_switches_behind_a_seed_keep_their_values(values: list[Any], expected: tuple[Any, ...]) -> None:
    found = inputs_of("Switches", values)
    assert (found["seed"], found["first"], found["second"], found["last"]) == (7, *expected)


@pytest.mark.parametrize("behind", [["fixed", ""], ["fixed"], ["increment-wrap", ""]])
def test_a_choice_that_changes_after_each_run_has_a_filter_too(behind: list[str]) -> None:
    assert inputs_of("Chooser", ["b", *behind, 5]) == {"style": "b", "count": 5}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["p", "flac", 7, "fixed", "x"], {"format": "flac"}),
        (
            ["p", "mp3", "V0", True, 7, "fixed", "x"],
            {"format": "mp3", "format.quality": "V0", "format.joint": True},
        ),
        (["p", "more", "deep", 9, 7, "fixed", "x"], {"format": "more", "format.kind": "deep", "format.kind.level": 9}),
    ],
)
def test_a_dynamic_choice_brings_its_own_widgets(values: list[Any], expected: dict[str, Any]) -> None:
    audio = [socket("audio", "AUDIO")]
    assert inputs_of("Save", values, audio) == {"prefix": "p", **expected, "seed": 7, "name": "x"}
    named = {"prefix": "p", **expected, "seed": 7, "name": "x"}
    assert inputs_of("Save", None, audio, widgets_values_named=named) == named
    assert inputs_of("Save", named, audio) == named


def test_a_dynamic_choice_without_a_value_is_its_first() -> None:
    assert inputs_of("Save", ["p"], [socket("audio", "AUDIO")]) == {
        "prefix": "p", "format": "flac", "seed": 0, "name": "n",
    }  # fmt: skip


def test_links_reach_the_parts_of_dynamic_inputs() -> None:
    sockets = [
        socket("format.quality", "COMBO", 5, widget=True),
        socket("format.with", "AUDIO", 6),
        socket("no", "X", 7),
    ]
    nodes = [node(2, "Words", values=["c"]), node(1, "Save", sockets, ["p", "mp3", "V0", False, 1, "fixed", "x"])]
    links = [[i, 2, 0, 1, at, "X"] for at, i in enumerate((5, 6, 7))]
    found = convert(canvas(nodes, links), DEFINITIONS).prompt["1"]["inputs"]
    assert (found["format.quality"], found["format.with"], found["name"]) == (["2", 0], ["2", 0], "x")
    assert "no" not in found


def test_inputs_that_grow_have_the_widgets_that_the_file_lists() -> None:
    audio = [socket("songs.a0", "AUDIO"), socket("songs.a1", "AUDIO"), socket("same", "*")]
    assert inputs_of("Grow", [0.5, 0.25, "x"], audio) == {"gains.g0": 0.5, "gains.g1": 0.25, "name": "x"}
    gains = [socket(f"gains.g{i}", "FLOAT", widget=True) for i in range(3)]
    found = inputs_of("Grow", [0.5, 0.25, 0.125, "x"], [*audio, *gains])
    assert found == {"gains.g0": 0.5, "gains.g1": 0.25, "gains.g2": 0.125, "name": "x"}
    assert inputs_of("Named", ["a", "x"]) == {"words.one": "a", "name": "x"}
    listed = [socket(f"words.{name}", widget=True) for name in ("one", "two")]
    assert inputs_of("Named", ["a", "b", "x"], listed) == {"words.one": "a", "words.two": "b", "name": "x"}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("Strange", ["t", {"x": 1}, 5]),
        ("StrangeDefault", [[1], 5]),
        ("Strange", ["t", 1, 2, 5]),
        ("StrangeDefault", [5]),
    ],
)
def test_values_behind_a_widget_of_unknown_type_are_refused(kind: str, values: list[Any]) -> None:
    with pytest.raises(GraphError, match="unknown type 'PACK_SHAPE'"):
        inputs_of(kind, values)


def test_values_that_an_unknown_widget_cannot_shift_are_read() -> None:
    assert inputs_of("StrangeLast", ["t", {"x": 1}]) == {"text": "t", "shape": {"x": 1}}
    assert inputs_of("StrangeLast", ["t"]) == {"text": "t", "shape": {"x": 0}}
    assert inputs_of("Strange", ["t", 5], [socket("shape", "PACK_SHAPE")]) == {"text": "t", "number": 5}
    assert inputs_of("Strange", ["t", 5]) == {"text": "t", "number": 5}  # a socket that the file does not list
    named = {"text": "t", "shape": {"x": 1}, "number": 5}
    assert inputs_of("Strange", ["t", {"x": 1}, 5], widgets_values_named=named) == named


def test_both_forms_of_values_are_changed() -> None:
    data = canvas([node(1, "Sampler", [socket("model", "MODEL")], [1, "fixed", 2, 3.0, "euler"])], [])
    data["nodes"][0]["widgets_values_named"] = {"seed": 1, "steps": 2, "cfg": 3.0, "name": "euler"}
    changed = parse_workflow(data, DEFINITIONS).with_inputs({"1.steps": 9}).canvas
    assert changed is not None
    assert changed["nodes"][0]["widgets_values"] == [1, "fixed", 9, 3.0, "euler"]
    assert changed["nodes"][0]["widgets_values_named"]["steps"] == 9


# -- widgets that a subgraph shows on its outside ----------------------------------------------------------------------

ORDER = ("caption", "lyrics", "meter", "language")
TURNED = ("caption", "lyrics", "language", "meter")
CONTROL = ["94", "control_after_generate"]
INNER = node(
    94,
    "Words",
    [socket(name, link=i, widget=True) for i, name in enumerate(ORDER, 1)],
    ["in-c", "in-l", 7, "fixed", "3", "ja"],
    outputs=[{"name": "SONG", "type": "SONG"}],
)
GRAPH = {
    "id": "S",
    "nodes": [INNER],
    "inputs": [{"name": name, "type": "STRING"} for name in ORDER],
    "links": [
        *([i, -10, i - 1, 94, i - 1, "STRING"] for i in range(1, 5)),
        [9, 94, 0, -20, 0, "SONG"],
    ],
}
SONG = {"name": "SONG", "type": "SONG"}


def user(
    values: Any, proxies: Any, node_id: int = 21, kind: str = "S", names: Sequence[str] = ORDER, **more: Any
) -> Any:
    properties = {} if proxies is None else {"proxyWidgets": proxies}
    sockets = [socket(name, widget=True) for name in names]
    return node(node_id, kind, sockets, values, outputs=[SONG], properties=properties)


def shown(values: Any, proxies: Any) -> Any:
    nodes = [user(values, proxies), node(2, "Sink", [socket("song", "SONG", 1)], outputs=[])]
    return copy.deepcopy(canvas(nodes, [[1, 21, 0, 2, 0, "SONG"]], definitions={"subgraphs": [GRAPH]}))


def words(data: Any, node_id: str = "21:94") -> tuple[Any, ...]:
    inputs = convert(data, DEFINITIONS).prompt[node_id]["inputs"]
    return tuple(inputs[name] for name in (*ORDER, "seed"))


@pytest.mark.parametrize(
    ("values", "proxies", "expected"),
    [
        (["C", "L", "de", "6"], [["-1", name] for name in TURNED], ("C", "L", "6", "de", 7)),
        (["6", "C"], [["-1", "meter"], ["94", "caption"]], ("C", "in-l", "6", "ja", 7)),
        (["C", 5, "fixed"], [["-1", "caption"], ["94", "seed"], CONTROL], ("C", "in-l", "3", "ja", 5)),
        ([None, None, "6"], [["-1", "caption"], ["94", "seed"], ["-1", "meter"]], ("in-c", "in-l", "6", "ja", 7)),
        ([], [["94", "caption"], ["94", "seed"]], ("in-c", "in-l", "3", "ja", 7)),
        (["", "L"], [["-1", "caption"], ["-1", "lyrics"]], ("", "L", "3", "ja", 7)),
        (["de", "C"], '[["-1", "language"], ["-1", "caption"]]', ("C", "in-l", "3", "de", 7)),
        (["C", "L", "6", "de"], [], ("C", "L", "6", "de", 7)),
        (["C", "L", "6", "de"], None, ("C", "L", "6", "de", 7)),
        (["C", None, "6"], None, ("C", "in-l", "6", "ja", 7)),
        ({"caption": "C", "meter": "6"}, None, ("C", "in-l", "6", "ja", 7)),
    ],
)  # fmt: skip
def test_promoted_widgets_stand_in_the_order_of_their_list(
    values: Any, proxies: Any, expected: tuple[Any, ...]
) -> None:
    assert words(shown(values, proxies)) == expected


def test_each_use_of_a_subgraph_has_its_own_values() -> None:
    data = shown(["A", 1], [["-1", "caption"], ["94", "seed"]])
    data["nodes"].append(user(["B", 2], [["94", "caption"], ["94", "seed"]], node_id=22))
    assert words(data)[::4] == ("A", 1) and words(data, "22:94")[::4] == ("B", 2)
    changed = parse_workflow(data, DEFINITIONS).with_inputs({"21:94.seed": 3, "21:94.caption": "N"}).canvas
    assert words(changed)[::4] == ("N", 3) and words(changed, "22:94")[::4] == ("B", 2)


def test_a_primitive_inside_is_promoted_too() -> None:
    graph = copy.deepcopy(GRAPH)
    graph["nodes"].append(node(102, "PrimitiveNode", values=["prim", "fixed"]))
    graph["links"][0] = [1, 102, 0, 94, 0, "STRING"]
    data = shown(["OUT", "fixed"], [["102", "value"], ["102", "control_after_generate"]])
    data["definitions"]["subgraphs"] = [graph]
    assert words(data)[0] == "OUT"
    data["nodes"][0]["widgets_values"] = [None, None]
    assert words(data)[0] == "prim"


@pytest.mark.parametrize(
    ("values", "proxies", "expected"),
    [
        (["OUT"], [["21", "caption"]], "OUT"),
        (["OUT"], [["21", "94: caption"]], "OUT"),
        (["OUT"], [["21", "caption", "94"]], "OUT"),
        ([None], [["21", "caption"]], "mid"),
        ([], [], "mid"),
    ],
)
def test_the_outermost_of_nested_subgraphs_counts(values: Any, proxies: Any, expected: str) -> None:
    outer = {
        "id": "O",
        "nodes": [user(["mid"], [["-1", "caption"]])],
        "inputs": [],
        "links": [[1, 21, 0, -20, 0, "SONG"]],
    }
    nodes = [user(values, proxies, 30, "O", ()), node(2, "Sink", [socket("song", "SONG", 1)], outputs=[])]
    data = canvas(nodes, [[1, 30, 0, 2, 0, "SONG"]], definitions={"subgraphs": [outer, GRAPH]})
    assert words(data, "30:21:94")[0] == expected
    direct = copy.deepcopy(data)  # the same without an input between the two
    direct["definitions"]["subgraphs"][0]["nodes"][0]["properties"]["proxyWidgets"] = [["94", "seed"]]
    direct["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"] = [5]
    direct["nodes"][0] |= {"widgets_values": [6], "properties": {"proxyWidgets": [["21", "94: seed"]]}}
    assert words(direct, "30:21:94")[4] == 6
