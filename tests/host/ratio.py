"""How much more two workers make than one: songs of the tiny checkpoint, on Ray, in turns, on this machine.

    python -m tests.host.ratio FOLDER --rows 12 --rounds 2

Starting workers and loading models is not counted. Prints one line of JSON: rows a minute with one and with two
workers, in each round, their ratio, and how busy the machine was before, which decides what the ratio is worth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from acestep_core.host.client.batch import Journal, run_batch
from acestep_core.host.client.local import LocalRunner
from acestep_core.host.client.pool import Limits
from acestep_core.host.client.ray_rows import row_pool, rows_on
from acestep_core.host.client.ray_workers import RayOptions
from acestep_core.host.graph.context import Folders

PACK = Path(__file__).parents[2]
GRAPH = PACK / "workflows" / "api" / "text2music.json"


def pace(folder: Path, workers: int, rows: int, seconds: float) -> float:
    """Rows a minute, once every worker has made two."""
    folders = Folders.under(folder)
    runner = LocalRunner(folders, [PACK])
    workflow = runner.load(GRAPH).with_inputs({"song.duration": str(seconds)})
    table = [{"sampler.seed": str(number)} for number in range(rows + 2 * workers)]

    async def made(part: list[dict[str, Any]], name: str, pool: Any) -> None:
        journal = Journal(folders.output / f"{name}.journal.jsonl")
        assert await run_batch(workflow, part, rows_on(pool), lambda row: None, journal, at_once=pool.room)

    async def scene() -> float:
        async with row_pool(RayOptions(workers=workers), folders, [PACK], True, Limits()) as pool:
            while len(pool.workers) < workers:
                await asyncio.sleep(0.1)
            await made(table[:-rows], "warm", pool)
            start = time.perf_counter()
            await made(table[-rows:], "rows", pool)
            return 60 * rows / (time.perf_counter() - start)

    return asyncio.run(scene())


def measure(folder: Path, rows: int, rounds: int, seconds: float) -> dict[str, Any]:
    load = os.getloadavg()[0]
    paces = [
        [round(pace(folder / f"{number}-{workers}", workers, rows, seconds), 2) for workers in (1, 2)]
        for number in range(rounds)
    ]
    one, two = (sum(each) / rounds for each in zip(*paces, strict=True))
    return {"rows_a_minute": paces, "ratio": round(two / one, 3), "load_before": round(load, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="an empty folder")
    parser.add_argument("--rows", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="of a song")
    parser.exit(message=json.dumps(measure(**vars(parser.parse_args()))) + "\n")


if __name__ == "__main__":
    main()
