"""`acestep run`: runs a workflow file in this process, or makes a song again from its record."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.progress import ProgressBar
from acestep_core.errors import InvalidInput
from acestep_core.host.server.host_options import add_host_options, folders_of, packs_of
from acestep_core.io.text import read_text

if TYPE_CHECKING:
    from acestep_core.host.client.sources import Sources
    from acestep_core.records.song_record import SongRecord


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("run", help="run a workflow file or a song's record here", description=__doc__)
    add_workflow_options(parser)
    add_host_options(parser)


def add_workflow_options(parser: argparse.ArgumentParser) -> None:
    """What `run` and `queue` have in common."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="canvas or API-format workflow, or the record of a song"
    )
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
    parser.add_argument("--json", action="store_true", help="print each result as one line of JSON")


def run(options: argparse.Namespace) -> int:
    from acestep_core.host.client.batch import values_of
    from acestep_core.host.client.local import LocalRunner

    record = _record_without_graph(options.file)
    if record is not None:
        return make_again(options, record)
    runner = LocalRunner(folders_of(options, options.output), packs_of(options), not options.disable_metadata)
    workflow = runner.load(options.file).with_inputs(values_of(options.set))
    sources = sources_of(options, runner.folders.input)
    stop = threading.Event()
    with ProgressBar() as bar, _interruptible(stop):

        async def one(row: Any, output: Path | None = None, prompt_id: str | None = None) -> Any:
            return await runner.run(runner.prepare(row, sources), output, watch(row, bar), stop, prompt_id)

        if options.batch is None:
            show(asyncio.run(one(workflow)).to_dict(), options.json)
            return 0
        return asyncio.run(batch(options, workflow, one, sources))


def sources_of(options: argparse.Namespace, *folders: Path) -> Sources:
    """The files that the workflow may name: in the working folder, its own, and `folders`, or named by the user."""
    from acestep_core.host.client.batch import values_of
    from acestep_core.host.client.sources import Sources

    batches = [] if options.batch is None else [options.batch.parent]
    typed = [Path(value) for value in values_of(options.set).values() if value]
    return Sources([Path(), options.file.parent, *batches, *folders], [*options.allow_file, *typed])


def _record_without_graph(file: Path) -> SongRecord | None:
    """The record in a file, where it is one and the library itself made the song; graphs are run by the host."""
    from acestep_core.records.song_record import SongRecord, is_record

    try:
        values = json.loads(read_text(file))
    except (ValueError, RecursionError):
        return None  # whoever reads it as a workflow says what is wrong
    record = SongRecord.from_dict(values) if is_record(values) else None
    return None if record is None or record.graph is not None else record


def make_again(options: argparse.Namespace, record: SongRecord) -> int:
    """Replays the song of a record into the output folder, in the format it had."""
    from acestep_core.checkpoints.find import search_roots
    from acestep_core.io.formats import FORMATS
    from acestep_core.pipeline.replay import replay

    if options.set or options.batch is not None:
        raise InvalidInput(
            "No graph made this song, so there is nothing to --set or to --batch; edit the file instead."
        )
    start = time.perf_counter()
    given = [options.models_directory] if options.models_directory else []
    roots = [*given, *search_roots([options.base_directory / "models"])]
    form = record.finish.get("format")
    form = form if form in FORMATS else "flac"
    bitrate = record.finish.get("bitrate") if FORMATS[form].bitrates else None
    stop = threading.Event()
    with ProgressBar() as bar, _interruptible(stop):
        made = replay(options.file, roots=roots, progress=bar, cancelled=stop.is_set)
    target = options.output / f"{options.file.stem}{FORMATS[form].suffix}"
    paths = made.save(target, form, bitrate, record=not options.disable_metadata)
    files = {"song": [str(path) for path in paths]}
    show({"seconds": round(time.perf_counter() - start, 3), "files": files, "texts": {}}, options.json)
    return 0


async def batch(options: argparse.Namespace, workflow: Any, one: Any, sources: Sources) -> int:
    """Runs all rows; exit status 1 if one of them failed."""
    from acestep_core.host.client.batch import Journal, Row, run_batch
    from acestep_core.host.client.rows import read_rows

    rows = read_rows(options.batch)
    journal = Journal(options.output / f"{options.batch.stem}.journal.jsonl")

    def report(row: Row) -> None:
        if row.error is not None:
            sys.stderr.write(f"acestep: row {row.index + 1}: {row.error}\n")
            if options.json:
                show({"row": row.index + 1, "error": row.error}, True)
        elif row.result is not None:
            show({"row": row.index + 1, "repeated": row.repeated, **row.result}, options.json)

    return 0 if await run_batch(workflow, rows, one, report, journal, sources.check) else 1


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
