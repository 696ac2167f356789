"""`acestep bench`: how fast the parts are, beside others doing the same work in the same process."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

BENCHMARKS = {
    "lm": "acestep_core.planner.decode_bench",
    "lrc": "acestep_core.commands.bench_lrc",
    "train": "acestep_core.train.train_bench",
}
"""Name -> module with `HELP`, `add_arguments(parser)`, `measure(options) -> dict` and `table(dict) -> str`."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("bench", help="measure speed", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="WHAT")
    for name, module in BENCHMARKS.items():
        benchmark = import_module(module)
        what = benchmarks.add_parser(name, help=benchmark.HELP, description=benchmark.__doc__)
        benchmark.add_arguments(what)
        what.add_argument("--json", metavar="FILE", help="write the result there too, or - for standard output only")


def run(options: argparse.Namespace) -> int:
    from acestep_core.io.atomic import atomic_write

    benchmark = import_module(BENCHMARKS[options.benchmark])
    result = benchmark.measure(options)
    text = json.dumps(result, indent=1) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
        return 0
    sys.stdout.write(benchmark.table(result) + "\n")
    if options.json:
        with atomic_write(Path(options.json)) as path:
            path.write_text(text, encoding="utf-8")
    return 0
