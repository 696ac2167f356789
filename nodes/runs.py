"""Training runs as the canvas sees them: their records, and what may be asked of one that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.errors import InvalidInput

from .host import host
from .routes import item_of

if TYPE_CHECKING:
    from acestep_core.train.checkpoints import RunFolder

RUNS = "acestep/runs"
"""Below the output folder."""
POINTS = 1000
"""Most reports of a step that are handed out at once."""
WISHES = ("stop", "hear")
UNSEEN = ("epoch",)
"""Kinds of records that nothing on the canvas shows, and there are many of them."""


def runs_folder() -> Path:
    return host().output_folder() / RUNS


def shown_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its files as the canvas names them."""
    shown = {name: value for name, value in record.items() if name != "files"}
    if "files" in record:
        root = host().output_folder().resolve()
        paths = [Path(file).resolve() for file in record["files"]]
        shown["songs"] = [item_of(p, root, "output") for p in paths if p.is_relative_to(root) and p.is_file()]
    return shown


def tell_run(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a run has logged, for a monitor that comes later; no records where there is no such run.

    Of very many reports every second one is left out, until they are few enough.
    """
    run = _run(asked)
    if not run.exists:
        return {"run": run.name, "records": []}
    records = run.records()
    steps = [record for record in records if record["kind"] == "step"]
    while len(steps) > POINTS:
        steps = [*steps[:-1:2], steps[-1]]
    kept = {id(record) for record in steps}
    shown = [shown_record(r) for r in records if r["kind"] not in UNSEEN and (r["kind"] != "step" or id(r) in kept)]
    return {"run": run.name, "records": shown}


def ask_run(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Has a run stop and keep, or make a test song, after its step. Raises InvalidInput where there is none."""
    from acestep_core.train.checkpoints import HEAR, STOP

    run, wish = _run(asked), asked.get("wish")
    if wish not in WISHES:
        raise InvalidInput(f"A run can be asked to {' or '.join(WISHES)}, not {str(wish)[:40]!r}.")
    if not run.exists:
        raise InvalidInput(f"There is no run called {run.name!r}; press Run first.")
    run.ask(STOP if wish == "stop" else HEAR)
    return {"run": run.name}


def _run(asked: Mapping[str, Any]) -> RunFolder:
    from acestep_core.pipeline.learning import run_folder
    from acestep_core.train.checkpoints import RunFolder

    return RunFolder(run_folder(runs_folder(), str(asked.get("run") or "")))
