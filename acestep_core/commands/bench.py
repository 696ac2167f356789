"""`acestep bench`: how fast the parts are, beside others doing the same work in the same process."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

BENCHMARKS = ("dit", "vae", "text", "lm", "plan", "song", "save", "load", "host", "train", "lrc", "floors", "compare")
"""Of each, `benches/<name>_bench.py` has `HELP`, `add_arguments(parser)`, `measure(options) -> dict` and
`table(dict) -> str`. What it measures that may be compared between machines stands in `ratios`: name -> number, more is
better.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("bench", help="measure speed", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="WHAT")
    for name in BENCHMARKS:
        benchmark = _module(name)
        what = benchmarks.add_parser(name, help=benchmark.HELP, description=benchmark.__doc__)
        benchmark.add_arguments(what)
        what.add_argument("--json", metavar="FILE", help="write the result there too, or - for standard output only")


def run(options: argparse.Namespace) -> int:
    """0, or 1 where a comparison finds something worse."""
    from acestep_core.io.atomic import atomic_write

    benchmark = _module(options.benchmark)
    result = benchmark.measure(options)
    text = json.dumps(result, indent=1) + "\n"
    status = 1 if result.get("worse") else 0
    if options.json == "-":
        sys.stdout.write(text)
        return status
    sys.stdout.write(benchmark.table(result) + "\n")
    if options.json:
        with atomic_write(Path(options.json)) as path:
            path.write_text(text, encoding="utf-8")
    return status


def _module(name: str) -> ModuleType:
    return import_module(f"acestep_core.commands.benches.{name}_bench")
