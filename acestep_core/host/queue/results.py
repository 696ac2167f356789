"""What a finished prompt left behind, and how its failure is put into a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acestep_core.errors import Cancelled, HostError, OutOfMemory
from acestep_core.host.graph.workflow import Workflow


class RunFailed(HostError):
    """This workflow cannot be run, or one of its nodes failed; another may still run."""


class OutOfRoom(RunFailed):
    """A node ran out of memory; where there is more of it the workflow may run."""


class WorkerLost(HostError):
    """The process that ran this workflow is gone; another may run it."""


@dataclass(frozen=True)
class Stored:
    """A file in a store: its address, SHA-256 and bytes."""

    uri: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Result:
    """The files and texts of one run, by node id. Files are where the caller wanted them, in a folder or `stored`."""

    prompt_id: str
    files: dict[str, list[Path]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0
    stored: dict[str, list[Stored]] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        return [path for paths in self.files.values() for path in paths]

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        files: dict[str, Any] = {node_id: [str(path) for path in paths] for node_id, paths in self.files.items()}
        told: dict[str, Any] = {
            "prompt_id": self.prompt_id,
            "seconds": round(self.seconds, 3),
            "files": files,
            "texts": self.texts,
        }
        if self.stored:
            told["files"] = files | {node_id: [file.uri for file in found] for node_id, found in self.stored.items()}
            told["sha256"] = {file.uri: file.sha256 for found in self.stored.values() for file in found}
        return told


@dataclass(frozen=True)
class Update:
    """Something to show while a prompt runs: `kind` is queued, cached, node, progress or text."""

    kind: str
    node_id: str = ""
    value: float = 0
    total: float = 0
    text: str = ""


Watch = Callable[[Update], None]
"""Receives updates, in the event loop of whoever runs the prompt."""


def shown_files(outputs: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(node id, {"filename", "subfolder", "type"})` of every file in the outputs that history records."""
    for node_id, shown in outputs.items():
        for items in shown.values() if isinstance(shown, dict) else ():
            for item in items if isinstance(items, list) else ():
                if isinstance(item, dict) and isinstance(item.get("filename"), str):
                    yield node_id, item


def shown_texts(outputs: Mapping[str, Any]) -> dict[str, list[str]]:
    """The texts that nodes show."""
    texts = {}
    for node_id, shown in outputs.items():
        found = shown.get("text") if isinstance(shown, dict) else None
        if found:
            texts[node_id] = [str(text) for text in found]
    return texts


def check_outcome(workflow: Workflow, messages: list[Any]) -> None:
    """Raises what the last message of a history entry says went wrong.

    Raises:
        RunFailed: a node failed.
        Cancelled: the run was interrupted.
    """
    for event, data in messages:
        if event == "execution_interrupted":
            raise Cancelled("The run was cancelled.")
        if event == "execution_error":
            node_id = str(data.get("node_id"))
            reason = str(data.get("exception_message", "")).strip() or data.get("exception_type")
            full = str(data.get("exception_type", "")).rpartition(".")[2] == OutOfMemory.__name__
            raise (OutOfRoom if full else RunFailed)(
                f"Node {workflow.title(node_id)!r} ({node_id}, {data.get('node_type')}) failed: {reason}"
            )


def refusal(workflow: Workflow, error: Any, node_errors: Any) -> RunFailed:
    """The error for a prompt that validation refused, wholly or in part."""
    reasons = []
    for node_id, entry in node_errors.items() if isinstance(node_errors, dict) else ():
        for problem in entry.get("errors", []):
            name = f"{workflow.title(str(node_id))!r} ({node_id})"
            message, details = problem.get("message"), str(problem.get("details"))
            if problem.get("type") == "custom_validation_failed" and " - " in details:  # told for each input again
                message, details = "its own check", details.partition(" - ")[2]
            reasons.append(f"{name}: {message}: {details}")
    if not reasons and isinstance(error, dict):
        reasons.append(f"{error.get('message')} {error.get('details') or ''}".strip())
    return RunFailed(f"The workflow cannot run: {'; '.join(dict.fromkeys(reasons)) or error}.")
