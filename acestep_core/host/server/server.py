"""The HTTP and WebSocket server around a `Host`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

from acestep_core.errors import HostError
from acestep_core.host.graph.context import Handler, hosting
from acestep_core.host.graph.paths import clear_temporary
from acestep_core.host.queue.engine import Engine
from acestep_core.host.queue.node_progress import Sink
from acestep_core.host.queue.queue_log import QueueLog
from acestep_core.host.server import routes_files, routes_info, routes_prompt, routes_user
from acestep_core.host.server.host import Host, HostConfig
from acestep_core.host.server.requests import BROKEN
from acestep_core.host.server.security import middleware
from acestep_core.host.server.slots import slot


def build_app(host: Host) -> web.Application:
    """All routes. Those of the API exist twice, bare and below `/api`."""
    app = web.Application(middlewares=[middleware(host.config.policy)], client_max_size=host.config.max_json)
    for room in (routes_prompt, routes_files, routes_user, routes_info):
        for route in room.routes(host):
            app.router.add_route(route.method, route.path, route.handler)
            app.router.add_route(route.method, f"/api{route.path}", route.handler)
    for pack in host.registry.packs:
        for method, path, handler in pack.routes.table:
            for place in (path, f"/api{path}"):
                app.router.add_route(method, place, _with_folders(host, handler))
    app.add_routes(routes_info.static_routes(host))
    return app


class _Brief(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log, in which a broken request is one line: anybody can send as many as they like."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        error = kwargs.get("exc_info")
        if not isinstance(error, (*BROKEN, ConnectionError)):
            return msg, kwargs
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200].replace("%", "%%")
        return f"{msg}: {reason}", {**kwargs, "exc_info": None}


def _with_folders(host: Host, handler: Handler) -> Handler:
    """A handler of a pack, which asks the host for its folders as nodes do."""

    async def answer(request: web.Request) -> web.StreamResponse:
        with hosting(host.folders):
            return await handler(request)

    return answer


@dataclass(frozen=True)
class RunningServer:
    """A server that accepts connections."""

    host: Host
    url: str


@asynccontextmanager
async def running(config: HostConfig, engine: Callable[[Sink], Engine] | None = None) -> AsyncIterator[RunningServer]:
    """Serves while the block runs; `engine` as `Host` takes it.

    Raises:
        HostError: a non-loopback address without a token, or the port is taken.
        GraphError: a node pack cannot be loaded.
    """
    policy = config.policy
    if not policy.local and not policy.token:
        raise HostError(f"Listening on {policy.address} lets others in; set a token with --token or --token-file.")
    with slot(config.folders.temp) as (_, alone), slot(config.folders.user) as (number, _):
        if alone:
            clear_temporary(config.folders.temp)
        log = QueueLog(config.folders.user / f"queue-{number}.jsonl")
        async with _serving(Host(config, log, engine)) as server:
            yield server


@asynccontextmanager
async def _serving(host: Host) -> AsyncIterator[RunningServer]:
    policy, port = host.config.policy, host.config.port
    log = cast(logging.Logger, _Brief(logging.getLogger("aiohttp.server")))
    runner = web.AppRunner(build_app(host), access_log=None, shutdown_timeout=2, logger=log)
    await runner.setup()
    host.start()
    try:
        site = web.TCPSite(runner, policy.address, port)
        try:
            await site.start()
        except OSError as error:
            reason = f"{policy.address} port {port} cannot be used; choose another with --listen or --port."
            raise HostError(reason) from error
        yield RunningServer(host, _url(runner, policy.address))
    finally:
        await host.stop()
        await runner.cleanup()


def _url(runner: web.AppRunner, address: str) -> str:
    port = runner.addresses[0][1]
    name = f"[{address}]" if ":" in address else address
    return f"http://{name}:{port}"
