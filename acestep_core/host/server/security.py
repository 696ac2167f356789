"""Who may talk to the host, and what it may show.

Threats: a web page the user happens to visit (cross-site requests, DNS rebinding, WebSocket hijacking), other machines
on the network, files that would run as a page of ours, and error texts that describe the user's disk.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)

COOKIE = "acestep_token"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # the frontend needs all of these
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-src 'self'",
        "frame-ancestors 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
}


@dataclass(frozen=True)
class Policy:
    """Args:
    address: what the host listens on.
    token: what requests must carry; None for none, which only a loopback address may have.
    names: further host names it is known by, for instance behind a proxy.
    """

    address: str
    token: str | None = None
    names: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        return is_loopback(self.address)

    def knows_host(self, name: str | None) -> bool:
        """Whether a request that names this host can be meant for us. Foreign names are the mark of DNS rebinding."""
        if not name:
            return False
        name = name.lower().rstrip(".")
        if is_loopback(name) or name in (n.lower() for n in self.names) or name == self.address.lower():
            return True
        return not self.local and _is_address(name)

    def admits(self, request: web.Request) -> bool:
        """Whether the request carries the token, as header, as cookie, or (first page and WebSocket) in the query."""
        if self.token is None:
            return True
        offered = [request.cookies.get(COOKIE, "")]
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            offered.append(credentials.strip())
        if request.path in ("/", "/ws", "/api/ws"):
            offered.append(request.query.get("token", ""))
        return any(hmac.compare_digest(candidate.encode(), self.token.encode()) for candidate in offered)


LOOPBACK = Policy("127.0.0.1")
"""The default: this machine only, no token."""


def is_loopback(name: str) -> bool:
    """Whether `name` is this machine for this machine only, without asking any name server."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def middleware(policy: Policy) -> Middleware:
    """Turns strangers away, also at the WebSocket; adds the headers; lets no exception text out."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = _refuse(request, policy)
        if response is None:
            try:
                response = await _answer(request, handler, policy)
            except web.HTTPException as answer:
                response = answer
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        if isinstance(response, web.HTTPException):
            raise response
        return response

    return guard


def _refuse(request: web.Request, policy: Policy) -> web.StreamResponse | None:
    host = _split(request.headers.get("Host"))
    if host is None or not policy.knows_host(host[0]):
        return web.Response(status=403, text="This host does not go by that name; start it with --allow-host NAME.")
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return web.Response(status=403, text="Requests from other sites are refused.")
    origin = request.headers.get("Origin")
    if origin is not None:
        scheme, _, rest = origin.partition("://")
        if scheme not in ("http", "https") or not _same(_split(rest), host):
            return web.Response(status=403, text="Requests from other origins are refused.")
    if not policy.admits(request):
        text = "A token is needed; open the address that `acestep serve` printed, or send it as a Bearer token."
        return web.Response(status=401, text=text, headers={"WWW-Authenticate": "Bearer"})
    return None


def _split(netloc: str | None) -> tuple[str, int | None] | None:
    try:
        parts = urlsplit(f"//{netloc or ''}")
        return (parts.hostname, parts.port) if parts.hostname else None
    except ValueError:
        return None


def _same(origin: tuple[str, int | None] | None, host: tuple[str, int | None]) -> bool:
    """Compares names, and ports where both sides name one: browsers leave out default ports."""
    if origin is None or origin[0] != host[0]:
        return False
    return origin[1] == host[1] or {origin[1], host[1]} <= {None, 80, 443}


async def _answer(request: web.Request, handler: Handler, policy: Policy) -> web.StreamResponse:
    if policy.token is not None and request.path == "/" and "token" in request.query:
        rest = {name: value for name, value in request.query.items() if name != "token"}
        response = web.Response(status=302, headers={"Location": str(request.rel_url.with_query(rest))})
        response.set_cookie(COOKIE, policy.token, httponly=True, samesite="Strict", secure=request.secure)
        return response
    if request.method == "OPTIONS":
        return web.Response()
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError):
        raise
    except Exception:  # the last line of defence: log it here, tell the client nothing
        _log.exception("%s %s failed", request.method, request.path)
        error = {"type": "internal_error", "message": "The host failed; its log says why.", "details": ""}
        return web.json_response({"error": error}, status=500)
