"""What `acestep run` and `acestep queue` have in common: which runs, of what, and how they are told."""

from __future__ import annotations

import argparse
import re
import secrets
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, TextIO

from acestep_core.commands.flags import seed
from acestep_core.commands.report import Pace, show, show_error, show_pace
from acestep_core.errors import InvalidInput
from acestep_core.pipeline.progress import ProgressBar
from acestep_core.values import RANDOM

if TYPE_CHECKING:
    from acestep_core.host.client.batch import Journal
    from acestep_core.host.client.sources import Sources
    from acestep_core.host.client.stores import Store
    from acestep_core.host.graph.workflow import Workflow
    from acestep_core.host.queue.results import Result


def add_workflow_options(parser: argparse.ArgumentParser) -> None:
    """What `run` and `queue` have in common."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="WORKFLOW",
        help="name of a workflow (see `acestep workflows`), canvas or API file, or a song or record that holds one",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.input=value",
        help="change an input; NODE is a title, an id or a type; may be repeated",
    )
    parser.add_argument("--seed", type=seed, metavar="N", help="for every seed of the workflow; or random")
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="run so many times, with seeds that go up or are drawn"
    )
    parser.add_argument(
        "--batch",
        type=Path,
        metavar="FILE",
        help="one run per row of a .csv or .jsonl with NODE.input columns, or per recording of a folder",
    )
    parser.add_argument(
        "--rows-per-folder", type=int, default=0, metavar="N", help="files of so many rows share a folder (default all)"
    )
    parser.add_argument(
        "--allow-file",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="a file or folder that the workflow may use, beside the recordings in its own and the working folder; "
        "may be repeated",
    )
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR", help="default ./output")
    parser.add_argument("--json", action="store_true", help="print each result, and each error, as one line of JSON")


def sources_of(options: argparse.Namespace, *folders: Path) -> Sources:
    """The files that the workflow may name: in the working folder, its own, and `folders`, or named by the user."""
    from acestep_core.host.client.batch import values_of
    from acestep_core.host.client.sources import Sources

    batches = [] if options.batch is None else [options.batch.parent, options.batch]
    typed = [Path(value) for value in values_of(options.set).values() if value]
    return Sources([Path(), options.file.parent, *batches, *folders], [*options.allow_file, *typed])


def check_repeats(options: argparse.Namespace) -> None:
    """Refuses a number of runs that makes no sense."""
    if options.repeat < 1:
        raise InvalidInput(f"--repeat is a number of runs from 1, not {options.repeat}.")
    if re.match(r"[\w+]{2,}:/", options.output.as_posix()):
        raise InvalidInput("--output is a folder, of the journal too; give the address as --store, with --batch.")
    if options.rows_per_folder < 0:
        raise InvalidInput(f"--rows-per-folder is a number from 0, not {options.rows_per_folder}.")
    if options.batch is not None and (options.repeat != 1 or options.seed == RANDOM):
        raise InvalidInput("The rows of a --batch decide its runs and seeds; leave out --repeat and --seed random.")


One = Callable[..., Awaitable["Result"]]
"""Runs a workflow: `one(workflow, output folder, prompt id)`."""


async def run_all(
    options: argparse.Namespace,
    workflow: Workflow,
    one: One,
    sources: Sources,
    bar: ProgressBar,
    at_once: int = 1,
    out: TextIO | None = None,
) -> int:
    """Runs a workflow as often as was asked; exit status 1 if a row of a batch failed. Results are told to `out`."""
    if options.batch is not None:
        return await _batch(options, _seeded(workflow, options.seed, 0), one, sources, bar, at_once, out)
    for number in range(options.repeat):
        row = _seeded(workflow.drawn(SystemRandom()), options.seed, number)
        bar.part = f"{number + 1}/{options.repeat}" if options.repeat > 1 else ""
        done = await one(row)
        bar.close()
        shown = done.to_dict() | ({"row": number + 1} if options.repeat > 1 else {})
        show(shown | {"seeds": _seeds(row)}, options.json)
    return 0


def _seeded(workflow: Workflow, wish: int | str | None, number: int) -> Workflow:
    """The workflow for one run of several, with seeds of its own."""
    places = workflow.seeds()
    if not places and (wish is not None or number):
        raise InvalidInput("The workflow has no seed, so every run gives the same; leave out --seed and --repeat.")
    drawn = secrets.randbits(32) if wish == RANDOM else None
    changed = workflow.with_inputs({})
    for (node_id, name), before in places.items():
        first = drawn if drawn is not None else (before if wish is None else int(wish))
        changed.put(node_id, name, first if drawn is not None else first + number * workflow.batch_size)
    return changed


def _seeds(workflow: Workflow) -> dict[str, list[int]]:
    """The seeds of a workflow under the titles of its nodes."""
    found: dict[str, list[int]] = {}
    for (node_id, name), value in workflow.seeds().items():
        found.setdefault(f"{workflow.title(node_id)}.{name}", []).append(value)
    return found


async def _batch(
    options: argparse.Namespace,
    workflow: Workflow,
    one: One,
    sources: Sources,
    bar: ProgressBar,
    at_once: int,
    out: TextIO | None,
) -> int:
    """Runs all rows; exit status 1 if one of them failed."""
    from acestep_core.host.client.batch import Row, run_batch
    from acestep_core.host.client.rows import read_rows, rows_of_folder

    rows = rows_of_folder(options.batch, workflow) if options.batch.is_dir() else read_rows(options.batch)
    journal, store = journal_of(options), store_of(options)
    bar.part = f"1/{len(rows)}" if at_once == 1 else ""
    pace = Pace(len(rows))

    def report(row: Row) -> None:
        pace.note("failed" if row.error is not None else "done before" if row.repeated else "made")
        if at_once == 1:
            bar.close()
            bar.part = f"{row.index + 2}/{len(rows)}"
        else:
            bar("rows", pace.ended, len(rows))
        if row.error is not None:
            show_error(row.error, options.json, out, row=row.index + 1)
        elif row.result is not None:
            shown = {"row": row.index + 1, "repeated": row.repeated, **row.result, "seeds": _seeds(row.workflow)}
            show(shown, options.json, out)
        if not options.json and not row.repeated:
            show_pace(pace)

    per_folder, check = options.rows_per_folder, sources.check
    done = await run_batch(
        workflow, rows, one, report, journal, check, at_once=at_once, per_folder=per_folder, store=store
    )
    if not options.json:
        show_pace(pace.end())
    return 0 if done else 1


def journal_of(options: argparse.Namespace) -> Journal:
    """What is done of a batch, in its output folder."""
    from acestep_core.host.client.batch import Journal

    return Journal(options.output / f"{options.batch.resolve().stem}.journal.jsonl")


def store_of(options: argparse.Namespace) -> Store | None:
    """Where the files of a batch go that is no folder.

    Raises:
        InvalidInput: there is no batch, or the address is none.
    """
    uri = vars(options).get("store")
    if uri is None:
        return None
    from acestep_core.host.client.stores import Store

    if options.batch is None:
        raise InvalidInput("--store takes the files of a batch; add --batch FILE.")
    if "://" not in uri:
        raise InvalidInput(f"--store takes an address such as s3://bucket/songs, not {uri!r}; a folder is --output.")
    return Store(uri, journal_of(options).owner)


def watch(workflow: Any, bar: ProgressBar) -> Callable[[Any], None]:
    """Shows updates on the terminal's progress bar, under the titles that the user gave the nodes."""

    def update(news: Any) -> None:
        if news.kind == "progress":
            bar(workflow.title(news.node_id), int(news.value), int(news.total))
        elif news.kind == "node":
            bar(workflow.title(news.node_id), 0, 1)

    return update


@contextmanager
def interruptible(stop: Callable[[], object]) -> Iterator[None]:
    """While the block runs, Ctrl-C calls `stop`, which lets what runs come to an end; a second one ends it at once."""
    asked = False

    def handle(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
