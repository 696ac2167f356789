"""What ComfyUI makes of the pack: import, definitions, help pages, translations, example workflows."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.context import Folders
from tests.comfyui.comfy_server import EXTRA_DIT, PACK, ROOT, Comfy
from tests.host.lab_site import open_site


@pytest.fixture(scope="module")
def embedded(comfy: Comfy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the embedded host answers to the same questions, with the same pack folder and the same models."""
    asked = ("/object_info", "/api/i18n", "/api/workflow_templates", "/extensions")
    folder = tmp_path_factory.mktemp("embedded")
    folders = Folders.under(folder, input=comfy.base / "input", models=comfy.base / "models")

    async def main() -> dict[str, Any]:
        async with open_site(folder, folders=folders, packs=(comfy.pack,)) as site:
            return {path: (await site.get(path))[1] for path in asked}

    return asyncio.run(main())


def test_the_import_is_light(comfy: Comfy) -> None:
    found = comfy.get("/probe/import")
    assert found["cpu_seconds"] < 0.1
    packages = {name.split(".")[0] for name in found["modules"] if not name.startswith(str(comfy.base))}
    assert packages - {"acestep_core"} <= sys.stdlib_module_names  # everything else ComfyUI had loaded already


def test_comfyui_reports_no_failed_import(comfy: Comfy) -> None:
    log = comfy.log.read_text(encoding="utf-8", errors="replace")
    notes = {Path(path).name: note for note, path in _IMPORTS.findall(log)}
    assert set(notes) == {PACK, "lab_pack", "probe_pack"}
    assert not any(notes.values()), log[-3000:]


# newer releases begin each line with its level
_IMPORTS = re.compile(r"^(?:\S+ )? +\d+\.\d seconds( \(IMPORT FAILED\))?: (.+)$", re.MULTILINE)


def test_comfyui_lists_our_blueprints(comfy: Comfy) -> None:
    listed = {key: entry for key, entry in comfy.get("/global_subgraphs").items() if PACK in entry["info"]["node_pack"]}
    files = {path.stem: path for path in (ROOT / "subgraphs").glob("*.json")}
    assert sorted(entry["name"] for entry in listed.values()) == sorted(files) and len(files) == 6
    for key, entry in listed.items():
        data = comfy.get(f"/global_subgraphs/{key}")["data"]
        assert json.loads(data) == json.loads(files[entry["name"]].read_text(encoding="utf-8"))


def test_the_definitions_are_cheap(comfy: Comfy) -> None:
    """Also where many models lie, and each time at a moment when the folders are looked at again.

    The least of many readings: what other processes add by sharing the processor's cores and caches is not ours.
    """
    readings = [comfy.get("/probe/input_types") for _ in range(20)]
    assert readings[0]["nodes"] > 30
    assert min(reading["cpu_seconds"] for reading in readings[1:]) < 0.05


ADDED = {"is_input_list": (0, 12, 0), "has_intermediate_output": (0, 18, 1)}
"""What the definition of a node says since which release."""


def test_the_definitions_are_those_of_the_embedded_host(comfy: Comfy, embedded: dict[str, Any]) -> None:
    theirs = comfy.get("/object_info")
    ours = {name: node for name, node in embedded["/object_info"].items() if name.startswith("ACEStep")}
    assert len(ours) > 30
    choices = theirs["ACEStepModelLoader"]["input"]["required"]["model"][0]
    assert EXTRA_DIT in choices
    choices.remove(EXTRA_DIT)  # lies where the embedded host does not look
    release = comfy.get("/system_stats")["system"]["comfyui_version"]
    unknown = {key for key, since in ADDED.items() if tuple(map(int, release.split("."))) < since}
    for name, node in ours.items():
        node = {key: value for key, value in node.items() if key not in unknown}
        assert json.dumps(theirs[name], sort_keys=True) == json.dumps(node, sort_keys=True), name
        assert _order(theirs[name]) == _order(node), name


def _order(node: dict[str, Any]) -> list[list[str]]:
    """Widgets are kept by their place in saved workflows."""
    return [list(node["input"]), *(list(group) for group in node["input"].values())]


def test_stock_nodes_of_the_embedded_host_can_stand_in(comfy: Comfy, embedded: dict[str, Any]) -> None:
    """Workflows that use them run in both: same outputs, and every input of ours is one of theirs."""
    theirs = comfy.get("/object_info")
    stock = {name: node for name, node in embedded["/object_info"].items() if not name.startswith("ACEStep")}
    assert {"LoadAudio", "SaveAudio", "PreviewAudio", "PreviewAny"} <= set(stock)
    for name, node in stock.items():
        if name not in theirs:  # of a newer ComfyUI
            continue
        assert node["output"][: len(theirs[name]["output"])] == theirs[name]["output"], name  # newer ones hand it on
        assert node["output_node"] == theirs[name]["output_node"], name
        assert _names(node, "required") == _names(theirs[name], "required"), name
        assert set(_names(node, "optional")) <= set(_names(theirs[name], "optional")), name


def _names(node: dict[str, Any], group: str) -> list[str]:
    return list(node["input"].get(group, {}))


def test_help_translations_and_examples_are_found(comfy: Comfy, embedded: dict[str, Any]) -> None:
    for name in comfy.get("/object_info"):
        if name.startswith("ACEStep"):
            assert comfy.get(f"/extensions/{PACK}/docs/{name}.md").startswith(b"#"), name
    for language in ("en", "ko", "zh"):
        texts = embedded["/api/i18n"][language]
        ours = {name: text for name, text in texts["nodeDefs"].items() if name.startswith("ACEStep")}
        theirs = comfy.get("/api/i18n")[language]["nodeDefs"]
        assert ours and {name: theirs[name] for name in ours} == ours
    examples = comfy.get("/api/workflow_templates")[PACK]
    assert sorted(examples) == sorted(path.stem for path in (comfy.pack / "workflows").glob("*.json"))
    assert PACK not in embedded["/api/workflow_templates"], "our host has a gallery with titles instead"
    for name in examples:
        canvas = comfy.get(f"/api/workflow_templates/{PACK}/{name}.json")
        assert canvas["nodes"]
        assert comfy.get(f"/api/workflow_templates/{PACK}/{name}.jpg")[:2] == b"\xff\xd8"


def test_our_scripts_are_offered_to_the_canvas(comfy: Comfy, embedded: dict[str, Any]) -> None:
    theirs = [path for path in comfy.get("/extensions") if path.startswith(f"/extensions/{PACK}/")]
    assert sorted(theirs) == sorted(p for p in embedded["/extensions"] if p.startswith(f"/extensions/{PACK}/"))
