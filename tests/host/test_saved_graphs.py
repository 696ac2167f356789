"""Graphs as ComfyUI's frontends saved them, old ones and new ones: ours is the prompt that each of them would send.

`tests/canvas/save_graphs.py` draws them and keeps what it found.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.workflow import parse_workflow
from tests.host.test_canvas import DEFINITIONS

FILES = sorted((Path(__file__).parent / "saved").glob("*.json"))
NAMES = ["hand tools", "subgraph", "subgraph twice", "subgraph within"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_prompt_is_the_frontends(file: Path, name: str) -> None:
    saved = json.loads(file.read_text(encoding="utf-8"))["graphs"][name]
    assert plain(parse_workflow(saved["workflow"], DEFINITIONS).prompt) == plain(saved["prompt"])


def plain(prompt: dict[str, Any]) -> dict[str, Any]:
    """Nodes and what they are given, without titles and the widget that shows a player, which older frontends send."""
    return {
        node_id: (node["class_type"], {name: value for name, value in node["inputs"].items() if name != "audioUI"})
        for node_id, node in prompt.items()
    }


def test_what_was_typed_is_in_them() -> None:
    """What the files are for: values typed on a subgraph reach the node within."""
    assert len(FILES) >= 10
    for file in FILES:
        graphs = json.loads(file.read_text(encoding="utf-8"))["graphs"]
        assert sorted(graphs) == NAMES
        tones = [
            [node["inputs"]["caption"] for node in graphs[name]["prompt"].values() if node["class_type"] == "LabTone"]
            for name in NAMES[:3]
        ]
        assert tones == [["as typed"], ["typed on the outside"], ["one", "two"]]
