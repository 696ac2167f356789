"""Running one workflow with many sets of inputs, so that a crash costs at most the row that was running.

A journal beside the results records each row once its files are in place. The files of a row are made in a folder of
their own first; the journal then says which go where before the first is moved, so that a crash during the moves is
repaired at the next start: nothing is made twice, and no file of an unfinished row is left among the results.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acestep_core.errors import GraphError
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.results import Result, RunFailed
from acestep_core.io.files import atomic_write, confine


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a batch file: `.csv` with a header of `NODE.input` names, or one JSON object per line.

    An empty CSV cell leaves the input as the workflow has it.

    Raises:
        GraphError: the file is absent or malformed; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise GraphError(
            f"The batch file {str(path)!r} cannot be read; check the name and save it as UTF-8."
        ) from error
    if path.suffix.lower() == ".csv":
        return list(_csv_rows(text, path.name))
    return list(_json_rows(text, path.name))


def _csv_rows(text: str, name: str) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(csv.DictReader(text.splitlines(keepends=True)), 1):
        if None in row or None in row.values():
            raise GraphError(f"Row {number} of {name} has not as many cells as the header; quote cells with commas.")
        yield {key.strip(): value for key, value in row.items() if value != ""}


def _json_rows(text: str, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise GraphError(f"Line {number} of {name} is not a JSON object; write one object per line.")
        yield row


@dataclass
class RowState:
    """What the journal knows of a row: nothing, where its files are being moved to, or its result."""

    moves: list[tuple[str, str]] = field(default_factory=list)
    moving: dict[str, Any] | None = None
    result: dict[str, Any] | None = None


class Journal:
    """The log of a batch: one JSON object per line, each written through to the disk. A torn last line is ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states: dict[str, RowState] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            self._replay(line)

    def _replay(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            state = self.states.setdefault(entry["row"], RowState())
            if entry["event"] == "moving":
                state.moves = [(str(source), str(target)) for source, target in entry["moves"]]
                state.moving = entry["result"]
            elif entry["event"] == "done":
                state.result = entry["result"]
        except (ValueError, KeyError, TypeError):
            return

    def write(self, row: str, event: str, **details: Any) -> None:
        line = json.dumps({"row": row, "event": event, **details})
        with self.path.open("ab") as file:
            # the line break in front separates this line from one that a crash may have torn
            file.write(f"\n{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        self._replay(line.encode())


def row_key(workflow: Workflow, index: int) -> str:
    """The identity of a row: what runs, and its place. A server knows the row's run by it, even after a restart."""
    text = json.dumps([workflow.prompt, index], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


Run = Callable[[Workflow, Path, str], Awaitable[Result]]
"""Runs a prepared workflow into a folder under a prompt id."""


@dataclass(frozen=True)
class Row:
    """How one row went: exactly one of `result` and `error`. `repeated` rows were done before."""

    index: int
    result: dict[str, Any] | None = None
    error: str | None = None
    repeated: bool = False


async def run_batch(
    workflow: Workflow,
    rows: list[dict[str, Any]],
    output: Path,
    run: Run,
    report: Callable[[Row], None],
    journal: Journal,
) -> bool:
    """Runs each row that the journal does not know as done.

    A row whose node fails is reported and the next one starts; a missing server ends the batch.

    Returns:
        True if every row is done.

    Raises:
        GraphError: a row names an unknown node or input; found before anything runs.
        HostError: the server cannot be reached.
    """
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    prepared = [workflow.with_inputs(values) for values in rows]
    complete = True
    for index, row in enumerate(prepared):
        key = row_key(row, index)
        state = journal.states.setdefault(key, RowState())
        staging = output / f".row-{key[:16]}"
        if state.result is None and state.moving is not None:
            _move(state.moves, staging, output)
            journal.write(key, "done", result=state.moving)
        if state.result is not None:
            shutil.rmtree(staging, ignore_errors=True)
            report(Row(index, state.result, repeated=True))
            continue
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            result = await run(row, staging, str(uuid.UUID(key)))
        except RunFailed as error:
            complete = False
            shutil.rmtree(staging, ignore_errors=True)
            report(Row(index, error=str(error)))
        else:
            report(Row(index, _keep(result, key, staging, output, journal)))
    return complete


def _keep(result: Result, key: str, staging: Path, output: Path, journal: Journal) -> dict[str, Any]:
    """Moves the files of a row among the results and records it."""
    taken: set[Path] = set()
    names: dict[Path, Path] = {}
    for path in result.paths:
        if path.is_relative_to(staging) and path not in names:
            names[path] = _free_name(output / path.relative_to(staging), taken)
    moves = [(str(source.relative_to(staging)), str(target.relative_to(output))) for source, target in names.items()]
    files = {node_id: [names.get(path, path) for path in paths] for node_id, paths in result.files.items()}
    final = Result(result.prompt_id, files, result.texts, result.seconds).to_dict()
    journal.write(key, "moving", moves=moves, result=final)
    _move(moves, staging, output)
    journal.write(key, "done", result=final)
    shutil.rmtree(staging, ignore_errors=True)
    return final


def _free_name(path: Path, taken: set[Path]) -> Path:
    """`path`, or with the next free number: `song_00001_.flac` -> `song_00002_.flac`, `a.flac` -> `a_00001.flac`."""
    stem, _, tail = path.stem.rstrip("_").rpartition("_")
    numbered = bool(stem) and tail.isdigit()
    base, end = (stem, "_" if path.stem.endswith("_") else "") if numbered else (path.stem, "")
    number = int(tail) if numbered else 0
    candidate = path
    while candidate.exists() or candidate in taken:
        number += 1
        candidate = path.with_name(f"{base}_{number:05d}{end}{path.suffix}")
    taken.add(candidate)
    return candidate


def _move(moves: list[tuple[str, str]], staging: Path, output: Path) -> None:
    """Moves what has not been moved yet; may be repeated."""
    for source, target in moves:
        origin, place = confine(source, [staging]), confine(target, [output])
        if origin.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(place) as temporary:
                origin.replace(temporary)


def values_of(settings: list[str]) -> Mapping[str, str]:
    """`["song.caption=lo-fi"]` -> `{"song.caption": "lo-fi"}`.

    Raises:
        GraphError: an entry has no `=`.
    """
    values = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or "." not in key:
            raise GraphError(f"--set takes NODE.input=value, not {setting!r}.")
        values[key.strip()] = value
    return values
