"""`acestep run`: runs a workflow in this process, or makes a song again."""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.engine import RAY, add_row_options, run_on_ray
from acestep_core.commands.flags import examples
from acestep_core.commands.report import result_of, show
from acestep_core.commands.running import (
    add_workflow_options,
    check_repeats,
    interruptible,
    run_all,
    sources_of,
    store_of,
    watch,
)
from acestep_core.commands.workflows import located, recordings
from acestep_core.errors import AudioError, GraphError, InvalidInput
from acestep_core.host.server.host_options import add_host_options, folders_of, packs_of
from acestep_core.io.tags import read_tags
from acestep_core.pipeline.progress import ProgressBar

if TYPE_CHECKING:
    from acestep_core.records.song_record import SongRecord


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
            "acestep run my_graph.json --batch songs.csv --engine ray --workers 4 --store s3://bucket/songs",
            "acestep run output/song.flac",
        ),
    )
    add_workflow_options(parser)
    add_row_options(parser)
    add_host_options(parser)


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
        return run_on_ray(options, runner, packs, workflow, sources)
    stop, store = threading.Event(), store_of(options)
    with ProgressBar() as bar, interruptible(stop.set):

        async def one(row: Any, output: Path | None = None, prompt_id: str | None = None) -> Any:
            if store is not None:
                told = {"watch": watch(row, bar), "stop": stop, "prompt_id": prompt_id}
                return await runner.run_stored(runner.prepare(row, sources), store, str(output), **told)
            return await runner.run(runner.prepare(row, sources), output, watch(row, bar), stop, prompt_id)

        return asyncio.run(run_all(options, workflow, one, sources, bar))


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
