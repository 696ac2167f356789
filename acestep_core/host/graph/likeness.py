"""Which weights a workflow uses, so that workflows of the same weights can go to the process that has them loaded."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from acestep_core.host.graph.workflow import Workflow

_WEIGHTS = ("MODEL", "LM", "CLIP", "VAE")
"""What the types of weights end in, ours and ComfyUI's."""


def weights_of(workflow: Workflow) -> frozenset[str]:
    """One digest for each node that gives weights: what it is told, and what leads to it."""
    known: dict[str, str] = {}
    return frozenset(
        _digest(workflow, node_id, known)
        for node_id, node in workflow.prompt.items()
        if any(_is_weights(kind) for kind in workflow.definitions[node["class_type"]]["output"])
    )


def _is_weights(kind: Any) -> bool:
    return isinstance(kind, str) and kind.rpartition("_")[2] in _WEIGHTS


def _digest(workflow: Workflow, node_id: str, known: dict[str, str]) -> str:
    """Of a node with all before it; a wire that leads nowhere or in a circle counts as the text that it is."""
    if node_id not in known:
        known[node_id] = node_id
        node = workflow.prompt[node_id]
        inputs = {
            name: [_digest(workflow, value[0], known), value[1]] if _is_wire(workflow, value) else value
            for name, value in node["inputs"].items()
        }
        told = json.dumps([node["class_type"], inputs], sort_keys=True)
        known[node_id] = hashlib.sha256(told.encode()).hexdigest()[:16]
    return known[node_id]


def _is_wire(workflow: Workflow, value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in workflow.prompt
