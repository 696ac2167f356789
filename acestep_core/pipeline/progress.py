"""A progress bar on a terminal or in a notebook; silent where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from acestep_core.errors import InvalidInput
from acestep_core.monitor import Monitor, ProgressCallback


class ProgressBar:
    """One bar per stage: what is done, how long it took, how long the rest takes.

    Attributes:
        part: which song or row of several this is, such as `3/40`; stands before the stage.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.shown = self.stream.isatty() or (stream is None and in_notebook())
        self.part = ""
        self._stage = ""
        self._bar: Any = None

    def __call__(self, stage: str, done: int, total: int, preview: Any = None) -> None:
        if not self.shown:
            return
        stage = f"{self.part} {stage}".strip()
        if self._bar is None or (stage, total) != (self._stage, self._bar.total):
            self.close()
            self._stage, self._bar = stage, _bar(stage, total, self.stream)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Ends the line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def monitor_of(progress: ProgressCallback | bool | None, cancelled: Callable[[], bool] | None) -> Monitor:
    """A monitor that tells `progress`; a bar where that is None or True, nobody where it is False."""
    for name, function in (("progress", progress), ("cancelled", cancelled)):
        if not (function is None or callable(function) or (name == "progress" and isinstance(function, bool))):
            raise InvalidInput(f"{name} must be a function, not {function!r}.")
    if callable(progress):
        return Monitor(progress, cancelled)
    bar = None if progress is False else ProgressBar()
    return Monitor(bar if bar is not None and bar.shown else None, cancelled)


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return running is not None and "IPKernelApp" in running.config


def _bar(stage: str, total: int, stream: TextIO) -> Any:
    from tqdm.auto import tqdm

    return tqdm(desc=stage, total=total, file=stream, unit="", dynamic_ncols=True)
