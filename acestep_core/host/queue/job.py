"""A prompt that may run, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Job:
    """A validated prompt with all that came with it.

    Args:
        number: place in the queue; lower runs earlier.
        prompt: API format, values already converted by validation.
        outputs: ids of the output nodes to run.
        extra: `extra_data` of the request, without secrets.
        client: who hears about it; None for nobody.
    """

    number: float
    id: str
    prompt: Mapping[str, Any]
    outputs: tuple[str, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    client: str | None = None


@dataclass
class Outcome:
    """How a prompt ended, as history records it."""

    success: bool = True
    messages: list[list[Any]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> dict[str, Any] | None:
        """The data of the `execution_error` or `execution_interrupted` message, if there is one."""
        for event, data in self.messages:
            if event in ("execution_error", "execution_interrupted"):
                return data
        return None


def failed(job: Job, message: str, kind: str) -> Outcome:
    """How a job ended that no node failed: `kind` is the name of the error."""
    about = {"exception_message": f"{message}\n", "exception_type": kind, "traceback": []}
    details = {**about, "current_inputs": {}, "current_outputs": []}
    return Outcome(success=False, messages=[["execution_error", _ended(job, details)]])


def interrupted(job: Job) -> Outcome:
    """How a job ended that was stopped before it began."""
    return Outcome(success=False, messages=[["execution_interrupted", _ended(job, {})]])


def _ended(job: Job, details: Mapping[str, Any]) -> dict[str, Any]:
    node_id = job.outputs[0]
    about = {"prompt_id": job.id, "node_id": node_id, "node_type": job.prompt[node_id]["class_type"], "executed": []}
    return {**about, **details, "timestamp": int(time.time() * 1000)}
