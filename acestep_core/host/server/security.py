"""Who may talk to the host, and what it may show.

Threats: a web page the user happens to visit (cross-site requests, DNS rebinding, WebSocket hijacking), other machines
on the network, files that would run as a page of ours, and error texts that describe the user's disk.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from acestep_core.errors import AceStepError
from acestep_core.host.server.requests import BROKEN, bad_request

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

    @property
    def cookie(self) -> str:
        """What a browser keeps instead of the token: ASCII, whatever the token is made of."""
        return hashlib.sha256(b"acestep " + _bytes(self.token or "")).hexdigest()

    def admits(self, request: web.Request) -> bool:
        """Whether the request carries the token, as header, as cookie, or (first page and WebSocket) in the query."""
        if self.token is None:
            return True
        accepted = {"cookie": self.cookie, "token": self.token}
        return any(hmac.compare_digest(_bytes(text), _bytes(accepted[kind])) for kind, text in offered(request))


def offered(request: web.Request) -> list[tuple[str, str]]:
    """`("cookie" or "token", text)` of everything that a request offers to be let in."""
    found = [("cookie", request.cookies.get(COOKIE, ""))]
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        found.append(("token", credentials.strip()))
    if request.path in ("/", "/ws", "/api/ws"):
        found.append(("token", request.query.get("token", "")))
    return [(kind, text) for kind, text in found if text]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # aiohttp reads bytes that are no UTF-8 as surrogates


LOOPBACK = Policy("127.0.0.1")
"""The default: this machine only, no token."""


@dataclass
class Guesses:
    """Slows down whoever tries tokens: an address has `BURST` wrong ones, and one more each `SECONDS`.

    The same wrong one again is no new guess: a browser that still has an old cookie sends it with everything.
    """

    BURST = 10
    SECONDS = 2.0
    ADDRESSES = 1000

    clock: Callable[[], float] = time.monotonic
    _wrong: dict[str, tuple[float, float, frozenset[str]]] = field(default_factory=dict)

    def spent(self, address: str) -> bool:
        """Whether nothing that comes from this address is looked at for now."""
        return self._left(address)[0] < 1

    def note(self, address: str, texts: Iterable[str]) -> None:
        """Counts the wrong tokens of a request."""
        left, seen = self._left(address)
        digests = {hashlib.sha256(_bytes(text)).hexdigest() for text in texts} - seen
        if digests:
            seen = frozenset([*list(seen)[-4 * self.BURST :], *digests])
            self._wrong.pop(address, None)
            self._wrong[address] = (left - len(digests), self.clock(), seen)
            if len(self._wrong) > self.ADDRESSES:
                del self._wrong[next(iter(self._wrong))]

    def _left(self, address: str) -> tuple[float, frozenset[str]]:
        left, since, seen = self._wrong.get(address, (self.BURST, self.clock(), frozenset[str]()))
        return min(self.BURST, left + (self.clock() - since) / self.SECONDS), seen


def _network(request: web.Request) -> str:
    """Where a request comes from; somebody with one IPv6 address has 2^64 of them."""
    try:
        address = ipaddress.ip_address(request.remote or "")
    except ValueError:
        return request.remote or ""
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


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
    guesses = Guesses()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = _refuse(request, policy, guesses)
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


def _refuse(request: web.Request, policy: Policy, guesses: Guesses) -> web.StreamResponse | None:
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
    given = offered(request)
    if policy.token is not None and given and guesses.spent(_network(request)):
        text = "Too many wrong tokens came from this address; wait a minute."
        return web.Response(status=429, text=text, headers={"Retry-After": "60"})
    if not policy.admits(request):
        guesses.note(_network(request), [text for _, text in given])
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
        response.set_cookie(COOKIE, policy.cookie, httponly=True, samesite="Strict", secure=request.secure)
        return response
    if request.method == "OPTIONS":
        return web.Response()
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError):
        raise
    except BROKEN:
        raise bad_request("invalid_request", "The request is not what its headers say; send it again.") from None
    except (AceStepError, OSError) as error:  # such as a full disk
        _log.error("%s %s failed: %s", request.method, request.path, error)
    except Exception:  # the last line of defence: log it here, tell the client nothing
        _log.exception("%s %s failed", request.method, request.path)
    failure = {"type": "internal_error", "message": "The host failed; its log says why.", "details": ""}
    return web.json_response({"error": failure}, status=500)
