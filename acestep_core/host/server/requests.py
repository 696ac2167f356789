"""Reading what strangers send, with limits on size, time and shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, TypeVar

from aiohttp import http_exceptions, web

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.wire import loads

_T = TypeVar("_T")

BROKEN = (web.RequestPayloadError, http_exceptions.HttpProcessingError)
"""What aiohttp raises for a request that is not what its headers say, or no HTTP at all."""

BODY_SECONDS = 60.0
"""A body that takes longer than this between two pieces is given up."""

_THREAD_FROM = 2**18
"""Bodies of this many bytes are parsed in a thread, so that the event loop stays responsive."""


async def in_time(awaitable: Awaitable[_T]) -> _T:
    """Awaits the next piece of a body. Raises TimeoutError if it does not come."""
    async with asyncio.timeout(BODY_SECONDS):
        return await awaitable


async def read_body(request: web.Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        web.HTTPException: 413 too large, 408 too slow.
    """
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            piece = await in_time(request.content.readany())
            if not piece:
                return b"".join(pieces)
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            pieces.append(piece)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The request body did not arrive in time.") from None


async def read_json(request: web.Request, limit: int, default: Any = None) -> Any:
    """The body as JSON; `default` if it is empty and a default is given.

    Raises:
        web.HTTPException: 400 not JSON, 413 too large, 408 too slow.
    """
    body = await read_body(request, limit)
    if not body.strip() and default is not None:
        return default
    try:
        return await asyncio.to_thread(loads, body) if len(body) >= _THREAD_FROM else loads(body)
    except InvalidInput as error:
        raise bad_request("invalid_json", str(error)) from None


async def read_object(request: web.Request, limit: int, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        web.HTTPException: as `read_json`, and 400 for anything but an object.
    """
    value = await read_json(request, limit, default)
    if not isinstance(value, dict):
        raise bad_request("invalid_request", "The request body must be a JSON object.")
    return value


def bad_request(kind: str, message: str, details: str = "") -> web.HTTPBadRequest:
    """A 400 in the form that ComfyUI's clients expect from `/prompt`."""
    return web.HTTPBadRequest(text=error_text(kind, message, details), content_type="application/json")


def error_text(kind: str, message: str, details: str = "") -> str:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return json.dumps({"error": error, "node_errors": {}})


def too_large(limit: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=limit + 1, text=f"At most {limit} bytes, please.")


def strings(value: Any, what: str) -> list[str]:
    """`value` as a list of strings.

    Raises:
        web.HTTPBadRequest: it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise bad_request("invalid_request", f"{what} must be a list of strings.")
    return value
