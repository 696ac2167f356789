"""What two prompts have in common, so that the second can go to the process that has it at hand from the first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from acestep_core.host.graph.workflow import Workflow

_WEIGHTS = ("MODEL", "LM", "CLIP", "VAE")
"""What the types of weights end in, ours and ComfyUI's."""


def weights_of(workflow: Workflow) -> frozenset[str]:
    """One digest for each node that gives weights: what it is told, and what leads to it."""
    known = _digests(workflow.prompt)
    return frozenset(
        known[node_id]
        for node_id, node in workflow.prompt.items()
        if any(_is_weights(kind) for kind in workflow.definitions[node["class_type"]]["output"])
    )


def mold_of(workflow: Workflow) -> str:
    """A digest of all but seeds and texts: workflows with the same one differ in nothing else."""
    free = {*workflow.seeds(), *workflow.texts()}
    fixed = {
        node_id: [node["class_type"], {k: v for k, v in node["inputs"].items() if (node_id, k) not in free}]
        for node_id, node in workflow.prompt.items()
    }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]


def nodes_of(prompt: Mapping[str, Any]) -> frozenset[str]:
    """One digest for each node that can be run: what two prompts share of these, the second takes from a cache."""
    return frozenset(_digests(prompt).values())


def _is_weights(kind: Any) -> bool:
    return isinstance(kind, str) and kind.rpartition("_")[2] in _WEIGHTS


def _is_node(node: Any) -> bool:
    """A prompt that was queued may hold anything beside the nodes that its outputs need."""
    return isinstance(node, dict) and isinstance(node.get("inputs"), dict) and "class_type" in node


def _digests(prompt: Mapping[str, Any]) -> dict[str, str]:
    """Of each node with all before it; a wire that leads nowhere or in a circle counts as the text that it is."""
    known: dict[str, str] = {}
    begun: set[str] = set()
    ahead = [node_id for node_id, node in prompt.items() if _is_node(node)]
    while ahead:
        node_id = ahead[-1]
        inputs = prompt[node_id]["inputs"]
        before = [value[0] for value in inputs.values() if _is_wire(prompt, value)]
        unknown = [source for source in before if source not in known and source not in begun]
        if node_id not in known and node_id not in begun and unknown:
            begun.add(node_id)
            ahead += unknown
            continue
        ahead.pop()
        if node_id not in known:
            told = {
                name: [known.get(value[0], value[0]), value[1]] if _is_wire(prompt, value) else value
                for name, value in inputs.items()
            }
            text = json.dumps([prompt[node_id]["class_type"], told], sort_keys=True)
            known[node_id] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return known


def _is_wire(prompt: Mapping[str, Any], value: Any) -> bool:
    found = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
    return found and _is_node(prompt.get(value[0]))
