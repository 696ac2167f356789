"""How exactly lyric alignment finds the starts of lines, on made-up attention with known timing; see `judge.bench`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

HELP = "line starts found by lyric alignment, on synthetic attention"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--songs", type=int, default=10, help="songs per scene (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="default 0")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    from acestep_core.judge.alignment_bench import measure as align

    results = align(options.songs, options.seed)
    return {
        "benchmark": "lrc",
        "songs": options.songs,
        "seed": options.seed,
        "scenes": [asdict(r) for r in results],
        "ratios": {},
    }


def table(result: dict[str, Any]) -> str:
    from acestep_core.judge.alignment_bench import Result
    from acestep_core.judge.alignment_bench import table as rows

    return rows([Result(**scene) for scene in result["scenes"]])
