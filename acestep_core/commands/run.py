"""`acestep run`: runs a workflow in this process, or makes a song again."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, TextIO

from acestep_core.commands.flags import examples, seed
from acestep_core.commands.report import result_of, show, show_error
from acestep_core.commands.workflows import located, recordings
from acestep_core.errors import AudioError, GraphError, InvalidInput
from acestep_core.host.server.host_options import add_host_options, folders_of, packs_of
from acestep_core.io.tags import read_tags
from acestep_core.pipeline.progress import ProgressBar
from acestep_core.values import RANDOM

if TYPE_CHECKING:
    from acestep_core.host.client.sources import Sources
    from acestep_core.host.graph.workflow import Workflow
    from acestep_core.host.queue.results import Result
    from acestep_core.records.song_record import SongRecord


ENGINES = ("here", "ray")
RAY = ENGINES[1]


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "run",
        help="run a workflow here, or make a song again",
        description=__doc__,
        **examples(
            'acestep run text2music --set song.caption="lo-fi piano" --seed 7',
            "acestep run text2music --repeat 4 --seed random",
            "acestep run cover --set recording.audio=demo.wav",
            "acestep run my_graph.json --batch songs.csv",
            "acestep run my_graph.json --batch songs.csv --engine ray --workers 4",
            "acestep run output/song.flac",
        ),
    )
    add_workflow_options(parser)
    add_engine_options(parser)
    add_host_options(parser)


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
    parser.add_argument("--json", action="store_true", help="print each result, and each error, as one line of JSON")


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Where the rows of a batch run."""
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help="ray runs the rows of a batch on several workers at once"
    )
    parser.add_argument(
        "--address",
        default="local",
        metavar="WHERE",
        help="of Ray: local starts one (default), auto finds this machine's cluster, ray://host:10001 another",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="default one per card, or else per processor")
    parser.add_argument(
        "--gpus-per-worker", type=float, default=1.0, metavar="N", help="0.5 lets two share a card (default 1)"
    )
    parser.add_argument(
        "--threads-per-worker", type=int, default=1, metavar="N", help="of workers without a card (default 1)"
    )
    parser.add_argument(
        "--row-limit",
        type=float,
        metavar="SECONDS",
        help="after which a row's worker is ended and the row goes elsewhere",
    )


def run(options: argparse.Namespace) -> int:
    from acestep_core.host.client.batch import values_of
    from acestep_core.host.client.local import LocalRunner

    options.file = located(options.file)
    record = _record_without_graph(options.file)
    if record is not None:
        return make_again(options, record)
    check_repeats(options)
    packs = packs_of(options)
    runner = LocalRunner(folders_of(options, options.output), packs, not options.disable_metadata)
    workflow = runner.load(options.file).with_inputs(values_of(options.set))
    sources = sources_of(options, runner.folders.input, *recordings())
    if options.engine == RAY:
        from acestep_core.commands.engine import run_on_ray

        return run_on_ray(options, runner, packs, workflow, sources)
    stop = threading.Event()
    with ProgressBar() as bar, interruptible(stop.set):

        async def one(row: Any, output: Path | None = None, prompt_id: str | None = None) -> Any:
            return await runner.run(runner.prepare(row, sources), output, watch(row, bar), stop, prompt_id)

        return asyncio.run(run_all(options, workflow, one, sources, bar))


def sources_of(options: argparse.Namespace, *folders: Path) -> Sources:
    """The files that the workflow may name: in the working folder, its own, and `folders`, or named by the user."""
    from acestep_core.host.client.batch import values_of
    from acestep_core.host.client.sources import Sources

    batches = [] if options.batch is None else [options.batch.parent]
    typed = [Path(value) for value in values_of(options.set).values() if value]
    return Sources([Path(), options.file.parent, *batches, *folders], [*options.allow_file, *typed])


def check_repeats(options: argparse.Namespace) -> None:
    """Refuses a number of runs that makes no sense."""
    if options.repeat < 1:
        raise InvalidInput(f"--repeat is a number of runs from 1, not {options.repeat}.")
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


def make_again(options: argparse.Namespace, record: SongRecord) -> int:
    """Replays the song of a record into the output folder, in the format it had."""
    from acestep_core.checkpoints.find import search_roots
    from acestep_core.io.formats import FORMATS
    from acestep_core.pipeline.replay import replay

    if options.set or options.batch is not None or options.seed is not None or options.repeat != 1:
        raise InvalidInput(
            "No graph made this song, so it is made again as it was, without --set, --seed, --repeat and --batch; "
            "edit its record instead."
        )
    start = time.perf_counter()
    given = [options.models_directory] if options.models_directory else []
    roots = [*given, *search_roots([options.base_directory / "models"])]
    form = record.finish.get("format")
    form = form if form in FORMATS else "flac"
    bitrate = record.finish.get("bitrate") if FORMATS[form].bitrates else None
    stop = threading.Event()
    with ProgressBar() as bar, interruptible(stop.set):
        made = replay(options.file, roots=roots, progress=bar, cancelled=stop.is_set)
    target = options.output / f"{options.file.stem}{FORMATS[form].suffix}"
    paths = made.save(target, form, bitrate, record=not options.disable_metadata)
    show(result_of({"song": paths}, {"song": made.seeds}, time.perf_counter() - start), options.json)
    return 0


def _record_without_graph(file: Path) -> SongRecord | None:
    """The record in a file, where it is one and the library itself made the song; graphs are run by the host."""
    from acestep_core.host.graph.workflow import read_json
    from acestep_core.records.song_record import SongRecord, is_record

    tags: dict[str, str] = {}
    with suppress(AudioError):  # whoever reads it as a workflow says what is wrong
        tags = read_tags(file)
    if tags.keys() & {"prompt", "workflow"}:
        return None
    try:
        values = json.loads(tags["acestep"]) if tags.get("acestep") else read_json(file)
    except (GraphError, ValueError, RecursionError):
        return None  # likewise
    record = SongRecord.from_dict(values) if is_record(values) else None
    return None if record is None or record.graph is not None else record


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
    from acestep_core.host.client.batch import Journal, Row, run_batch
    from acestep_core.host.client.rows import read_rows

    rows = read_rows(options.batch)
    journal = Journal(options.output / f"{options.batch.stem}.journal.jsonl")
    bar.part = f"1/{len(rows)}" if at_once == 1 else ""
    ended = 0

    def report(row: Row) -> None:
        nonlocal ended
        ended += 1
        if at_once == 1:
            bar.close()
            bar.part = f"{row.index + 2}/{len(rows)}"
        else:
            bar("rows", ended, len(rows))
        if row.error is not None:
            show_error(row.error, options.json, out, row=row.index + 1)
        elif row.result is not None:
            shown = {"row": row.index + 1, "repeated": row.repeated, **row.result, "seeds": _seeds(row.workflow)}
            show(shown, options.json, out)

    done = await run_batch(workflow, rows, one, report, journal, sources.check, at_once=at_once)
    return 0 if done else 1


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
