"""What holds for every node of the pack."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.packs import Pack, load_pack
from locales import build

ROOT = Path(__file__).parents[2]
PINNED = json.loads((Path(__file__).parent / "pinned.json").read_text(encoding="utf-8"))
CLASSES = load_pack(ROOT).classes
STAGES = {"load", "song", "plan", "codes", "task", "render", "judge", "save", "train"}
every_node = pytest.mark.parametrize("node_id", CLASSES)


KOREAN = r"(?<!오디오 )(?<!언어 )(?<!화음 )(?<!디)(?<!인)코드|잡음|잠재값|노름|부정 프롬프트|흐름 시간|번째 곡은 시드"
"""A bare 코드 is a chord; the others are wrong words for noise, latent, norm, negative prompt, timestep, and seeds."""
CHINESE = r"时间表|范数|第 i 首|语义编码"


def told(language: str) -> Any:
    """What the canvas shows of the nodes in a language."""
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def widgets(node_id: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    declared = CLASSES[node_id].INPUT_TYPES()
    return {name: entry for group in ("required", "optional") for name, entry in declared.get(group, {}).items()}


def shape(node_id: str) -> dict[str, list[str]]:
    """What saved workflows depend on."""
    declared = CLASSES[node_id].INPUT_TYPES()
    groups = {group: list(declared.get(group, {})) for group in ("required", "optional")}
    return groups | {"outputs": list(CLASSES[node_id].RETURN_NAMES), "types": list(CLASSES[node_id].RETURN_TYPES)}


def test_ids_and_inputs_are_a_file_format() -> None:
    """If this fails because a node or input was added at the end, add it to `pinned.json` too. Nothing else may change:
    saved workflows keep values by place."""
    assert {node_id: shape(node_id) for node_id in CLASSES} == PINNED


@every_node
def test_every_input_explains_itself(node_id: str) -> None:
    for name, (kind, options) in widgets(node_id).items():
        if kind == "AUDIO_UI":
            continue
        assert re.fullmatch(r"[^\s].{5,}", options["tooltip"]), name
        if kind in ("INT", "FLOAT"):
            assert options["min"] <= options["default"] <= options["max"] and options["step"] > 0, name
        if isinstance(kind, list):
            assert options["default"] in kind and len(set(kind)) == len(kind), name
        if kind == "STRING":
            assert options["dynamicPrompts"] is False, name


@every_node
def test_the_canvas_can_say_every_default(node_id: str) -> None:
    """It rounds whole numbers to steps that begin at the lowest: with 1 and steps of 4, a typed 64 becomes 65."""
    for name, (kind, options) in widgets(node_id).items():
        if kind == "INT":
            low, step = options["min"] % options["step"], options["step"]
            assert (options["default"] - low) % step == 0 and (low == 0 or step == 1), name


@every_node
def test_every_node_introduces_itself(node_id: str) -> None:
    node = CLASSES[node_id]
    assert node_id.startswith("ACEStep") and node.TITLE and callable(getattr(node, node.FUNCTION))
    area, stage = node.CATEGORY.split("/")
    assert area == "ACE-Step" and stage in STAGES
    assert node.DESCRIPTION.endswith(".") and len(node.DESCRIPTION) < 160
    assert len(node.SEARCH_ALIASES) >= 2 and len(set(node.SEARCH_ALIASES)) == len(node.SEARCH_ALIASES)
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == len(node.OUTPUT_TOOLTIPS)


@every_node
def test_declared_defaults_fit_the_function(node_id: str) -> None:
    """A graph that leaves out optional inputs gets what the widget shows."""
    import inspect

    node = CLASSES[node_id]
    parameters = inspect.signature(getattr(node, node.FUNCTION)).parameters
    for name, entry in node.INPUT_TYPES().get("optional", {}).items():
        if name not in parameters and "widgets" in parameters:
            continue  # from the table of options, which holds the default once
        if "default" in entry[1]:
            assert parameters[name].default == entry[1]["default"], name
        else:
            assert parameters[name].default is None, name


@every_node
def test_every_node_has_a_help_page_with_an_example(node_id: str) -> None:
    page = (ROOT / "web" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {CLASSES[node_id].TITLE}\n") and "## Example" in page
    for name, (kind, _) in widgets(node_id).items():
        assert kind == "AUDIO_UI" or f"(`{name}`) |" in page, name


@pytest.mark.parametrize("language", ["ko", "zh"])
@every_node
def test_every_help_page_exists_in_every_language(node_id: str, language: str) -> None:
    """With the texts of that language as they are now; `python locales/build.py` writes it."""
    page = (ROOT / "web" / "docs" / node_id / f"{language}.md").read_text(encoding="utf-8")
    texts = told(language)[node_id]
    assert page.startswith(f"# {texts['display_name']}\n\n{texts['description']}\n") and "```" in page
    for entry in (*texts["inputs"].values(), *texts["outputs"].values()):
        assert "tooltip" not in entry or f"| {entry['tooltip']} |" in page


@pytest.mark.parametrize("language", ["ko", "zh"])
@every_node
def test_help_pages_say_the_same(node_id: str, language: str) -> None:
    """Paragraph by paragraph, with as many rows, points and lines of code."""
    pages = ROOT / "web" / "docs"
    english, other = (
        [build.shape_of(part) for part in path.read_text(encoding="utf-8").split("\n## ")]
        for path in (pages / f"{node_id}.md", pages / node_id / f"{language}.md")
    )
    assert other == english


def test_no_help_page_is_left_over() -> None:
    pages = ROOT / "web" / "docs"
    assert {path.stem for path in pages.glob("*.md")} == {path.name for path in pages.glob("*/")} == set(CLASSES)


@pytest.mark.parametrize("language", ["en", "ko", "zh"])
@every_node
def test_every_text_is_translated(node_id: str, language: str) -> None:
    texts, labels = told(language)[node_id], told("en")[node_id]
    node = CLASSES[node_id]
    expected = {
        "display_name": node.TITLE,
        "description": node.DESCRIPTION,
        "inputs": {
            name: {"name": labels["inputs"][name]["name"]}
            | ({"tooltip": options["tooltip"]} if "tooltip" in options else {})
            for name, (_, options) in widgets(node_id).items()
        },
        "outputs": {
            str(index): {"name": labels["outputs"][str(index)]["name"], "tooltip": tooltip}
            for index, tooltip in enumerate(node.OUTPUT_TOOLTIPS)
        },
    }
    if language == "en":
        assert texts == expected
        return
    assert keys(texts) == keys(expected)
    same = [text for text in leaves(texts) if text in leaves(expected) and " " in text]
    assert not same, "left in English"


@pytest.mark.parametrize("language", ["en", "ko", "zh"])
@every_node
def test_labels_are_for_people(node_id: str, language: str) -> None:
    """No names of the code, nothing twice on a node, and short enough to stand beside a value."""
    for side in ("inputs", "outputs"):
        labels = [entry["name"] for entry in told(language)[node_id][side].values()]
        assert len(set(labels)) == len(labels), side
        for label in labels:
            assert "_" not in label and not label[0].islower(), label
            assert sum(2 if ord(sign) > 0x2E80 else 1 for sign in label) <= 26, label


@pytest.mark.parametrize(("language", "wrong"), [("ko", KOREAN), ("zh", CHINESE)])
def test_words_that_mislead_musicians_are_not_used(language: str, wrong: str) -> None:
    assert [text for text in leaves(told(language)) if re.search(wrong, text)] == []


@pytest.mark.parametrize("language", ["en", "ko", "zh"])
def test_translations_hold_no_signs_that_the_canvas_would_read_as_code(language: str) -> None:
    texts = told(language)
    assert set(texts) == set(CLASSES)
    assert not [text for text in leaves(texts) if re.search(r"[{}@|]", text)]


def keys(value: Any) -> Any:
    return {name: keys(child) for name, child in value.items()} if isinstance(value, dict) else None


def leaves(value: Any) -> list[str]:
    return [text for child in value.values() for text in leaves(child)] if isinstance(value, dict) else [value]


def test_definitions_are_json(pack: Pack) -> None:
    for node in pack.classes.values():
        json.dumps(node.INPUT_TYPES(), allow_nan=False)


def test_loading_the_pack_is_cheap() -> None:
    """As ComfyUI loads it, with the modules that ComfyUI has loaded long before: nothing heavy, and few modules."""
    script = """
