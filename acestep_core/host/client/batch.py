"""Running one workflow with many sets of inputs, so that a crash costs at most the row that was running.

A journal beside the results records each row once its files are in place. The files of a row are made on a stage (see
`acestep_core.io.staging`) and arrive together, under free names, or not at all; a crash while they move is repaired at
the next start: nothing is made twice, and no file of an unfinished row is left among the results.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from acestep_core.errors import Cancelled, GraphError
from acestep_core.host.client.stores import Store
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.results import Result, RunFailed, WorkerLost
from acestep_core.io.locks import locked
from acestep_core.io.names import ROW
from acestep_core.io.stages import Stages
from acestep_core.io.staging import finish_leftovers

ATTEMPTS = 3
"""How often a row is run whose worker is lost."""


class Journal:
    """The log of a batch in the folder of its results: one JSON object per line for each row that is done.

    Each line is written through to the disk; a torn last line is ignored. Paths are relative to the folder, with
    slashes, so that the folder may be moved, to another system too.

    Attributes:
        thread: brings the files of rows in, one row after the other, while others run.
        stages: where rows are made.
    """

    thread: Executor
    stages: Stages

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent.resolve()
        self.owner = f"r{hashlib.sha256(path.name.encode()).hexdigest()[:6]}"
        self._done: dict[str, int] = {}  # where a row's line begins: a million entries are not kept in memory
        self._salt = ""
        self._writing = Lock()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Reads the journal, for this process alone, and completes what a killed one was about to bring in.

        Raises:
            Busy: the batch is running in another process.
            StorageError: the folder is not writable.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / f".{self.path.name}.lock"), ThreadPoolExecutor(1) as self.thread:
            if self.path.exists():
                with self.path.open("rb") as file:
                    at = 0
                    for line in file:
                        self._replay(line, at)
                        at += len(line)
            for (row, result), moved in finish_leftovers(self.folder, self.owner):
                self.write(row, result, moved)
            with closing(Stages(self.folder, self.owner)) as self.stages:
                yield

    def result(self, row: str) -> dict[str, Any] | None:
        """What a row made, as `Result.to_dict` tells it; None if it is not done, or a file of it is gone."""
        if row not in self._done:
            return None
        with self.path.open("rb") as file:
            file.seek(self._done[row])
            entry = json.loads(file.readline())
        if not all((self.folder / name).is_file() for name in entry["made"]):
            return None
        files = {node: [self._place(name) for name in names] for node, names in entry["result"]["files"].items()}
        return entry["result"] | {"files": files}

    def _place(self, name: str) -> str:
        """Where a file is: in a store, or in the folder."""
        return name if "://" in name else str(self.folder / name)

    def write(self, row: str, result: dict[str, Any], moved: Mapping[str, Path]) -> None:
        """Records a row as done.

        Args:
            result: files that were made on the stage by their path there.
            moved: where each of them is now.
        """
        places = {name: path.relative_to(self.folder).as_posix() for name, path in moved.items()}
        files = {node: [places.get(name, name) for name in names] for node, names in result["files"].items()}
        self._append({"row": row, "made": list(places.values()), "result": result | {"files": files}})

    def draws(self, row: str) -> Random:
        """What a row draws its seeds from: the same numbers whenever it is asked for, in this journal alone."""
        if not self._salt:
            self._append({"salt": secrets.token_hex(16)})
        return Random(f"{self._salt} {row}")

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry).encode()
        with self._writing, self.path.open("ab") as file:
            # the line break in front separates this line from one that a crash may have torn
            at = file.tell() + 1
            file.write(b"\n" + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._replay(line, at)

    def _replay(self, line: bytes, at: int) -> None:
        try:
            entry = json.loads(line)
            if isinstance(entry, dict) and isinstance(entry.get("salt"), str):
                self._salt = entry["salt"]
            elif isinstance(entry["made"], list) and isinstance(entry["result"]["files"], dict):
                self._done[entry["row"]] = at
        except (ValueError, KeyError, TypeError):
            return


def row_keys(rows: Iterable[Workflow]) -> list[str]:
    """The identity of each row: what runs, and how many equal rows came before. A server knows the row's run by it."""
    seen: Counter[bytes] = Counter()
    keys = []
    for row in rows:
        text = json.dumps(row.prompt, sort_keys=True)
        content = hashlib.sha256(text.encode()).digest()
        keys.append(hashlib.sha256(f"{seen[content]} {text}".encode()).hexdigest()[:32])
        seen[content] += 1
    return keys


Run = Callable[[Workflow, Path, str], Awaitable[Result]]
"""Runs a prepared workflow into a folder under a prompt id."""


