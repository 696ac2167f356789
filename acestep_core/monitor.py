"""How long-running stages report progress and learn that the user has cancelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acestep_core.errors import Cancelled

ProgressCallback = Callable[[str, int, int, "Callable[[], Any] | None"], None]
"""`progress(stage, done, total, preview)`; `preview()` builds something to show, and costs only when called."""


@dataclass(frozen=True)
class Monitor:
    """Passed down every stage. `tick` is called once per step, so a cancel takes effect within one step.

    Args:
        progress: receives `(stage, done, total, preview)`.
        cancelled: returns True once the user wants to stop. It may also raise the host's own exception.
    """

    progress: ProgressCallback | None = None
    cancelled: Callable[[], bool] | None = None

    def check(self) -> None:
        """Raises Cancelled if the user has asked to stop."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("The run was cancelled.")

    def tick(self, stage: str, done: int, total: int, preview: Callable[[], Any] | None = None) -> None:
        """Reports `done` of `total` steps of `stage`, after checking for a cancel."""
        self.check()
        if self.progress is not None:
            self.progress(stage, done, total, preview)


SILENT = Monitor()
"""The default: nobody watches, nobody cancels."""
