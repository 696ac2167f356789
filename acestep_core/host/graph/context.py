"""What a running node may ask of the embedded host: folders, progress, a status line, whether to stop.

A node (or the seam it goes through) calls `current()`. It returns None outside the embedded host, for instance under
ComfyUI or in a plain script. The value is per execution context: a thread that a node starts itself has to be handed
the `Execution`, whose methods may be called from any thread. `folders()` also answers while no node runs but the host
asks a class for its `INPUT_TYPES` or lets it validate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Preview = Any
"""A `PIL.Image.Image`, or a function that makes one (or None) and is called only if somebody is watching, or None."""


class Interrupted(BaseException):
    """The user stopped the run. Not an `Exception`, so that `except Exception` in a node lets it pass."""


@dataclass(frozen=True)
class ExecutionBlocker:
    """An output that stops its branch: nodes that receive it do not run. A message is shown as that node's error."""

    message: str | None = None


@dataclass(frozen=True)
class Folders:
    """The only places where nodes and requests read and write files. All are absolute, and exist where nodes run."""

    input: Path
    output: Path
    temp: Path
    user: Path
    models: Path

    @classmethod
    def at(cls, base: Path, **overrides: Path | None) -> Folders:
        """The usual five below `base`; `overrides` moves single ones elsewhere. None is made."""
        names = ("input", "output", "temp", "user", "models")
        return cls(**{name: (overrides.get(name) or base / name).resolve() for name in names})

    @classmethod
    def under(cls, base: Path, **overrides: Path | None) -> Folders:
        """As `at`, with all folders made."""
        return cls.at(base, **overrides).made()

    def made(self) -> Folders:
        """Makes those that are absent."""
        for path in (self.input, self.output, self.temp, self.user, self.models):
            path.mkdir(parents=True, exist_ok=True)
        return self


class Reporter(Protocol):
    """Where an execution sends what it has to say; implemented by the executor."""

    def progress(self, node_id: str, value: float, total: float, preview: Preview) -> None: ...

    def status_text(self, node_id: str, text: str) -> None: ...

    def news(self, node_id: str, event: str, data: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Execution:
    """One node being executed for one prompt."""

    folders: Folders
    prompt_id: str
    node_id: str
    list_index: int
    reporter: Reporter
    is_interrupted: Callable[[], bool]

    def check(self) -> None:
        """Raises Interrupted once the user wants this run to stop. Call it at least once per step."""
        if self.is_interrupted():
            raise Interrupted

    def progress(self, value: float, total: float, preview: Preview = None) -> None:
        """Reports `value` of `total` steps, with a picture if there is one. Checks for a stop first."""
        self.check()
        self.reporter.progress(self.node_id, value, total, preview)

    def status_text(self, text: str) -> None:
        """Shows one line of text under the node."""
        self.reporter.status_text(self.node_id, text)

    def news(self, event: str, data: dict[str, Any]) -> None:
        """Sends an event of the pack's own to the client's scripts, with `node` added."""
        self.reporter.news(self.node_id, event, data)


Handler = Callable[[Any], Awaitable[Any]]
"""Answers an `aiohttp.web.Request` with a response."""


@dataclass(frozen=True)
class Routes:
    """Routes of a pack, added as to an `aiohttp.web.RouteTableDef`: `@routes.get("/mine/…")`. They are served bare and
    below `/api`, behind the same guard as the host's own."""

    table: list[tuple[str, str, Handler]] = field(default_factory=list)

    def get(self, path: str) -> Callable[[Handler], Handler]:
        return self._adder("GET", path)

    def post(self, path: str) -> Callable[[Handler], Handler]:
        return self._adder("POST", path)

    def _adder(self, method: str, path: str) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self.table.append((method, path, handler))
            return handler

        return add


_current: ContextVar[Execution | None] = ContextVar("acestep_host_execution", default=None)
_folders: ContextVar[Folders | None] = ContextVar("acestep_host_folders", default=None)
_routes: ContextVar[Routes | None] = ContextVar("acestep_host_routes", default=None)


def current() -> Execution | None:
    """The execution this code runs in, or None outside the embedded host."""
    return _current.get()


def folders() -> Folders | None:
    """The folders of the embedded host that is calling, or None outside it."""
    return _folders.get()


def routes() -> Routes | None:
    """Where a pack that the embedded host is importing adds routes, or None at any other time."""
    return _routes.get()


@contextmanager
def loading() -> Iterator[Routes]:
    """Collects the routes of the pack that is imported inside the block."""
    found = Routes()
    token = _routes.set(found)
    try:
        yield found
    finally:
        _routes.reset(token)


@contextmanager
def hosting(folders: Folders) -> Iterator[None]:
    """Makes `folders` the ones that classes see when they are asked for their inputs or validate them."""
    token = _folders.set(folders)
    try:
        yield
    finally:
        _folders.reset(token)


@contextmanager
def executing(execution: Execution) -> Iterator[Execution]:
    """Makes `execution` the current one inside the block."""
    token = _current.set(execution)
    try:
        with hosting(execution.folders):
            yield execution
    finally:
        _current.reset(token)