@dataclass(frozen=True)
class Row:
    """How one row, `workflow`, went: exactly one of `result` and `error`. `repeated` rows were done before."""

    index: int
    workflow: Workflow
    result: dict[str, Any] | None = None
    error: str | None = None
    repeated: bool = False


async def run_batch(
    workflow: Workflow,
    rows: Sequence[dict[str, Any]],
    run: Run,
    report: Callable[[Row], None],
    journal: Journal,
    check: Callable[[Workflow], object] = lambda row: None,
    *,
    at_once: int = 1,
    per_folder: int = 0,
    store: Store | None = None,
) -> bool:
    """Runs each row that the journal does not know as done, into the journal's folder.

    A row whose node fails is reported and the next one starts; a missing server ends the batch. A row whose worker is
    lost is run again, `ATTEMPTS` times in all.

    Args:
        check: is shown every row before the first one runs, and raises if it may not run.
        at_once: how many rows are given to `run` at a time.
        per_folder: rows whose files share a folder, such as `0000012000`; 0 for all.
        store: where `run` brings the files itself, below the folder of its argument.

    Returns:
        True if every row is done.

    Raises:
        GraphError: a row names an unknown node or input; found before anything runs.
        HostError: the server cannot be reached.
        Busy: the same batch is running in another process.
    """

    def checked() -> Iterator[Workflow]:
        for values in rows:
            row = workflow.with_inputs(values)
            check(row)
            yield row

    complete = True
    keys = row_keys(checked())
    running: set[asyncio.Task[None]] = set()
    broken: list[BaseException] = []
    places = asyncio.Semaphore(at_once)

    async def one(index: int, asked: Workflow, key: str) -> None:
        nonlocal complete
        folder = f"{index - index % per_folder:010d}" if per_folder else ""
        row = await _row(index, asked, key, run, journal, folder, store is None)
        complete = complete and row.error is None
        report(row)

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            broken.append(error)
        places.release()

    async def place() -> None:
        """Waits until one row more may run."""
        await places.acquire()
        if broken:
            raise broken[0]

    with journal.opened():
        try:
            if store is not None:
                await asyncio.to_thread(store.opened)
            await place()
            for index, (values, key) in enumerate(zip(rows, keys, strict=True)):
                row = workflow.with_inputs(values)
                row = row.drawn(journal.draws(key)) if row.draws else row
                known = journal.result(key)
                if known is not None:
                    report(Row(index, row, known, repeated=True))
                    continue
                task = asyncio.create_task(one(index, row, key))
                running.add(task)
                task.add_done_callback(ended)
                await place()
            for _ in range(at_once - 1):
                await place()
        except Cancelled:
            await asyncio.gather(*running, return_exceptions=True)  # what has begun may end
            raise
        finally:
            left = [*running]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
    return complete


async def _row(index: int, row: Workflow, key: str, run: Run, journal: Journal, folder: str, staged: bool) -> Row:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return Row(index, row, await (_run_row if staged else _run_stored)(row, key, run, journal, folder))
        except RunFailed as error:
            return Row(index, row, error=str(error))
        except WorkerLost as error:
            lost = f"{error} The row was tried {attempt} times."
    return Row(index, row, error=lost)


async def _run_row(row: Workflow, key: str, run: Run, journal: Journal, folder: str) -> dict[str, Any]:
    """Runs a row on a stage of its own, brings all its files in, and records it."""
    with journal.stages.one() as stage:
        made = await run(row, stage.folder / folder, str(uuid.UUID(key)))
        files = {node: [_below(path, stage.folder) for path in paths] for node, paths in made.files.items()}
        result = made.to_dict() | {"files": files}

        def bring_in() -> None:
            journal.write(key, result, stage.deliver(ROW, note=[key, result]))

        await _to_its_end(journal.thread, bring_in)
    known = journal.result(key)
    if known is None:
        raise RunFailed("A file of the row was removed while it was brought in; run the batch again.")
    return known


async def _run_stored(row: Workflow, key: str, run: Run, journal: Journal, folder: str) -> dict[str, Any]:
    """Runs a row that brings its own files in, and records it."""
    result = (await run(row, Path(folder), str(uuid.UUID(key)))).to_dict()
    await _to_its_end(journal.thread, lambda: journal.write(key, result, {}))
    return result


async def _to_its_end(thread: Executor, work: Callable[[], None]) -> None:
    """Does something in a thread, and waits for its end even if nobody wants it any more."""
    done = asyncio.get_running_loop().run_in_executor(thread, work)
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


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
