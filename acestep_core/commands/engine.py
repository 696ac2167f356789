"""`--engine ray`: the rows of a batch, or the queue of the canvas, on many workers."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.running import interruptible, run_all, store_of
from acestep_core.errors import InvalidInput
from acestep_core.pipeline.progress import ProgressBar

if TYPE_CHECKING:
    from acestep_core.host.client.local import LocalRunner
    from acestep_core.host.client.ray_workers import RayOptions
    from acestep_core.host.client.sources import Sources
    from acestep_core.host.graph.workflow import Workflow


ENGINES = ("here", "ray")
RAY = ENGINES[1]


def add_engine_options(parser: argparse.ArgumentParser, works: str) -> None:
    """Where what `works` names runs: rows or prompts."""
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help=f"ray runs {works} on several workers at once"
    )
    parser.add_argument(
        "--address",
        default="local",
        metavar="WHERE",
        help="of Ray: local starts one for this alone (default), auto finds the cluster that this machine is part of, "
        "ray://HOST:PORT names one that it is not part of",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="default one per card, or else per processor")
    parser.add_argument(
        "--gpus-per-worker", type=float, default=1.0, metavar="N", help="0.5 lets two share a card (default 1)"
    )
    parser.add_argument(
        "--threads-per-worker", type=int, default=1, metavar="N", help="of workers without a card (default 1)"
    )


def add_row_options(parser: argparse.ArgumentParser) -> None:
    """Where and how the rows of a batch run, and where their files go."""
    parser.add_argument(
        "--store",
        metavar="URI",
        help="where the files of a batch go instead, such as s3://bucket/songs; the journal stays in --output",
    )
    add_engine_options(parser, "the rows of a batch")
    parser.add_argument(
        "--together",
        type=int,
        metavar="N",
        help="rows that differ in seeds and texts alone, which a worker makes at once, as far as its memory goes "
        "(default 8 on a card, else 1); the same songs within rounding",
    )
    parser.add_argument(
        "--row-limit",
        type=float,
        metavar="SECONDS",
        help="after which a row's worker is ended and the row goes elsewhere",
    )


def ray_options(options: argparse.Namespace) -> RayOptions:
    """Where the workers are.

    Raises:
        InvalidInput: there cannot be so many.
    """
    from acestep_core.host.client.ray_workers import RayOptions

    if options.workers is not None and options.workers < 1:
        raise InvalidInput(f"--workers is a number from 1, not {options.workers}.")
    if options.gpus_per_worker < 0:
        raise InvalidInput(f"--gpus-per-worker is a number from 0, not {options.gpus_per_worker}.")
    together = vars(options).get("together")
    if together is not None and together < 1:
        raise InvalidInput(f"--together is a number from 1, not {together}.")
    return RayOptions(options.address, options.workers, options.gpus_per_worker, options.threads_per_worker, together)


def run_on_ray(
    options: argparse.Namespace, runner: LocalRunner, packs: tuple[Path, ...], workflow: Workflow, sources: Sources
) -> int:
    """Runs all rows; exit status 1 if one of them failed."""
    if options.batch is None:
        raise InvalidInput("The engine ray runs the rows of a batch; add --batch FILE.")
    ray_options(options)
    return asyncio.run(_run(options, runner, packs, workflow, sources))


async def _run(
    options: argparse.Namespace, runner: LocalRunner, packs: tuple[Path, ...], workflow: Workflow, sources: Sources
) -> int:
    from acestep_core.host.client.pool import Limits
    from acestep_core.host.client.ray_rows import row_pool, rows_on

    limits = Limits(row=options.row_limit)
    loop, out = asyncio.get_running_loop(), sys.stdout
    # Ray prints what becomes of its workers; standard output is for results alone.
    with redirect_stdout(sys.stderr), ProgressBar() as bar:
        async with row_pool(ray_options(options), runner.folders, packs, not options.disable_metadata, limits) as pool:
            run = rows_on(pool, runner.meeting, store_of(options))

            async def one(row: Any, output: Path, prompt_id: str) -> Any:
                return await run(runner.prepare(row, sources), output, prompt_id)

            with interruptible(lambda: loop.call_soon_threadsafe(pool.drain)):
                return await run_all(options, workflow, one, sources, bar, pool.room, out)
