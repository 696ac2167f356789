"""What the commands say of their results: lines for people, or JSON for programs.

With `--json`, each result is one line: `{"seconds": 1.5, "files": {...}, "seeds": {...}, "texts": {...}}`, each a list
by the name or node that it is from; and what went wrong is `{"error": "one sentence"}`. Rows of a batch and runs of a
repetition add `row`, counted from 1, and rows also `repeated`, whether they were done before.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from acestep_core.models.handles import Models

Named = Mapping[str, Sequence[Any]]


def built_in_note(models: Models) -> str:
    """A line on what is built in, where that is used; else nothing."""
    if models.model.toy:
        return "Using the built-in toy model, a piano roll player; name real weights with --models.\n"
    if models.tiny:
        return (
            "Using the built-in tiny checkpoint, whose weights are random: what it makes means nothing; "
            "name real weights with --models.\n"
        )
    return ""


def result_of(files: Named, seeds: Named, seconds: float, texts: Named | None = None, **more: Any) -> dict[str, Any]:
    """A result in the one scheme."""
    named = {name: [str(path) for path in paths] for name, paths in files.items()}
    return {**more, "seconds": round(seconds, 3), "files": named, "seeds": dict(seeds), "texts": dict(texts or {})}


def show(result: Mapping[str, Any], as_json: bool, out: TextIO | None = None) -> None:
    """Prints a result to `out`, by default standard output: JSON, or a file or text per line, and beside them seeds
    and time.
    """
    out = out or sys.stdout
    if as_json:
        _say(out, json.dumps(result))
        return
    for name in ("files", "texts"):
        for entries in result[name].values():
            for entry in entries:
                _say(out, str(entry))
    seeds = ", ".join(f"{name} {' '.join(map(str, numbers))}" for name, numbers in result["seeds"].items())
    _say(sys.stderr, f"{seeds}{'; ' if seeds else ''}{result['seconds']:.1f} s.")


def show_error(error: str, as_json: bool, out: TextIO | None = None, **more: Any) -> None:
    """Prints what went wrong; in JSON to `out`, too."""
    row = f"row {more['row']}: " if "row" in more else ""
    _say(sys.stderr, f"acestep: {row}{error}")
    if as_json:
        _say(out or sys.stdout, json.dumps({**more, "error": error}))


def _say(stream: Any, line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()
