"""How far each node of a running prompt is, told to the client that queued it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from acestep_core.host.graph.context import Preview

if TYPE_CHECKING:
    from PIL.Image import Image

QUIET_SECONDS = 0.1
"""Updates that carry no picture are sent at most this often, except for the first and the last."""


class Sink(Protocol):
    """Where events go. `client` is the id of one client, None means everybody. All methods may be called anywhere."""

    def send(self, event: str, data: dict[str, Any], client: str | None = None) -> None: ...

    def preview(self, image: Image, about: dict[str, Any], client: str | None) -> None:
        """Sends a picture to a client that understands pictures with metadata."""

    def text(self, node_id: str, prompt_id: str, text: str, client: str | None) -> None: ...

    def watching(self, client: str | None) -> bool:
        """Whether anybody would see a picture sent to `client`."""


class Progress:
    """The progress of one prompt. Implements `context.Reporter`."""

    def __init__(self, prompt_id: str, client: str | None, sink: Sink) -> None:
        self._prompt_id = prompt_id
        self._client = client
        self._sink = sink
        self._lock = threading.Lock()
        self._nodes: dict[str, dict[str, Any]] = {}
        self._last_sent = 0.0

    def start(self, node_id: str) -> None:
        self._set(node_id, 0.0, 1.0, "running")

    def finish(self, node_id: str) -> None:
        """Marks a node as finished; one that was cached has never started."""
        before = self._nodes.get(node_id, {"max": 1})
        self._set(node_id, before["max"], before["max"], "finished")

    def progress(self, node_id: str, value: float, total: float, preview: Preview) -> None:
        if self._client is None:
            return
        image = self._picture(preview)
        now = time.monotonic()
        if image is None and now - self._last_sent < QUIET_SECONDS and 0 < value < total:
            return
        self._last_sent = now
        self._set(node_id, value, total, "running")
        if image is not None:
            self._sink.preview(image, self._about(node_id), self._client)
        data = {"value": value, "max": total, "prompt_id": self._prompt_id, "node": node_id}
        self._sink.send("progress", data, self._client)

    def status_text(self, node_id: str, text: str) -> None:
        if self._client is not None:
            self._sink.text(node_id, self._prompt_id, text, self._client)

    def news(self, node_id: str, event: str, data: dict[str, Any]) -> None:
        if self._client is not None:
            self._sink.send(event, {**data, "node": node_id, "prompt_id": self._prompt_id}, self._client)

    def _picture(self, preview: Preview) -> Image | None:
        if preview is None or not self._sink.watching(self._client):
            return None
        return preview() if callable(preview) else preview

    def _about(self, node_id: str) -> dict[str, Any]:
        return {
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }

    def _set(self, node_id: str, value: float, total: float, state: str) -> None:
        with self._lock:
            self._nodes[node_id] = {"value": value, "max": total, "state": state, **self._about(node_id)}
            data = {"prompt_id": self._prompt_id, "nodes": dict(self._nodes)}
        if self._client is not None:
            self._sink.send("progress_state", data, self._client)
