"""What the nodes declare, held against ComfyUI 0.11.1, the oldest that the pack says it works with."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.packs import load_pack

CLASSES = load_pack(Path(__file__).parents[2]).classes
EVERYWHERE = {"tooltip", "lazy", "rawLink", "advanced"}
WIDGET = EVERYWHERE | {"default", "socketless", "widgetType", "forceInput"}
NUMBER = WIDGET | {"min", "max", "step", "display", "control_after_generate"}
KEYS = {
    "BOOLEAN": WIDGET | {"label_on", "label_off"},
    "INT": NUMBER,
    "FLOAT": NUMBER | {"round"},
    "STRING": WIDGET | {"multiline", "placeholder", "dynamicPrompts"},
    "COMBO": WIDGET | {"options", "control_after_generate"},
}
"""What 0.11.1 can say of an input with a widget (`comfy_api/latest/_io.py`, `comfy/comfy_types/node_typing.py`)."""
WIRES = {"MODEL", "CLIP", "VAE", "SAMPLER", "SIGMAS", "LATENT", "AUDIO", "CONDITIONING"}
OURS = {"empty", "counts"}
"""Means something to our own host and scripts; a ComfyUI hands it on unread."""
HIDDEN = {"PROMPT", "EXTRA_PNGINFO", "UNIQUE_ID", "DYNPROMPT"}


@pytest.mark.parametrize("node_id", CLASSES)
def test_a_node_declares_nothing_that_the_oldest_lacks(node_id: str) -> None:
    declared = CLASSES[node_id].INPUT_TYPES()
    assert declared.keys() <= {"required", "optional", "hidden"}
    assert set(declared.get("hidden", {}).values()) <= HIDDEN
    for name, entry in (declared.get("required", {}) | declared.get("optional", {})).items():
        kind, told = entry if len(entry) == 2 else (*entry, {})
        kind = "COMBO" if isinstance(kind, list) else kind
        if kind in KEYS:
            assert told.keys() <= KEYS[kind] | OURS, name
        else:
            assert kind in WIRES | {"AUDIO_UI"} or kind.startswith("ACESTEP_"), name
            assert told.keys() <= EVERYWHERE, name
    for kind in CLASSES[node_id].RETURN_TYPES:
        assert set(kind.split(",")) <= WIRES | KEYS.keys() or kind.startswith("ACESTEP_"), kind


@pytest.mark.parametrize(
    ("node_id", "instead"), [("ACEStepFromNative", "Load ACE-Step"), ("ACEStepToNative", "Sampler")]
)
def test_a_comfyui_without_ace_step_of_its_own_has_no_bridges(
    node_id: str, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.12 brought it."""
    for name in ("folder_paths", "comfy.model_management"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.delitem(sys.modules, "comfy.ldm.ace.ace_step15", raising=False)
    node: Any = CLASSES[node_id]()
    with pytest.raises(InvalidInput, match=rf"needs ComfyUI 0\.12 or newer.* or .*{instead}.*\.$"):
        node.lend(None, None, None)
