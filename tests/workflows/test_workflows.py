"""The workflow files: consistent, equal in all three forms, and running on the tiny checkpoint."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from acestep_core.audio import read_audio, write_audio
from acestep_core.host.context import Folders, hosting
from acestep_core.host.executor import Executor, Job, Outcome
from acestep_core.host.host import inference_mode
from acestep_core.host.packs import Registry, load_pack
from acestep_core.host.stock_nodes import PACKS
from acestep_core.host.validation import validate
from acestep_core.host.workflow import Workflow, load_workflow
from acestep_core.vocabulary import TRACKS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in (FOLDER / "api").glob("*.json"))
PACK = load_pack(ROOT)
REGISTRY = Registry([*PACKS, PACK])
every_workflow = pytest.mark.parametrize("name", NAMES)

QUICK = {"duration": 10.0, "steps": 2, "after": 4.0, "before": 2.0, "max_duration": 12.0}
"""Makes a test of an hour's music."""


class Silent:
    """A client that looks at nothing."""

    def send(self, event: str, data: dict[str, Any], client: str | None = None) -> None: ...

    def preview(self, image: Any, about: dict[str, Any], client: str | None) -> None: ...

    def text(self, node_id: str, prompt_id: str, text: str, client: str | None) -> None: ...

    def watching(self, client: str | None) -> bool:
        return False


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Folders:
    folders = Folders.under(tmp_path_factory.mktemp("host"), models=tiny_root)
    time = torch.arange(6 * 48_000) / 48_000
    write_audio(folders.input / "recording.flac", (torch.sin(2 * torch.pi * 220 * time) * 0.4).expand(2, -1))
    return folders


@pytest.fixture(scope="module")
def executor(folders: Folders) -> Executor:
    return Executor(REGISTRY, folders, Silent(), guard=inference_mode)


@pytest.fixture(autouse=True)
def only_tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.delenv("ACESTEP_CHECKPOINTS", raising=False)
    monkeypatch.delenv("ACESTEP_CHECKPOINTS_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


def load(stem: str) -> Workflow:
    return load_workflow(FOLDER / f"{stem}.json", REGISTRY.definitions())


def read(stem: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{stem}.json").read_text(encoding="utf-8"))


def test_every_capability_comes_in_three_forms_with_a_picture() -> None:
    stems = {path.stem for path in FOLDER.glob("*.json")}
    assert stems == {*NAMES, *(f"{name}_app" for name in NAMES)}
    assert all(re.fullmatch("[a-z0-9_]+", stem) for stem in stems)
    for stem in stems:
        with Image.open(FOLDER / f"{stem}.jpg") as picture:
            assert picture.size[0] >= 400 and len(picture.convert("L").getcolors() or range(257)) > 10


def test_every_node_is_shown_in_some_workflow() -> None:
    used = {node["class_type"] for name in NAMES for node in read(f"api/{name}").values()}
    assert set(PACK.classes) <= used


@every_workflow
def test_canvas_and_app_convert_to_the_api_form(name: str, folders: Folders) -> None:
    with hosting(folders):
        wanted = read(f"api/{name}")
        assert load(name).prompt == wanted
        assert load(f"{name}_app").prompt == wanted
        assert load(f"api/{name}").prompt == wanted


@every_workflow
def test_links_are_consistent(name: str) -> None:
    canvas = read(name)
    nodes = {node["id"]: node for node in canvas["nodes"]}
    assert len(nodes) == len(canvas["nodes"]) and canvas["last_node_id"] == max(nodes)
    for number, source, slot, target, place, kind in canvas["links"]:
        output, taken = nodes[source]["outputs"][slot], nodes[target]["inputs"][place]
        assert number in output["links"] and taken["link"] == number
        assert taken["type"] == kind and (output["type"] == kind or "*" in (output["type"], kind))
    assert all(
        set(output["links"]) <= {link[0] for link in canvas["links"]} for n in nodes.values() for output in n["outputs"]
    )
    boxes = [
        (*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1]) for node in nodes.values()
    ]
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], "nodes overlap"


@every_workflow
def test_the_form_of_the_app_names_widgets(name: str) -> None:
    app = read(f"{name}_app")
    prompt = read(f"api/{name}")
    assert app["extra"]["linearMode"] is True and "linearMode" not in read(name)["extra"]
    for node_id, widget in app["extra"]["linearData"]["inputs"]:
        assert not isinstance(prompt[str(node_id)]["inputs"][widget], list), widget
    outputs = app["extra"]["linearData"]["outputs"]
    assert outputs and all(getattr(REGISTRY.cls(prompt[str(i)]["class_type"]), "OUTPUT_NODE", False) for i in outputs)


@every_workflow
def test_runs_on_the_tiny_checkpoint(name: str, executor: Executor, folders: Folders) -> None:
    before = set(folders.output.rglob("*.flac"))
    outcome = run(executor, folders, quick(load(name)).prompt)
    assert outcome.success, outcome.error
    songs = sorted(set(folders.output.rglob("*.flac")) - before)
    saves = sum(node["class_type"] == "ACEStepSaveSong" for node in load(name).prompt.values())
    assert len(songs) == {"batch_of_four": 4, "extract_stems": len(TRACKS)}.get(name, saves)
    for path in songs:
        audio, rate = read_audio(path)
        assert rate == 48_000 and audio.shape[0] == 2 and audio.shape[1] >= 5 * rate
        assert audio.abs().max() > 0.05


def quick(workflow: Workflow) -> Workflow:
    """The workflow with short songs and few steps."""
    for node_id, node in workflow.prompt.items():
        declared = REGISTRY.cls(node["class_type"]).INPUT_TYPES()
        for name, value in QUICK.items():
            known = any(name in declared.get(group, {}) for group in ("required", "optional"))
            if known and not isinstance(node["inputs"].get(name), list):
                workflow.put(node_id, name, value)
        if node["class_type"] == "ACEStepPlanCodes":
            node["inputs"]["batch_size"] = min(node["inputs"]["batch_size"], 3)
    return workflow


def run(executor: Executor, folders: Folders, prompt: dict[str, Any]) -> Outcome:
    with hosting(folders):
        report = validate(prompt, REGISTRY)
    assert report.error is None and not report.node_errors, (report.error, report.node_errors)
    return asyncio.run(executor.run(Job(0, "p", prompt, tuple(report.outputs), client="me")))
