"""What random kills cost a batch: a real batch on Ray whose driver or workers get SIGKILL again and again.

    python -m tests.host.kills FOLDER --rows 40 --kills 50 --workers 2

Each row writes two files through the usual stages and sleeps a little. After the last kill the batch runs to its end.
Prints one line of JSON: every row is there exactly once and whole, and nothing else is left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
PACK = Path(__file__).parent / "fate_pack"


def start(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    """The batch in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "acestep_core.commands",
        "run",
        "graph.json",
        "--batch",
        "rows.csv",
        "--output",
        "out",
    ]
    command += ["--engine", "ray", "--workers", str(workers), "--pack", str(PACK), "--base-directory", "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (folder / "said.log").open("ab") as said:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True)


def workers_of(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Processes of actors below a driver."""
    found = []
    with suppress(psutil.Error):
        for process in psutil.Process(driver.pid).children(recursive=True):
            with suppress(psutil.Error):
                if "RowActor" in " ".join(process.cmdline()):
                    found.append(process)
    return found


def done(folder: Path) -> int:
    """Rows in the journal."""
    journal = folder / "out" / "rows.journal.jsonl"
    return journal.read_bytes().count(b'"row":') if journal.exists() else 0


def play(folder: Path, rows: int, kills: int, workers: int, seconds: float, pause: float, seed: int) -> dict[str, Any]:
    draws = random.Random(seed)
    graph = {"1": {"class_type": "Toil", "inputs": {"text": "", "seconds": seconds}}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "graph.json").write_text(json.dumps(graph))
    (folder / "rows.csv").write_text("".join(["toil.text\n", *(f"row {number}\n" for number in range(rows))]))
    killed: Counter[str] = Counter()
    driver = start(folder, workers)
    while sum(killed.values()) < kills and done(folder) < rows:
        there = workers_of(driver)
        if driver.poll() is not None:
            driver = start(folder, workers)
        elif there:
            time.sleep(draws.random() * pause)
            if draws.random() < 0.25:
                driver.kill()
                driver.wait()
                killed["driver"] += 1
            else:
                with suppress(psutil.Error):
                    draws.choice(there).kill()
                    killed["worker"] += 1
        time.sleep(0.05)
    if driver.poll() is None:
        driver.wait()
    runs = 0
    while done(folder) < rows and runs < 5:
        runs += 1
        start(folder, workers).wait()
    output = folder / "out"
    journal = output / "rows.journal.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines() if line.strip()]
    made = [name for entry in entries if "row" in entry for name in entry["made"]]
    texts = Counter((output / name).read_text() for name in made if (output / name).is_file())
    wanted = Counter({f"row {number}" * 10: 2 for number in range(rows)})
    files = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    keys = Counter(entry["row"] for entry in entries if "row" in entry)
    return {
        "rows": rows,
        "killed": dict(killed),
        "rows_in_journal": len(keys),
        "rows_twice": sum(count > 1 for count in keys.values()),
        "whole": texts == wanted,
        "foreign": sorted(files - {*made, journal.name}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="an empty folder")
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="that a row takes")
    parser.add_argument("--pause", type=float, default=12.0, help="seconds between two kills, at most")
    parser.add_argument("--seed", type=int, default=0, help="of who is killed when")
    parser.exit(message=json.dumps(play(**vars(parser.parse_args()))) + "\n")


if __name__ == "__main__":
    main()
