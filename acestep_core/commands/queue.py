"""`acestep queue`: runs a workflow on a ComfyUI or `acestep serve` somewhere else."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from acestep_core.commands.flags import examples
from acestep_core.commands.running import add_workflow_options, check_repeats, run_all, sources_of, watch
from acestep_core.commands.workflows import located
from acestep_core.host.server.host_options import add_token_options, token_of
from acestep_core.pipeline.progress import ProgressBar


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "queue",
        help="run a workflow on a server",
        description=__doc__,
        **examples(
            "acestep queue text2music --server http://127.0.0.1:8188 --set sampler.steps=8",
            "acestep queue my_graph.json --batch songs.csv --output night",
        ),
    )
    add_workflow_options(parser)
    parser.add_argument("--server", default="http://127.0.0.1:8188", metavar="URL", help="default 127.0.0.1:8188")
    add_token_options(parser, "for a server that asks for one")


def run(options: argparse.Namespace) -> int:
    options.file = located(options.file)
    check_repeats(options)
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    from acestep_core.host.client.batch import values_of
    from acestep_core.host.client.client import HostClient

    async with HostClient(options.server, token_of(options)) as client:
        workflow = (await client.load(options.file)).with_inputs(values_of(options.set))
        sources = sources_of(options)
        told: set[Path] = set()

        def sent(path: Path, name: str) -> None:
            if path not in told:
                told.add(path)
                sys.stderr.write(f"acestep: sent {path} to {options.server} as {name}\n")

        with ProgressBar() as bar:

            async def one(row: Any, output: Path | None = None, prompt_id: str | None = None) -> Any:
                ready = await client.prepare(row, sources, sent)
                return await client.run(ready, output or options.output, watch(row, bar), prompt_id)

            return await run_all(options, workflow, one, sources, bar)
