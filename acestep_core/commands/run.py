"""`acestep run`: runs a workflow file in this process."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acestep_core.commands.progress import ProgressBar
from acestep_core.host.options import add_host_options, folders_of, packs_of


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("run", help="run a workflow file here", description=__doc__)
    add_workflow_options(parser)
    add_host_options(parser)


def add_workflow_options(parser: argparse.ArgumentParser) -> None:
    """What `run` and `queue` have in common."""
    parser.add_argument("file", type=Path, metavar="FILE", help="canvas or API-format workflow")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.input=value",
        help="change an input; NODE is a title, an id or a type; may be repeated",
    )
    parser.add_argument(
        "--batch", type=Path, metavar="FILE", help="one run per row of a .csv or .jsonl with NODE.input columns"
    )
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR", help="default ./output")
    parser.add_argument("--json", action="store_true", help="print each result as one line of JSON")


def run(options: argparse.Namespace) -> int:
    from acestep_core.host.batch import values_of
    from acestep_core.host.local import LocalRunner

    runner = LocalRunner(folders_of(options, options.output), packs_of(options), not options.disable_metadata)
    workflow = runner.load(options.file).with_inputs(values_of(options.set))
    places = (Path(), options.file.parent)
    stop = threading.Event()
    with ProgressBar() as bar, _interruptible(stop):

        async def one(row: Any, output: Path | None = None, prompt_id: str | None = None) -> Any:
            return await runner.run(runner.prepare(row, places), output, watch(row, bar), stop, prompt_id)

        if options.batch is None:
            show(asyncio.run(one(workflow)).to_dict(), options.json)
            return 0
        return asyncio.run(batch(options, workflow, one))


async def batch(options: argparse.Namespace, workflow: Any, one: Any) -> int:
    """Runs all rows; exit status 1 if one of them failed."""
    from acestep_core.host.batch import Journal, Row, read_rows, run_batch

    rows = read_rows(options.batch)
    journal = Journal(options.output / f"{options.batch.stem}.journal.jsonl")

    def report(row: Row) -> None:
        if row.error is not None:
            sys.stderr.write(f"acestep: row {row.index + 1}: {row.error}\n")
            if options.json:
                show({"row": row.index + 1, "error": row.error}, True)
        elif row.result is not None:
            show({"row": row.index + 1, "repeated": row.repeated, **row.result}, options.json)

    return 0 if await run_batch(workflow, rows, options.output, one, report, journal) else 1


def show(result: dict[str, Any], as_json: bool) -> None:
    """Prints what a run made: JSON, or a file or text per line."""
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        for paths in result["files"].values():
            sys.stdout.writelines(f"{path}\n" for path in paths)
        for texts in result["texts"].values():
            sys.stdout.writelines(f"{text}\n" for text in texts)
    sys.stdout.flush()


def watch(workflow: Any, bar: ProgressBar) -> Callable[[Any], None]:
    """Shows updates on the terminal's progress bar, under the titles that the user gave the nodes."""

    def update(news: Any) -> None:
        if news.kind == "progress":
            bar(workflow.title(news.node_id), int(news.value), int(news.total))
        elif news.kind == "node":
            bar(workflow.title(news.node_id), 0, 1)

    return update


@contextmanager
def _interruptible(stop: threading.Event) -> Iterator[None]:
    """While the block runs, Ctrl-C asks the running node to stop; a second one stops at once."""

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
