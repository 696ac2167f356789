"""Names of files are filled in as the canvas does it, so a workflow saves under the same names without one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from acestep_core.host.graph.file_tokens import filled
from acestep_core.host.graph.workflow import parse_workflow
from tests.host.test_canvas import DEFINITIONS

WHEN = datetime(2026, 3, 7, 9, 5, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%date:yyyy-MM-dd%/x", "2026-03-07/x"),
        ("%date:yy.M.d h-m-s%", "26.3.7 9-5-2"),
        ("%date:hhmmss%", "090502"),
        ("%date:yyyy/MM%/song", "2026/03/song"),
        ("%year%%month%%day%_%hour%.%minute%.%second%", "20260307_09.05.02"),
        ("%date%-%seed%-%batch_num%", "%date%-%seed%-%batch_num%"),
        ("100% of %year%", "100% of %year%"),
        ("plain", "plain"),
    ],
)
def test_the_time(text: str, expected: str) -> None:
    assert filled(text, WHEN) == expected


PROMPT: dict[str, Any] = {
    "1": {"class_type": "LabTone", "inputs": {"seed": 7, "steps": 8.0, "caption": "a/b: c?", "model": ["2", 0]}},
    "2": {"class_type": "LabLoad", "inputs": {"name": "base", "on": True}, "_meta": {"title": "my model"}},
    "3": {"class_type": "LabTone", "inputs": {"seed": 9}, "_meta": {"title": "LabLoad"}},
}
CANVAS = {"nodes": [{"id": 3, "properties": {"Node name for S&R": "Second"}}, {"id": 1}, None]}


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("LabTone.seed", "7"),
        ("LabTone.steps", "8"),
        ("LabTone.caption", "a_b_ c_"),
        ("my model.on", "true"),
        ("Second.seed", "9"),
        ("LabLoad.name", "base"),
        ("LabTone.model", None),
        ("LabTone.nothing", None),
        ("Nobody.seed", None),
    ],
)
def test_values_of_other_nodes(token: str, expected: str | None) -> None:
    assert filled(f"x_%{token}%", WHEN, PROMPT, CANVAS) == ("x_" + (f"%{token}%" if expected is None else expected))


def test_a_workflow_is_sent_with_its_names_filled_in() -> None:
    save = {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "%LabTone.seed%/%year%"}}
    words = {"class_type": "LabWord", "inputs": {"text": "%year%"}}
    workflow = parse_workflow({"1": PROMPT["1"], "5": save, "6": words}, DEFINITIONS).with_inputs({"LabTone.seed": 3})
    sent = workflow.queued()
    assert sent["5"]["inputs"]["filename_prefix"].startswith("3/20")
    assert sent["6"]["inputs"]["text"] == "%year%"
    assert workflow.prompt["5"]["inputs"]["filename_prefix"] == "%LabTone.seed%/%year%"
