"""What a driver of many workers costs: the real batch, journal, stages and pool, with workers that sleep.

    python -m tests.host.simulate FOLDER --rows 100000 --workers 64 --seconds 1.69 --die 0.001

Each row sleeps as long as its song would take and writes 1 kB. Prints one line of JSON: time beside the ideal one, the
driver's processor time for a row, its memory, and that every row is there exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from acestep_core.host.client.batch import Journal, Row, run_batch
from acestep_core.host.client.pool import Limits, Pool
from acestep_core.host.client.ray_rows import RowWork, rows_on
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.results import Result, WorkerLost

DEFINITIONS: Any = {
    "Load": {"input": {"required": {"name": ["STRING", {}]}}, "output": ["ACESTEP_MODEL"]},
    "Save": {"input": {"required": {"text": ["STRING", {}], "model": ["ACESTEP_MODEL", {}]}}, "output": []},
}
PROMPT = {
    "1": {"class_type": "Load", "inputs": {"name": "turbo"}},
    "2": {"class_type": "Save", "inputs": {"text": "", "model": ["1", 0]}},
}


class Sleeper:
    """A worker that sleeps, and dies now and then. Implements `pool.Worker`."""

    def __init__(self, seconds: float, die: float, draws: random.Random, died: Callable[[], object]) -> None:
        self.seconds, self.die, self.draws, self.died = seconds, die, draws, died
        self.turn = asyncio.Lock()
        self.alive = True

    async def run(self, work: RowWork) -> Result:
        folder = work.folder
        async with self.turn:
            if self.alive and self.draws.random() < self.die:
                await asyncio.sleep(self.seconds * self.draws.random())
                self.kill()
                self.died()
            if not self.alive:
                raise WorkerLost("It was killed.")
            await asyncio.sleep(self.seconds)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "song.flac").write_bytes(bytes(1024))
            return Result(work.prompt_id, {"2": [folder / "song.flac"]}, {}, self.seconds)

    async def silence(self) -> float:
        return 0.0

    def kill(self) -> None:
        self.alive = False


async def simulate(folder: Path, rows: int, workers: int, seconds: float, die: float) -> dict[str, Any]:
    draws, deaths = random.Random(0), 0
    process = psutil.Process()

    def died() -> None:
        nonlocal deaths
        deaths += 1

    async def start() -> Sleeper:
        return Sleeper(seconds, die, draws, died)

    errors: list[str] = []

    def report(row: Row) -> None:
        if row.error:
            errors.append(row.error)

    pool = Pool(start, workers, Limits(beat=1.0))
    table = [{"2.text": f"song {number}"} for number in range(rows)]
    journal = Journal(folder / "rows.journal.jsonl")
    memory, begun, used = process.memory_info().rss, time.monotonic(), time.process_time()
    workflow = Workflow(PROMPT, DEFINITIONS)
    await run_batch(workflow, table, rows_on(pool), report, journal, at_once=pool.room, per_folder=1000)
    wall, used = time.monotonic() - begun, time.process_time() - used
    grown = process.memory_info().rss - memory
    await pool.close()
    ideal = rows * seconds / workers
    entries = [json.loads(line) for line in journal.path.read_text(encoding="utf-8").splitlines() if line]
    done = Counter(entry["row"] for entry in entries if "row" in entry)
    return {
        "rows": rows,
        "seconds": round(wall, 1),
        "ideal": round(ideal, 1),
        "overhead": round(wall / ideal - 1, 4),
        "processor_ms_per_row": round(1000 * used / rows, 2),
        "memory_grown_mib": grown >> 20,
        "workers_lost": deaths,
        "rows_in_journal": len(done),
        "rows_twice": sum(count > 1 for count in done.values()),
        "files": sum(1 for _ in folder.rglob("*.flac")),
        "errors": len(errors),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="an empty folder")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.69, help="that a row takes")
    parser.add_argument("--die", type=float, default=0.001, help="share of rows at which the worker dies")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    parser.exit(message=json.dumps(asyncio.run(simulate(**vars(given)))) + "\n")


if __name__ == "__main__":
    main()
