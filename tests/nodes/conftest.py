"""The pack as a host loads it, and a small bench to run graphs on the tiny checkpoint."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.context import Folders, hosting
from acestep_core.host.graph.packs import Pack, Registry, load_pack
from acestep_core.host.graph.stock_nodes import PACKS
from acestep_core.host.graph.validation import validate
from acestep_core.host.queue.executor import Executor, Job, Outcome
from acestep_core.host.server.host import inference_mode
from tests.places import nothing_known

ROOT = Path(__file__).parents[2]


class Recorder:
    """Takes down what a client would see."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.pictures: list[Any] = []
        self.lines: list[str] = []

    def send(self, event: str, data: dict[str, Any], client: str | None = None) -> None:
        self.events.append((event, data))

    def preview(self, image: Any, about: dict[str, Any], client: str | None) -> None:
        self.pictures.append(image)

    def text(self, node_id: str, prompt_id: str, text: str, client: str | None) -> None:
        self.lines.append(text)

    def watching(self, client: str | None) -> bool:
        return True


class Bench:
    """Runs graphs in API form the way the embedded host does."""

    def __init__(self, registry: Registry, folders: Folders) -> None:
        self.folders = folders
        self.sink = Recorder()
        self.registry = registry
        self.executor = Executor(registry, folders, self.sink, guard=inference_mode)

    def __call__(self, stop: threading.Event | None = None, **nodes: tuple[str, dict[str, Any]]) -> Outcome:
        """Each keyword is a node: `name=("Class", {inputs})`; `"name.0"` in an input is a link to output 0."""
        return self.run(graph(**nodes), stop)

    def run(self, prompt: dict[str, Any], stop: threading.Event | None = None) -> Outcome:
        with hosting(self.folders):
            report = validate(prompt, self.registry)
        assert report.error is None and not report.node_errors, (report.error, report.node_errors)
        return asyncio.run(self.executor.run(Job(0, "p", prompt, tuple(report.outputs), client="me"), stop))

    @staticmethod
    def said(outcome: Outcome) -> list[str]:
        """The texts that stay under the nodes of a run."""
        return [text for shown in outcome.outputs.values() for text in shown.get("text", ())]


def graph(**nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    def value(given: Any) -> Any:
        if isinstance(given, str) and given.rpartition(".")[0] in nodes and given.rpartition(".")[2].isdigit():
            return [given.rpartition(".")[0], int(given.rpartition(".")[2])]
        return given

    return {
        name: {"class_type": kind, "inputs": {key: value(given) for key, given in inputs.items()}}
        for name, (kind, inputs) in nodes.items()
    }


@pytest.fixture(scope="session")
def pack() -> Pack:
    return load_pack(ROOT)


@pytest.fixture(scope="session")
def registry(pack: Pack) -> Registry:
    return Registry([*PACKS, pack])


@pytest.fixture(autouse=True)
def only_tiny(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """Nothing outside the tests is found: no models of this machine, no working folder with files."""
    nothing_known(monkeypatch, tmp_path_factory.getbasetemp() / "cache")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folders(tmp_path: Path, tiny_root: Path) -> Folders:
    """Host folders whose models are the tiny ones."""
    return Folders.under(tmp_path / "host", models=tiny_root)


@pytest.fixture
def bench(registry: Registry, folders: Folders) -> Bench:
    return Bench(registry, folders)


@pytest.fixture
def call(pack: Pack, folders: Folders) -> Iterator[Callable[..., Any]]:
    """Calls one node directly, as inside the host; of a node that only passes things on, its outputs."""

    def run(node_id: str, **inputs: Any) -> Any:
        node = pack.classes[node_id]()
        with hosting(folders):
            returned = getattr(node, node.FUNCTION)(**inputs)
        told = isinstance(returned, dict) and not getattr(node, "OUTPUT_NODE", False)
        return returned["result"] if told else returned

    yield run
