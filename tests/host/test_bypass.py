"""Nodes that are switched off on the canvas: every one that takes and gives one type hands it on when it is bypassed,
by the frontend's rule, and takes its links with it when it is muted.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from acestep_core.errors import GraphError
from acestep_core.host.graph.context import Folders, hosting
from acestep_core.host.graph.packs import Registry, load_pack
from acestep_core.host.graph.stock_nodes import PACKS
from acestep_core.host.graph.validation import validate
from acestep_core.host.graph.workflow import parse_workflow

ROOT = Path(__file__).parents[2]
MUTED, BYPASSED = 2, 4
REGISTRY = Registry([*PACKS, load_pack(ROOT)])
DEFINITIONS = REGISTRY.definitions()
HANDED = {
    "ACEStepLoRALoader": {0: "model"},
    "ACEStepFormatSong": {0: "song"},
    "ACEStepPlan": {0: "song", 1: "edited_plan"},
    "ACEStepReferenceAudio": {0: "task"},
    "ACEStepSampler": {0: "latent"},
    "ACEStepLMScore": {1: "plan"},
    "ACEStepBestOf": {0: "latent", 1: "timing"},
    "ACEStepSaveSong": {0: "audio"},
    "ACEStepPreviewSong": {0: "audio"},
    "ACEStepLoadRecord": {1: "record", 8: "record", 9: "latent"},
    "ACEStepShowText": {0: "text"},
    "ACEStepScanDataset": {1: "genre_ratio", 2: "folder"},
    "ACEStepLoadDataset": {2: "file"},
    "ACEStepLabelDataset": {0: "dataset", 1: "seed", 2: "save_as"},
    "ACEStepEditSample": {0: "dataset"},
    "ACEStepEditDataset": {0: "dataset"},
    "ACEStepSaveDataset": {0: "dataset", 1: "file"},
    "ACEStepPreprocess": {1: "max_seconds"},
    "ACEStepTrainLoRA": {0: "model", 1: "name", 2: "name"},
    "ACEStepExportLoRA": {0: "lora"},
    **{name: {0: "value"} for name in DEFINITIONS if name.startswith("Primitive")},
    **{name: {0: "audio"} for name in DEFINITIONS if name.startswith(("SaveAudio", "PreviewAudio"))},
    **{name: {0: "audio"} for name in ("TrimAudioDuration", "AudioAdjustVolume", "AudioEqualizer3Band")},
    "SplitAudioChannels": {0: "audio", 1: "audio"},
    "JoinAudioChannels": {0: "audio_left"},
    **{name: {0: "audio1"} for name in ("AudioConcat", "AudioMerge")},
    **{f"Latent{name}": {0: "samples1"} for name in ("Add", "Subtract", "Interpolate", "Blend", "Concat", "Batch")},
    **{f"Latent{name}": {0: "samples"} for name in ("Multiply", "Cut", "CutToBatch", "BatchSeedBehavior", "FromBatch")},
    "RepeatLatentBatch": {0: "samples"},
}
"""Node -> output -> the input whose source takes the output's place."""


def takes(name: str) -> list[tuple[str, str]]:
    """The inputs of a node and their types."""
    groups = (DEFINITIONS[name]["input"].get(group) or {} for group in ("required", "optional"))
    return [(key, entry[0]) for group in groups for key, entry in group.items() if isinstance(entry[0], str)]


def in_the_middle(name: str) -> dict[int, str]:
    """The outputs of a node that some input has the type of."""
    types = {kind for _, kind in takes(name)}
    return {slot: kind for slot, kind in enumerate(DEFINITIONS[name]["output"]) if kind in types}


def feed(kind: str) -> dict[str, Any]:
    return {"input": {"required": {}}, "output": [kind], "output_name": ["out"], "output_node": False}


