"""`acestep queue`: runs a workflow file on a ComfyUI or `acestep serve` somewhere else."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from acestep_core.commands.progress import ProgressBar
from acestep_core.commands.run import add_workflow_options, batch, show, sources_of, watch


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("queue", help="run a workflow file on a server", description=__doc__)
    add_workflow_options(parser)
    parser.add_argument("--server", default="http://127.0.0.1:8188", metavar="URL", help="default 127.0.0.1:8188")
    parser.add_argument("--token", help="for a server that asks for one")


def run(options: argparse.Namespace) -> int:
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    from acestep_core.host.client.batch import values_of
    from acestep_core.host.client.client import HostClient

    async with HostClient(options.server, options.token) as client:
        workflow = (await client.load(options.file)).with_inputs(values_of(options.set))
        sources = sources_of(options)
        told: set[Path] = set()

        def sent(path: Path, name: str) -> None:
            if path not in told:
                told.add(path)
                sys.stderr.write(f"acestep: sent {path} to {options.server} as {name}\n")

        with ProgressBar() as bar:

            async def one(row: Any, output: Path = options.output, prompt_id: str | None = None) -> Any:
                return await client.run(await client.prepare(row, sources, sent), output, watch(row, bar), prompt_id)

            if options.batch is not None:
                return await batch(options, workflow, one, sources)
            result = await one(workflow)
    show(result.to_dict(), options.json)
    return 0
