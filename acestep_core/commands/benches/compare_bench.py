"""Two results of the same benchmark, by their ratios alone: those hold on any machine and under any load."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acestep_core.errors import InvalidInput
from acestep_core.io.text import read_text

HELP = "whether a result is worse than an older one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=Path, help="a result that --json wrote")
    parser.add_argument("new", type=Path, help="another of the same benchmark")
    parser.add_argument(
        "--allow", type=float, default=7.0, metavar="PERCENT", help="how much less is no worse (default 7)"
    )


def measure(options: argparse.Namespace) -> dict[str, Any]:
    old, new = _read(options.old), _read(options.new)
    if old["benchmark"] != new["benchmark"]:
        raise InvalidInput(
            f"{options.old} is of {old['benchmark']} and {options.new} of {new['benchmark']}; "
            "compare results of one benchmark."
        )
    both = {name: (value, new["ratios"][name]) for name, value in old["ratios"].items() if name in new["ratios"]}
    if not both:
        raise InvalidInput(
            f"{options.old} and {options.new} have no ratio in common; run the benchmark with the same sizes."
        )
    least = 1 - options.allow / 100
    return {
        "benchmark": "compare",
        "of": old["benchmark"],
        "ratios": {name: after / before for name, (before, after) in both.items()},
        "values": {name: list(values) for name, values in both.items()},
        "worse": [name for name, (before, after) in both.items() if after < before * least],
        "gone": sorted(old["ratios"].keys() - new["ratios"].keys()),
    }


def table(result: Mapping[str, Any]) -> str:
    """The result for people."""
    lines = [f"{result['of']:64}{'old':>9}{'new':>9}"]
    for name, (before, after) in result["values"].items():
        lines.append(f"{name:64}{before:9.3f}{after:9.3f}{'  worse' if name in result['worse'] else ''}")
    lines += [f"{name:64} is not in the new result" for name in result["gone"]]
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any]:
    """A result with its ratios."""
    try:
        found = json.loads(read_text(path, InvalidInput))
        ratios = {str(name): float(value) for name, value in found["ratios"].items()}
        return {"benchmark": str(found["benchmark"]), "ratios": ratios}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is no result of a benchmark; give a file that `--json` wrote.") from error
