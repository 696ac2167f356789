"""What the commands say of their results: lines for people, or JSON for programs.

With `--json`, each result is one line: `{"seconds": 1.5, "files": {...}, "seeds": {...}, "texts": {...}}`, each a list
by the name or node that it is from; and what went wrong is `{"error": "one sentence"}`. Rows of a batch and runs of a
repetition add `row`, counted from 1, and rows also `repeated`, whether they were done before.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from acestep_core.values import lasting

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
    row = f"row {result['row']}{', done before' if result.get('repeated') else ''}: " if "row" in result else ""
    seeds = ", ".join(f"{name} {' '.join(map(str, numbers))}" for name, numbers in result["seeds"].items())
    _say(sys.stderr, f"{row}{seeds}{'; ' if seeds else ''}{result['seconds']:.1f} s.")


class Pace:
    """How a batch gets on, as one reads it in a log the next morning: `7 of 40 rows, 171 an hour, about 11:35 left`.

    Rows that were done before, or failed, are none that were made in this time.
    """

    def __init__(self, rows: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rows, self._clock, self._start = rows, clock, clock()
        self._ended: Counter[str] = Counter()

    def note(self, how: str) -> None:
        """One more row is `made`, `done before`, or `failed`."""
        self._ended[how] += 1

    @property
    def ended(self) -> int:
        return self._ended.total()

    def __str__(self) -> str:
        made, spent = self._ended["made"], self._clock() - self._start
        told = f"{self.ended} of {self.rows} rows"
        if not made or not spent:
            return told
        left = (self.rows - self.ended) * spent / made
        return f"{told}, {3600 * made / spent:.0f} an hour" + (f", about {lasting(left)} left" if left else "")

    def end(self) -> str:
        """What became of all of them: `40 rows: 37 made, 2 done before, 1 failed`."""
        return f"{self.rows} rows: " + ", ".join(f"{count} {how}" for how, count in self._ended.items())


def show_pace(text: object) -> None:
    """Prints how a batch gets on, for people."""
    _say(sys.stderr, f"{text}.")


def show_error(error: str, as_json: bool, out: TextIO | None = None, **more: Any) -> None:
    """Prints what went wrong; in JSON to `out`, too."""
    row = f"row {more['row']}: " if "row" in more else ""
    _say(sys.stderr, f"acestep: {row}{error}")
    if as_json:
        _say(out or sys.stdout, json.dumps({**more, "error": error}))


def _say(stream: Any, line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()
