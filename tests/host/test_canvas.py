"""Canvas workflows become prompts as the frontend would make them. tests/canvas compares with the frontend itself."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_core.errors import GraphError, InvalidInput
from acestep_core.host.graph import stock_nodes, wire
from acestep_core.host.graph.packs import Registry, load_pack
from acestep_core.host.graph.wire import MAX_NODES, MAX_OBJECTS
from acestep_core.host.graph.workflow import load_workflow, parse_workflow
from tests.host.lab_site import LAB_PACK

DEFINITIONS = Registry([*stock_nodes.PACKS, load_pack(LAB_PACK)]).definitions()


def socket(name: str, kind: str = "STRING", link: int | None = None, widget: bool = False) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": kind, "link": link}
    return {**entry, "widget": {"name": name}} if widget else entry


def node(node_id: int, kind: str, inputs: list[Any] = [], values: Any = None, mode: int = 0, **more: Any) -> Any:  # noqa: B006
    outputs = more.pop("outputs", [{"name": "out", "type": "STRING", "links": []}])
    found = {"id": node_id, "type": kind, "inputs": inputs, "outputs": outputs, "mode": mode, **more}
    return found if values is None else {**found, "widgets_values": values}


def canvas(nodes: list[Any], links: list[Any], **more: Any) -> dict[str, Any]:
    return {"nodes": nodes, "links": links, "version": 0.4, **more}


def prompt_of(data: Any) -> dict[str, Any]:
    return parse_workflow(data, DEFINITIONS).prompt


def inputs_of(data: Any, node_id: str) -> dict[str, Any]:
    return prompt_of(data)[node_id]["inputs"]


SHOW = node(9, "LabText", [socket("text", link=90)])


def test_the_example_of_the_lab_pack() -> None:
    data = json.loads((LAB_PACK / "example_workflows" / "lab_basic.json").read_text())
    prompt = prompt_of(data)
    assert prompt["2"] == {
        "inputs": {
            "model": ["1", 0],
            "seconds": 1.0,
            "freq": 440.0,
            "seed": 5,
            "steps": 4,
            "instrumental": False,
            "caption": "a calm tone",
            "batch": 1,
        },
        "class_type": "LabTone",
        "_meta": {"title": "Tone"},
    }
    assert prompt["3"]["inputs"] == {"audio": ["2", 0], "filename_prefix": "audio/lab"}


def test_a_muted_node_takes_its_link_with_it() -> None:
    nodes = [node(1, "LabWord", values=["x"], mode=2), SHOW]
    assert prompt_of(canvas(nodes, [[90, 1, 0, 9, 0, "STRING"]])) == {
        "9": {"inputs": {}, "class_type": "LabText", "_meta": {"title": "LabText"}}
    }


def test_a_bypassed_node_hands_through_what_fits() -> None:
    nodes = [
        node(1, "LabWord", values=["x"]),
        node(2, "LabWord", [socket("tail", link=11, widget=True)], ["y"], mode=4),
        SHOW,
    ]
    links = [[11, 1, 0, 2, 0, "STRING"], [90, 2, 0, 9, 0, "STRING"]]
    assert inputs_of(canvas(nodes, links), "9") == {"text": ["1", 0]}
    assert "2" not in prompt_of(canvas(nodes, links))


def test_a_bypassed_node_without_a_fitting_input_ends_the_link() -> None:
    nodes = [
        node(1, "LabLoad", values=["base", "auto"]),
        node(2, "LabWord", [socket("m", "LAB_MODEL", 11)], mode=4),
        SHOW,
    ]
    links = [[11, 1, 0, 2, 0, "LAB_MODEL"], [90, 2, 0, 9, 0, "STRING"]]
    assert inputs_of(canvas(nodes, links), "9") == {}


def test_reroutes_vanish() -> None:
    nodes = [
        node(1, "LabWord", values=["x"]),
        node(2, "Reroute", [socket("", "*", 11)]),
        node(3, "Reroute", [socket("", "*", 12)]),
        SHOW,
    ]
    links = [[11, 1, 0, 2, 0, "*"], [12, 2, 0, 3, 0, "*"], [90, 3, 0, 9, 0, "*"]]
    assert inputs_of(canvas(nodes, links), "9") == {"text": ["1", 0]}


def test_primitives_become_values() -> None:
    nodes = [
        node(1, "PrimitiveNode", values=["from afar", "fixed"]),
        node(2, "LabWord", [socket("text", link=11, widget=True)], ["old"]),
    ]
    assert inputs_of(canvas(nodes, [[11, 1, 0, 2, 0, "STRING"]]), "2")["text"] == "from afar"


def test_notes_are_no_nodes() -> None:
    assert prompt_of(canvas([node(1, "Note", values=["hi"]), node(2, "MarkdownNote", values=["hi"])], [])) == {}


def test_a_widget_turned_into_a_socket_keeps_its_place() -> None:
    nodes = [
        node(1, "LabWord", values=["x"]),
        node(2, "LabAsync", [socket("text", link=11, widget=True)], ["old", 2.5]),
    ]
    assert inputs_of(canvas(nodes, [[11, 1, 0, 2, 0, "STRING"]]), "2") == {"text": ["1", 0], "seconds": 2.5}


def test_values_by_name() -> None:
    found = inputs_of(canvas([node(1, "LabAsync", values={"seconds": 3, "text": "a"})], []), "1")
    assert found == {"text": "a", "seconds": 3}
    both = node(1, "LabAsync", values=["old", 1], widgets_values_named={"text": "new", "seconds": 2})
    assert inputs_of(canvas([both], []), "1") == {"text": "new", "seconds": 2}


def test_missing_values_take_their_defaults() -> None:
    assert inputs_of(canvas([node(1, "LabAsync", values=["a"])], []), "1") == {"text": "a", "seconds": 0.1}
    assert inputs_of(canvas([node(1, "LabLoad")], []), "1") == {"name": "base", "dtype": "auto"}


def test_lists_are_wrapped() -> None:
    assert inputs_of(canvas([node(1, "LabWord", values=[["a", "b"], ""])], []), "1")["text"] == {
        "__value__": ["a", "b"]
    }


SUBGRAPH = {
    "id": "sub-1",
    "inputs": [{"name": "tail", "type": "STRING"}, {"name": "text", "type": "STRING"}],
    "nodes": [
        node(
            11, "LabWord", [socket("tail", link=32, widget=True), socket("text", link=33, widget=True)], ["inner", "t"]
        ),
        node(12, "LabWord", [socket("text", link=34, widget=True)], ["", ""]),
    ],
    "links": [
        {"id": 32, "origin_id": -10, "origin_slot": 0, "target_id": 11, "target_slot": 0, "type": "STRING"},
        {"id": 33, "origin_id": -10, "origin_slot": 1, "target_id": 11, "target_slot": 1, "type": "STRING"},
        {"id": 34, "origin_id": 11, "origin_slot": 0, "target_id": 12, "target_slot": 0, "type": "STRING"},
        {"id": 35, "origin_id": 12, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "STRING"},
    ],
}


def with_subgraph(mode: int = 0, **user: Any) -> dict[str, Any]:
    nodes = [
        node(1, "LabWord", values=["outer", ""]),
        node(5, "sub-1", [socket("tail", link=20, widget=True)], mode=mode, **user),
        SHOW,
    ]
    links = [[20, 1, 0, 5, 0, "STRING"], [90, 5, 0, 9, 0, "STRING"]]
    return copy.deepcopy(canvas(nodes, links, definitions={"subgraphs": [SUBGRAPH]}))


def test_subgraphs_are_unfolded() -> None:
    prompt = prompt_of(with_subgraph())
    assert set(prompt) == {"1", "5:11", "5:12", "9"}
    assert prompt["5:11"]["inputs"] == {"text": "inner", "tail": ["1", 0]}
    assert prompt["5:12"]["inputs"]["text"] == ["5:11", 0]
    assert prompt["9"]["inputs"] == {"text": ["5:12", 0]}


@pytest.mark.parametrize(
    "user",
    [
        {"values": ["unused", "shown"]},
        {"values": ["unused", "shown"], "widgets_values_named": {"tail": "unused", "text": "shown"}},
    ],
)
def test_a_subgraphs_own_widgets_count(user: dict[str, Any]) -> None:
    data = with_subgraph(**user)
    assert inputs_of(data, "5:11") == {"text": "shown", "tail": ["1", 0]}
    changed = parse_workflow(data, DEFINITIONS).with_inputs({"5:11.text": "new"})
    assert changed.canvas is not None and parse_workflow(changed.canvas, DEFINITIONS).prompt == changed.prompt


@pytest.mark.parametrize("mode", [2, 4])
def test_a_subgraph_that_is_off_is_off_with_all_it_holds(mode: int) -> None:
    prompt = prompt_of(with_subgraph(mode))
    assert set(prompt) == {"1", "9"}
    assert prompt["9"]["inputs"] == ({} if mode == 2 else {"text": ["1", 0]})


LINKED = [[90, 1, 0, 9, 0, "STRING"]]


def refusal_of(*kinds: str, **more: Any) -> str:
    nodes = [node(number, kind, **more) for number, kind in enumerate(kinds, 1)]
    sinks = [node(100 + number, "LabText", [socket("text", link=number)]) for number in range(1, len(kinds) + 1)]
    links = [[number, number, 0, 100 + number, 0, "STRING"] for number in range(1, len(kinds) + 1)]
    with pytest.raises(GraphError) as caught:
        prompt_of(canvas([*nodes, *sinks], links))
    return str(caught.value)


def test_all_unknown_types_are_named_at_once() -> None:
    text = refusal_of("Elsewhere", "Nowhere", "Elsewhere", properties={"cnr_id": "some-pack"})
    assert text.count("'Elsewhere' (some-pack)") == 1 and "'Nowhere'" in text and "install the packs" in text
    with pytest.raises(GraphError, match="'Elsewhere', 'Nowhere'"):
        prompt_of({str(i): {"class_type": kind, "inputs": {}} for i, kind in enumerate(["Elsewhere", "Nowhere"])})


def test_nodes_of_comfyui_itself_are_called_so() -> None:
    text = refusal_of("UNETLoader", "KSampler")
    assert "'UNETLoader', 'KSampler' of ComfyUI itself" in text and "install" not in text
    assert "'Later' of ComfyUI itself" in refusal_of("Later", properties={"cnr_id": "comfy-core"})
    mixed = refusal_of("UNETLoader", "Elsewhere")
    assert "'UNETLoader' of ComfyUI itself" in mixed and "'Elsewhere', which are not installed" in mixed
    with pytest.raises(GraphError, match="of ComfyUI itself"):
        prompt_of(canvas([node(1, "UNETLoader")], []))


def test_what_no_pack_brings_is_not_to_be_installed() -> None:
    groups, lost = refusal_of("workflow>mine"), refusal_of("510f6b52-34ee-40dd-b532-475497dee41b")
    assert "'workflow>mine', which are groups of nodes" in groups and "install" not in groups
    assert "which are subgraphs that the file does not hold" in lost and "install" not in lost


def test_a_workflow_of_nothing_but_an_unknown_node_is_no_empty_one() -> None:
    with pytest.raises(GraphError, match="'Elsewhere'"):
        prompt_of(canvas([node(1, "Elsewhere")], []))


@pytest.mark.parametrize(
    "kind", ["Bookmark (rgthree)", "Label (rgthree)", "Something that draws", "SetNode", "Fast Muter (rgthree)"]
)
def test_what_exists_on_the_canvas_only_is_left_out(kind: str) -> None:
    nodes = [node(1, "LabWord", values=["x"]), SHOW, node(50, kind, values=["1", 1])]
    assert set(prompt_of(canvas(nodes, LINKED))) == {"1", "9"}


def test_what_mutes_others_is_left_out_though_wired() -> None:
    muter = node(50, "Fast Muter (rgthree)", [socket("text", "*", 91)], outputs=[{"name": "OPT_CONNECTION"}])
    repeater = node(51, "Mute / Bypass Repeater (rgthree)", [socket("", "*", 92)])
    links = [*LINKED, [91, 1, 0, 50, 0, "STRING"], [92, 50, 0, 51, 0, "*"]]
    assert set(prompt_of(canvas([node(1, "LabWord", values=["x"]), SHOW, muter, repeater], links))) == {"1", "9"}


@pytest.mark.parametrize("kind", ["Reroute (rgthree)", "ReroutePrimitive|pysssss", "JWReroute"])
def test_reroutes_of_packs_vanish(kind: str) -> None:
    nodes = [node(1, "LabWord", values=["x"]), node(2, kind, [socket("", "*", 11)]), SHOW]
    assert prompt_of(canvas(nodes, [[11, 1, 0, 2, 0, "*"], [90, 2, 0, 9, 0, "*"]]))["9"]["inputs"] == {"text": ["1", 0]}


@pytest.mark.parametrize(("setter", "getter"), [("SetNode", "GetNode"), ("easy setNode", "easy getNode")])
def test_what_is_set_by_name_can_be_got_by_name(setter: str, getter: str) -> None:
    nodes = [
        node(1, "LabWord", values=["x"]),
        node(2, setter, [socket("STRING", link=11)], ["it"]),
        node(3, setter, [socket("STRING")], ["other"]),
        node(4, getter, values=["it"]),
        SHOW,
    ]
    links = [[11, 1, 0, 2, 0, "STRING"], [90, 4, 0, 9, 0, "STRING"]]
    assert inputs_of(canvas(nodes, links), "9") == {"text": ["1", 0]}
    through = [[11, 1, 0, 2, 0, "STRING"], [90, 2, 0, 9, 0, "STRING"]]  # the setter hands it on as well
    assert inputs_of(canvas(nodes, through), "9") == {"text": ["1", 0]}
    nodes[1]["widgets_values"] = ["renamed"]
    with pytest.raises(GraphError, match="gets 'it' by name"):
        prompt_of(canvas(nodes, links))


def test_a_subgraph_gets_what_the_workflow_sets() -> None:
    inner = {
        "id": "sub",
        "inputs": [],
        "nodes": [node(7, "GetNode", values=["it"]), node(8, "LabText", [socket("text", link=1)])],
        "links": [[1, 7, 0, 8, 0, "STRING"]],
    }
    nodes = [
        node(1, "LabWord", values=["x"]),
        node(2, "SetNode", [socket("STRING", link=11)], ["it"]),
        node(5, "sub", outputs=[]),
    ]
    data = canvas(nodes, [[11, 1, 0, 2, 0, "STRING"]], definitions={"subgraphs": [inner]})
    assert inputs_of(data, "5:8") == {"text": ["1", 0]}


def test_graphs_too_large_are_refused(tmp_path: Path) -> None:
    huge = [node(number, "LabWord") for number in range(MAX_NODES + 1)]
    many = {str(number): {"class_type": "LabWord", "inputs": {}} for number in range(MAX_NODES + 1)}
    # each graph holds the one below twice: 2^40 nodes from a file of a few kilobytes
    doubling = [
        {"id": f"s{i}", "inputs": [], "links": [], "nodes": [node(1, f"s{i + 1}"), node(2, f"s{i + 1}")]}
        for i in range(40)
    ]
    doubling.append({"id": "s40", "inputs": [], "links": [], "nodes": []})
    nested = canvas([node(1, "s0")], [], definitions={"subgraphs": doubling})
    for data in (canvas(huge, []), many, nested, canvas(huge * 11, [])):
        with pytest.raises(GraphError, match=f"more than {MAX_NODES} nodes"):
            prompt_of(data)
    file = tmp_path / "huge.json"
    file.write_text("[" + "{}," * MAX_OBJECTS + "{}")  # would not even parse
    with pytest.raises(GraphError, match=f"more than {MAX_NODES} nodes"):
        load_workflow(file, DEFINITIONS)
    with pytest.raises(InvalidInput, match="objects"):
        wire.loads(file.read_bytes())


@pytest.mark.parametrize(
    "data",
    [
        {"nodes": [3], "links": []},
        {"nodes": [{"id": 1}], "links": []},
        {"nodes": [], "links": [[1]]},
        {
            "nodes": [node(1, "Reroute", [socket("", "*", 1)]), SHOW],
            "links": [[1, 1, 0, 1, 0, "*"], [90, 1, 0, 9, 0, "*"]],
        },
        {"nodes": [node(1, "a")], "links": [], "definitions": {"subgraphs": [{"id": "a", "nodes": [node(1, "a")]}]}},
        {"nodes": [SHOW], "links": [[90, 77, 0, 9, 0, "STRING"]]},
        {},
        {"1": {"class_type": "LabWord"}},
        {"1": 3},
        [],
        "x",
    ],
)
def test_malformed_files_are_refused(data: Any) -> None:
    with pytest.raises(GraphError):
        parse_workflow(data, DEFINITIONS)


_JUNK = st.recursive(st.none() | st.integers() | st.text(max_size=4), lambda i: st.lists(i, max_size=3), max_leaves=5)


@settings(max_examples=200)
@given(data=st.data())
def test_damaged_files_are_refused_or_read(data: st.DataObject) -> None:
    """Replaces one value anywhere in a file by rubbish."""
    damaged = with_subgraph()
    holder: Any = damaged
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            holder[key] = data.draw(_JUNK)
            break
        holder = holder[key]
    try:
        parse_workflow(damaged, DEFINITIONS)
    except GraphError as error:
        assert str(error).endswith(".")
