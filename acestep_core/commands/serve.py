"""`acestep serve`: the canvas and the queue, in the browser and over ComfyUI's HTTP API."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import signal
import sys
import webbrowser
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from acestep_core.commands.engine import RAY, add_engine_options, ray_options
from acestep_core.commands.flags import examples
from acestep_core.host.server.host_options import add_host_options, add_token_options, folders_of, packs_of, token_of
from acestep_core.io import system

if TYPE_CHECKING:
    from collections.abc import Callable

    from acestep_core.host.server.host import HostConfig

_MANAGER = "acestep_core.models.manager"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "serve",
        help="open the canvas and the queue",
        description=__doc__,
        **examples(
            "acestep serve",
            "acestep serve --port 8000 --base-directory studio",
            "acestep serve --listen 0.0.0.0",
            "acestep serve --engine ray --workers 2",
        ),
    )
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS", help="default 127.0.0.1: this machine only")
    parser.add_argument("--port", type=_port, default=8188, metavar="N", help="default 8188; 0 for any free one")
    add_token_options(parser, "what others must know to get in (drawn and shown if --listen opens the host)")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name that the host is reached by"
    )
    parser.add_argument("--open", action="store_true", help="also open the canvas in a browser, where there is one")
    parser.add_argument("--max-upload-size", type=int, default=100, metavar="MB", help="default 100")
    add_engine_options(parser, "prompts")
    add_host_options(parser)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    from acestep_core.host.server.host import HostConfig
    from acestep_core.host.server.security import Policy

    policy = Policy(options.listen, token_of(options), tuple(options.allow_host))
    if not policy.local and not policy.token:
        policy = Policy(options.listen, secrets.token_urlsafe(24), tuple(options.allow_host))
    config = HostConfig(
        folders=folders_of(options).made(),
        packs=packs_of(options),
        policy=policy,
        port=options.port,
        max_upload=options.max_upload_size * 2**20,
        metadata=not options.disable_metadata,
        free_models=free_models,
    )
    asyncio.run(_serve(config, options))
    return 0


async def _serve(config: HostConfig, options: argparse.Namespace) -> None:
    from acestep_core.host.server.server import running

    stop, hurry = asyncio.Event(), asyncio.Event()

    def end() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(number, end)
    async with _engine(config, options) as engine, running(replace(config, hurry=hurry), engine) as server:
        token = f"/?token={quote(config.policy.token, safe='')}" if config.policy.token else "/"
        sys.stdout.write(f"Open {server.url}{token} - stop with Ctrl-C.\n")
        if engine is not None:
            sys.stdout.write(f"The workers are shown at {server.url}/workers.\n")
        sys.stdout.flush()
        if options.open and system.has_window():
            await asyncio.to_thread(webbrowser.open, f"{server.url}{token}")
        await stop.wait()
        if server.host.queue.listing()[0]:  # a step of a training may take minutes, and is saved after it
            sys.stdout.write("Ending once what runs has saved; Ctrl-C again ends at once.\n")
            sys.stdout.flush()


def _engine(config: HostConfig, options: argparse.Namespace) -> AbstractAsyncContextManager[Callable | None]:
    """What makes the host's engine; None leaves it to the host."""
    if options.engine != RAY:
        return contextlib.nullcontext()
    from acestep_core.host.client.ray_jobs import ray_engine

    return ray_engine(ray_options(options), config, loaded_models)


def free_models() -> None:
    """Unloads the library's models, if any were ever loaded."""
    if (module := sys.modules.get(_MANAGER)) is not None:
        module.manager.unload()


def loaded_models() -> list[str]:
    """The names of the library's models that are loaded."""
    module = sys.modules.get(_MANAGER)
    return [] if module is None else module.manager.loaded()
