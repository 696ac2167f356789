"""A host with the lab pack and a client of it, for the tests of this folder."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import aiohttp

from acestep_core.host.graph.context import Folders
from acestep_core.host.server.host import Host, HostConfig
from acestep_core.host.server.server import RunningServer, running
from tests.host.pretended_ray import pretended_engine

LAB_PACK = Path(__file__).parent / "lab_pack"


class Site:
    """A running host and a client of it."""

    def __init__(self, server: RunningServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def host(self) -> Host:
        return self.server.host

    @property
    def folders(self) -> Folders:
        return self.server.host.folders

    async def get(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        async with self.session.get(self.url + path, **kwargs) as answer:
            return answer.status, await _body(answer)

    async def post(self, path: str, body: Any = None, **kwargs: Any) -> tuple[int, Any]:
        if body is not None:
            kwargs["json"] = body
        async with self.session.post(self.url + path, **kwargs) as answer:
            return answer.status, await _body(answer)

    async def finish(self, prompt_id: str, seconds: float = 120) -> dict[str, Any]:
        """Waits for a prompt and gives its history entry."""
        async with asyncio.timeout(seconds):
            while True:
                _, history = await self.get(f"/history/{prompt_id}")
                if history:
                    return history[prompt_id]
                await asyncio.sleep(0.02)

    async def run(self, prompt: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Queues a prompt and gives its history entry."""
        status, answer = await self.post("/prompt", {"prompt": prompt, **fields})
        assert status == 200, answer
        return await self.finish(answer["prompt_id"])

    async def told(self, client: str, events: list[Any], prompt: dict[str, Any]) -> list[Any]:
        """Queues a prompt of a client and gives what the client is told of it, up to the last message."""
        start = len(events)
        status, answer = await self.post("/prompt", {"prompt": prompt, "client_id": client})
        assert status == 200, answer
        await eventually(lambda: has_ended(events, answer["prompt_id"]))
        return events[start:]

    @asynccontextmanager
    async def listen(self, client: str, features: dict[str, Any] | None = None) -> AsyncIterator[list[Any]]:
        """Collects what a WebSocket client is sent; binary frames become `{"binary": type, "meta": …}`.

        The greeting is there from the beginning: whatever happens from now on is heard.
        """
        events: list[Any] = []
        async with self.session.ws_connect(f"{self.url}/ws?clientId={client}", max_msg_size=0) as socket:
            if features is not None:
                await socket.send_json({"type": "feature_flags", "data": features})
            reader = asyncio.create_task(_read(socket, events))
            try:
                await eventually(lambda: len(events) > (features is not None))
                yield events
            finally:
                reader.cancel()


async def _body(answer: aiohttp.ClientResponse) -> Any:
    data = await answer.read()
    return json.loads(data) if "json" in answer.headers.get("Content-Type", "") else data


async def _read(socket: aiohttp.ClientWebSocketResponse, events: list[Any]) -> None:
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            events.append(json.loads(message.data))
        elif message.type is aiohttp.WSMsgType.BINARY:
            kind, length = struct.unpack(">II", message.data[:8])
            frame: dict[str, Any] = {"binary": kind, "data": message.data[4:]}
            if kind == 4:
                frame = {"binary": kind, "meta": json.loads(message.data[8 : 8 + length])}
            events.append(frame)


def has_ended(events: list[Any], prompt_id: str) -> bool:
    """Whether the last message of a prompt has come; the prompt is in the history before that."""
    ended = {"node": None, "prompt_id": prompt_id}
    return any(event.get("type") == "executing" and ended.items() <= event["data"].items() for event in events)


async def eventually(check: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    """Waits until `check` holds."""
    async with asyncio.timeout(seconds):
        while True:
            held = check()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.001)


@asynccontextmanager
async def open_site(tmp_path: Path, workers: int = 0, **config: Any) -> AsyncIterator[Site]:
    """A host that runs jobs itself, or on so many workers, see `pretended_ray`."""
    settings = HostConfig(**{"folders": Folders.under(tmp_path), "packs": (LAB_PACK,), "port": 0, **config})
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        pretended_engine(settings, workers) if workers else nullcontext() as engine,
        running(settings, engine) as server,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        yield Site(server, session)


def with_site(**config: Any) -> Callable[[Callable[[Site], Awaitable[None]]], Callable[[Path], None]]:
    """Turns `async def scenario(site)` into a test that runs it against a host of its own."""

    def decorate(scenario: Callable[[Site], Awaitable[None]]) -> Callable[[Path], None]:
        def test(tmp_path: Path) -> None:
            async def main() -> None:
                async with open_site(tmp_path, **config) as site:
                    await scenario(site)

            asyncio.run(main())

        test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
        return test

    return decorate
