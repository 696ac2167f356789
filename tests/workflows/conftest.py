"""The example workflows on the embedded host with the tiny checkpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.context import Folders, hosting
from acestep_core.host.graph.packs import Registry, load_pack
from acestep_core.host.graph.stock_nodes import PACKS
from acestep_core.host.graph.validation import validate
from acestep_core.host.graph.workflow import Workflow, load_workflow
from acestep_core.host.queue.executor import Executor, Job, Outcome
from acestep_core.host.queue.results import shown_files
from acestep_core.host.server.host import inference_mode
from tests.places import nothing_known
from tests.workflows.material import QUICK, lay_dataset, lay_recording

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "workflows"
MOST_CODES = 3


class Silent:
    """A client that keeps what it is told and looks at nothing."""

    def __init__(self) -> None:
        self.cached: list[str] = []

    def send(self, event: str, data: dict[str, Any], client: str | None = None) -> None:
        if event == "execution_cached":
            self.cached = data["nodes"]

    def preview(self, image: Any, about: dict[str, Any], client: str | None) -> None: ...

    def text(self, node_id: str, prompt_id: str, text: str, client: str | None) -> None: ...

    def watching(self, client: str | None) -> bool:
        return False


class Stage:
    """Loads workflows, makes them short, and runs them."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.pack = load_pack(ROOT)
        self.registry = Registry([*PACKS, self.pack])
        self.client = Silent()
        self.executor = Executor(self.registry, folders, self.client, guard=inference_mode)

    def load(self, stem: str) -> Workflow:
        return load_workflow(FOLDER / f"{stem}.json", self.registry.definitions())

    def quick(self, name: str, **changes: Any) -> Workflow:
        """A workflow with short songs and few steps. Changes are `Title__input=value`, spaces as `_`."""
        workflow = self.short(self.load(f"api/{name}"))
        for place, value in changes.items():
            title, _, field = place.partition("__")
            workflow.prompt[self.node(workflow, title)]["inputs"][field] = value
        return workflow

    def short(self, workflow: Workflow) -> Workflow:
        """The workflow with short songs and few steps."""
        for node_id, node in workflow.prompt.items():
            declared = self.registry.cls(node["class_type"]).INPUT_TYPES()
            for field, value in QUICK.items():
                known = any(field in declared.get(group, {}) for group in ("required", "optional"))
                if known and not isinstance(node["inputs"].get(field), list):
                    workflow.put(node_id, field, value)
            if node["class_type"] == "ACEStepPlanCodes":
                node["inputs"]["batch_size"] = min(node["inputs"]["batch_size"], MOST_CODES)
        return workflow

    def node(self, workflow: Workflow, title: str) -> str:
        (found,) = [i for i, node in workflow.prompt.items() if node["_meta"]["title"].replace(" ", "_") == title]
        return found

    def run(self, workflow: Workflow) -> Outcome:
        with hosting(self.folders):
            report = validate(workflow.prompt, self.registry)
        assert report.error is None and not report.node_errors, (report.error, report.node_errors)
        return asyncio.run(
            self.executor.run(Job(0, "p", workflow.prompt, tuple(report.outputs), client="me")),
        )

    def made(self, name: str, **changes: Any) -> dict[str, list[Path]]:
        """Title of each node that showed files -> the files, of a run that must succeed."""
        workflow = self.quick(name, **changes)
        before = self.files()
        outcome = self.run(workflow)
        assert outcome.success, outcome.error
        declared = [self.place(item) for _, item in shown_files(outcome.outputs)]
        assert len(set(declared)) == len(declared) and set(declared) >= self.files() - before, "every file is declared"
        return {
            workflow.prompt[node_id]["_meta"]["title"]: [self.place(file) for file in shown["audio"]]
            for node_id, shown in outcome.outputs.items()
            if "audio" in shown
        }

    def place(self, item: dict[str, str]) -> Path:
        return getattr(self.folders, item["type"]) / item["subfolder"] / item["filename"]

    def files(self) -> set[Path]:
        """What lies in the folders that nodes write to, apart from datasets and what is trained: that stays there."""
        found = {path for root in (self.folders.output, self.folders.temp) for path in root.rglob("*")}
        found -= {
            path for name in ("datasets", "trainsets", "*/runs") for path in self.folders.output.glob(f"{name}/**/*")
        }
        return {path for path in found if path.is_file() and not path.name.startswith(".")}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Stage:
    folders = Folders.under(tmp_path_factory.mktemp("host"), models=tiny_root)
    lay_recording(folders.input)
    lay_dataset(folders.input, folders.output)
    return Stage(folders)


@pytest.fixture(autouse=True)
def only_tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nothing_known(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