import argparse, asyncio, contextlib, dataclasses, hashlib, importlib.util, json, logging, re, sys, typing
from pathlib import Path
root = Path(sys.argv[1])
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("some_pack", root / "__init__.py", submodule_search_locations=[str(root)])
module = importlib.util.module_from_spec(spec)
sys.modules["some_pack"] = module
spec.loader.exec_module(module)
loaded = set(sys.modules) - before
for node in module.NODE_CLASS_MAPPINGS.values():
    node.INPUT_TYPES()
print(json.dumps([sorted(loaded), sorted(set(sys.modules) - before - loaded)]))
"""
    done = subprocess.run([sys.executable, "-c", script, str(ROOT)], capture_output=True, text=True, check=True)
    loaded, described = json.loads(done.stdout)
    heavy = {"torch", "numpy", "transformers", "diffusers", "soundfile", "safetensors", "tokenizers", "yaml", "aiohttp"}
    assert not heavy & {*loaded, *described}
    assert len(loaded) <= 60 and len(described) <= 40, (loaded, described)


def test_comfyuis_own_module_called_nodes_stays_untouched() -> None:
    script = """
import sys, types
core = types.ModuleType("nodes")
sys.modules["nodes"] = core
from pathlib import Path
from importlib import util
root = Path(sys.argv[1])
spec = util.spec_from_file_location("/custom/acestep", root / "__init__.py", submodule_search_locations=[str(root)])
module = util.module_from_spec(spec)
sys.modules["/custom/acestep"] = module
spec.loader.exec_module(module)
assert sys.modules["nodes"] is core and not vars(core).get("registry")
assert str(root) not in sys.path
assert len(module.NODE_CLASS_MAPPINGS) > 10
"""
    subprocess.run([sys.executable, "-c", script, str(ROOT)], check=True, cwd="/" if os.name == "posix" else None)


def test_every_card_of_the_machine_can_be_chosen(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from acestep_core import devices

    monkeypatch.setattr(devices, "available_devices", lambda: ["cuda:0", "cuda:1", "cpu"])
    loaders = [cls.INPUT_TYPES() for cls in pack.classes.values()]
    asked = [kind["device"][0] for types in loaders for kind in types.values() if "device" in kind]
    assert len(asked) >= 4 and all(choices == ["auto", "cuda:0", "cuda:1", "cpu"] for choices in asked)