def drawn(name: str, slot: int, mode: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A node with a source at every input and something that wants one of its outputs; and the definitions for it."""
    kind, known, nodes, links, sockets = DEFINITIONS[name]["output"][slot], dict(DEFINITIONS), [], [], []
    for number, (key, taken) in enumerate(takes(name), 10):
        known[f"Gives {taken}"] = feed(taken)
        outputs = [{"name": "out", "type": taken, "links": [number]}]
        nodes.append({"id": number, "type": f"Gives {taken}", "title": key, "inputs": [], "outputs": outputs})
        links.append([number, number, 0, 2, len(sockets), taken])
        sockets.append({"name": key, "type": taken, "link": number})
    known["Wants"] = {**feed(kind), "input": {"required": {"it": [kind, {}]}}, "output_node": True}
    outputs = [{"name": "", "type": each, "links": []} for each in DEFINITIONS[name]["output"]]
    nodes.append({"id": 2, "type": name, "mode": mode, "inputs": sockets, "outputs": outputs, "widgets_values": []})
    wish = [{"name": "it", "type": kind, "link": 1}]
    nodes.append({"id": 3, "type": "Wants", "inputs": wish, "outputs": [], "widgets_values": []})
    return {"nodes": nodes, "links": [*links, [1, 2, slot, 3, 0, kind]], "version": 0.4}, known


def test_the_table_has_every_node_in_the_middle() -> None:
    assert {name: set(slots) for name, slots in HANDED.items()} == {
        name: set(found) for name in DEFINITIONS if (found := in_the_middle(name))
    }


@pytest.mark.parametrize(("name", "slot"), [(name, slot) for name, slots in HANDED.items() for slot in slots])
def test_a_bypassed_node_hands_on_and_a_muted_one_does_not(name: str, slot: int) -> None:
    graph, known = drawn(name, slot, BYPASSED)
    prompt = parse_workflow(graph, known).prompt
    assert "2" not in prompt
    source = prompt[prompt["3"]["inputs"]["it"][0]]
    assert source["_meta"]["title"] == HANDED[name][slot]
    graph, known = drawn(name, slot, MUTED)
    prompt = parse_workflow(graph, known).prompt
    assert "2" not in prompt and prompt["3"]["inputs"] == {}


@pytest.mark.parametrize(
    ("inputs", "output", "wanted", "handed"),
    [
        (["MODEL", "CLIP"], "CLIP", "CLIP", 1),
        (["A", "CLIP", "CLIP"], "CLIP", "CLIP", 1),
        (["*", "AUDIO"], "AUDIO", "AUDIO", 0),  # at the same place and fitting, before one of the very type
        (["INT", "*", "AUDIO"], "AUDIO", "AUDIO", 2),
        (["INT", "*"], "AUDIO", "AUDIO", 1),
        (["INT,FLOAT"], "FLOAT", "FLOAT", 0),
        (["INT", "FLOAT"], "INT,FLOAT", "FLOAT", 1),  # fits the output, but is not wanted
        (["LATENT"], "AUDIO", "LATENT", 0),  # of the very type that is wanted, whatever the output is
        (["LATENT"], "LATENT", "*", 0),
        (["INT", "LATENT"], "LATENT", "*", 0),  # as the frontend does
        (["INT"], "LATENT", "LATENT", None),
        ([], "LATENT", "*", None),
        (["audio"], "AUDIO", "AUDIO", 0),
    ],
)
def test_which_input_takes_the_place(inputs: list[str], output: str, wanted: str, handed: int | None) -> None:
    known = {f"Gives {number}": feed(kind) for number, kind in enumerate(inputs)}
    known |= {"Middle": feed(output), "Wants": {**feed("X"), "input": {"required": {"it": [wanted, {}]}}}}
    gives = [
        {"id": 10 + n, "type": f"Gives {n}", "inputs": [], "outputs": [{"name": "o", "type": kind}]}
        for n, kind in enumerate(inputs)
    ]
    sockets = [{"name": f"i{n}", "type": kind, "link": 10 + n} for n, kind in enumerate(inputs)]
    middle = {
        "id": 2,
        "type": "Middle",
        "mode": BYPASSED,
        "inputs": sockets,
        "outputs": [{"name": "o", "type": output}],
    }
    wants = {"id": 3, "type": "Wants", "inputs": [{"name": "it", "type": wanted, "link": 1}], "outputs": []}
    links = [[10 + n, 10 + n, 0, 2, n, kind] for n, kind in enumerate(inputs)] + [[1, 2, 0, 3, 0, wanted]]
    prompt = parse_workflow({"nodes": [*gives, middle, wants], "links": links}, known).prompt
    assert prompt["3"]["inputs"] == ({} if handed is None else {"it": [str(10 + handed), 0]})


def test_two_in_a_row_hand_on_what_the_second_takes() -> None:
    """What is wanted of the first is what the second would take, not what stands after it."""
    known = {"Gives A": feed("A"), "Gives B": feed("B"), "Middle": feed("*"), "Other": feed("B")}
    known |= {"Wants": {**feed("X"), "input": {"required": {"it": ["B", {}]}}}}
    nodes = [
        {"id": 1, "type": "Gives A", "inputs": [], "outputs": [{"name": "o", "type": "A"}]},
        {"id": 2, "type": "Gives B", "inputs": [], "outputs": [{"name": "o", "type": "B"}]},
        {
            "id": 3,
            "type": "Middle",
            "mode": BYPASSED,
            "inputs": [{"name": "a", "type": "A", "link": 11}, {"name": "b", "type": "B", "link": 12}],
            "outputs": [{"name": "o", "type": "*"}],
        },
        {
            "id": 4,
            "type": "Other",
            "mode": BYPASSED,
            "inputs": [{"name": "any", "type": "*", "link": 13}],
            "outputs": [{"name": "o", "type": "B"}],
        },
        {"id": 5, "type": "Wants", "inputs": [{"name": "it", "type": "B", "link": 14}], "outputs": []},
    ]
    links = [[11, 1, 0, 3, 0, "A"], [12, 2, 0, 3, 1, "B"], [13, 3, 0, 4, 0, "*"], [14, 4, 0, 5, 0, "B"]]
    assert parse_workflow({"nodes": nodes, "links": links}, known).prompt["5"]["inputs"] == {"it": ["1", 0]}


LEFT_OUT = {
    "ACEStepSampler", "ACEStepLoadRecord", "ACEStepScanDataset", "ACEStepLoadDataset", "ACEStepTrainLoRA",
    "ACEStepLMScore",
}  # fmt: skip
"""Begin a song, a dataset or a text, or end one: without them, what comes after has nothing."""


@pytest.mark.parametrize("file", sorted(ROOT.glob("workflows/*[!p].json")), ids=lambda file: file.stem)
def test_a_shipped_workflow_still_holds_together_with_any_middle_node_bypassed(file: Path, tmp_path: Path) -> None:
    graph = json.loads(file.read_text(encoding="utf-8"))
    with hosting(Folders.under(tmp_path)):
        whole = problems(graph)
        for place, node in enumerate(graph["nodes"]):
            if node["type"] not in HANDED or node["type"] in LEFT_OUT:
                continue
            without = copy.deepcopy(graph)
            without["nodes"][place]["mode"] = BYPASSED
            assert problems(without) <= whole, (node["type"], problems(without))


def problems(graph: dict[str, Any]) -> set[str]:
    """What validation says of a graph, but for what only shows a text that is not there any more."""
    try:
        prompt = parse_workflow(graph, DEFINITIONS).prompt
    except GraphError as error:
        return {str(error)}
    report = validate(prompt, REGISTRY)
    found = [errors for errors in report.node_errors.values() if errors["class_type"] != "ACEStepShowText"]
    told = {entry["type"] for errors in found for entry in errors["errors"]}
    return told | ({report.error["type"]} if report.error else set()) - {
        "prompt_outputs_failed_validation",
        "prompt_no_outputs",  # what saves it was all that it was for
    }
