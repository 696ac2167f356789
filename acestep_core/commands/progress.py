"""A progress bar on the terminal; silent where there is none."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

WIDTH = 30


class ProgressBar:
    """One line per stage, rewritten in place: `sample  [######----]  5/8  1.2 s`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.stage = ""
        self.start = 0.0

    def __call__(self, stage: str, done: int, total: int, preview: Any = None) -> None:
        if not self.stream.isatty():
            return
        if stage != self.stage:
            self._end_line()
            self.stage, self.start = stage, time.perf_counter()
        filled = WIDTH * done // max(total, 1)
        elapsed = time.perf_counter() - self.start
        bar = "#" * filled + "-" * (WIDTH - filled)
        self.stream.write(f"\r{stage:<10} [{bar}] {done}/{total}  {elapsed:.1f} s ")
        self.stream.flush()

    def _end_line(self) -> None:
        if self.stage:
            self.stream.write("\n")
            self.stage = ""

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_line()
