"""The WebSocket side: who listens, and what each of them is sent.

Anything may call `Hub` from any thread. Every client has its own backlog and its own writer, so a client that reads
slowly delays nobody; one whose backlog grows without end is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import struct
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from acestep_core.host.graph.wire import dumps

if TYPE_CHECKING:
    from PIL.Image import Image

_log = logging.getLogger(__name__)

PREVIEW_IMAGE, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4
"""Types of binary frames. All numbers in them are big endian."""

MAX_BACKLOG = 20_000
MAX_BACKLOG_BYTES = 64 * 2**20
"""A client with more unsent messages or bytes than this is disconnected."""

CROWDED = 500
"""From this many unsent messages on, a client is sent no more pictures and progress until it has caught up."""

MAX_CLIENTS = 1000
MAX_PREVIEW_SIDE = 1024


class Client:
    """One WebSocket connection."""

    def __init__(self, sid: str, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.sid = sid
        self.socket = socket
        self.request = request
        self.features: dict[str, Any] = {}
        self._backlog: deque[str | bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._dropped = False

    def supports(self, feature: str) -> bool:
        return bool(self.features.get(feature))

    def enqueue(self, message: str | bytes, optional: bool = False) -> None:
        if self._dropped or (optional and len(self._backlog) >= CROWDED):
            return
        self._backlog.append(message)
        self._bytes += len(message)
        self._wake.set()
        if len(self._backlog) > MAX_BACKLOG or self._bytes > MAX_BACKLOG_BYTES:
            _log.warning("Client %s does not read its messages and is disconnected.", self.sid)
            self._dropped = True
            self._backlog.clear()
            if self.request.transport is not None:
                self.request.transport.abort()

    async def write(self) -> None:
        """Sends the backlog until cancelled or disconnected."""
        with contextlib.suppress(ConnectionError, RuntimeError):  # the reader notices the end as well
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._backlog:
                    message = self._backlog.popleft()
                    self._bytes -= len(message)
                    if isinstance(message, str):
                        await self.socket.send_str(message)
                    else:
                        await self.socket.send_bytes(message)


class Hub:
    """All connected clients. Implements `progress.Sink`."""

    def __init__(self, features: dict[str, Any]) -> None:
        self.features = features
        self._clients: dict[str, Client] = {}
        self._sockets = 0  # several may have one id, of which the last is in `_clients`
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Binds the hub to the running event loop."""
        self._loop = asyncio.get_running_loop()

    # -- sending, from any thread --------------------------------------------------------------------------------------

    def send(self, event: str, data: dict[str, Any], client: str | None = None) -> None:
        if client is not None and client not in self._clients:
            return
        text = dumps({"type": event, "data": data})
        self._post(text, client, optional=event in ("progress", "progress_state"))

    def preview(self, image: Image, about: dict[str, Any], client: str | None) -> None:
        listener = self._clients.get(client or "")
        if listener is None:
            return
        picture = _jpeg(image)
        if listener.supports("supports_preview_metadata"):
            header = json.dumps({**about, "image_type": "image/jpeg"}).encode()
            frame = struct.pack(">II", PREVIEW_WITH_METADATA, len(header)) + header + picture
        else:
            frame = struct.pack(">II", PREVIEW_IMAGE, 1) + picture
        self._post(frame, client, optional=True)

    def text(self, node_id: str, prompt_id: str, text: str, client: str | None) -> None:
        listener = self._clients.get(client or "")
        if listener is None:
            return
        parts = [node_id.encode()]
        if listener.supports("supports_progress_text_metadata"):
            parts.insert(0, prompt_id.encode())
        head = b"".join(struct.pack(">I", len(part)) + part for part in parts)
        self._post(struct.pack(">I", TEXT) + head + text.encode("utf-8", "replace"), client, optional=True)

    def watching(self, client: str | None) -> bool:
        return client in self._clients

    def _post(self, message: str | bytes, client: str | None, optional: bool = False) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        with contextlib.suppress(RuntimeError):  # the loop closed meanwhile: nobody is left to tell
            self._loop.call_soon_threadsafe(self._deliver, message, client, optional)

    def _deliver(self, message: str | bytes, client: str | None, optional: bool) -> None:
        if client is not None:
            listener = self._clients.get(client)
            if listener is not None:
                listener.enqueue(message, optional)
            return
        for listener in self._clients.values():
            listener.enqueue(message, optional)

    # -- connections ---------------------------------------------------------------------------------------------------

    async def serve(self, request: web.Request, greeting: list[tuple[str, dict[str, Any]]]) -> web.StreamResponse:
        """Handles one connection until it ends. `greeting` events are sent first; `sid` is added to a `status`."""
        if self._sockets >= MAX_CLIENTS:
            raise web.HTTPServiceUnavailable(text="Too many clients are connected.")
        self._sockets += 1
        try:
            return await self._serve(request, greeting)
        finally:
            self._sockets -= 1

    async def _serve(self, request: web.Request, greeting: list[tuple[str, dict[str, Any]]]) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=30, compress=False, max_msg_size=2**20)
        await socket.prepare(request)
        sid = request.query.get("clientId") or uuid.uuid4().hex
        client = Client(sid, socket, request)
        self._clients[sid] = client
        for event, data in greeting:
            extra = {"sid": sid} if event == "status" else {}
            client.enqueue(dumps({"type": event, "data": {**data, **extra}}))
        writer = asyncio.create_task(client.write())
        try:
            await self._read(client)
        finally:
            writer.cancel()
            if self._clients.get(sid) is client:
                del self._clients[sid]
        return socket

    async def _read(self, client: Client) -> None:
        first = True
        async for message in client.socket:
            if message.type is WSMsgType.TEXT and first:
                first = False
                self._negotiate(client, message.data)

    def _negotiate(self, client: Client, text: str) -> None:
        """The first message of a client may say what it understands; the answer says what we do."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict) or message.get("type") != "feature_flags":
            return
        features = message.get("data")
        client.features = features if isinstance(features, dict) else {}
        ours = dict(self.features)
        if client.supports("supports_progress_text_metadata"):
            ours["supports_progress_text_metadata"] = True
        client.enqueue(dumps({"type": "feature_flags", "data": ours}))

    async def close(self) -> None:
        """Says goodbye to everybody."""
        for client in list(self._clients.values()):
            with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
                async with asyncio.timeout(1):
                    await client.socket.close(code=1001, message=b"the host stops")


def _jpeg(image: Image) -> bytes:
    if max(image.size) > MAX_PREVIEW_SIDE:
        image = image.copy()
        image.thumbnail((MAX_PREVIEW_SIDE, MAX_PREVIEW_SIDE))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()
