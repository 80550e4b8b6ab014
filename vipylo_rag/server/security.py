"""Who may ask, and what every answer carries: host names, origins, keys and sessions; security headers.

Plain ASGI layers: Starlette's BaseHTTPMiddleware would hold back streamed answers and hide that a client went away.
"""

import ipaddress
import logging
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedder.errors import InputError
from vipylo_rag.server.errors import problem
from vipylo_rag.server.keys import Keys
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.sessions import COOKIE, Doors

logger = logging.getLogger(__name__)

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_OPEN_PATHS = ("/", "/healthz", "/docs", "/docs.css", "/openapi.json", "/api/session")
_OPEN_FOLDER = "/static/"


def check_reachable(options: ServerOptions, keys: Keys) -> None:
    """Refuse to listen where others can reach a server that asks for no key.

    Raises:
        InputError: `options.host` is not this machine's own, and there are no keys.
    """
    if not keys and not is_loopback(options.host):
        raise InputError(
            f"host {options.host!r} can be reached by others: give keys (--keys FILE, or VIPYLO_SERVER_KEY), or listen "
            "on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HeadersLayer:
    """Puts the security headers on every answer, and makes one of what nobody else caught."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            logger.exception("%s %r failed", scope["method"], scope["path"])
            if started:
                raise
            await problem(500, "the server failed: its log says why")(scope, receive, sending)


class AccessLayer:
    """Lets a request in whose host, origin and key are right, and notes whose documents it may see."""

    def __init__(self, app: ASGIApp, options: ServerOptions, doors: Doors) -> None:
        self._app = app
        self._doors = doors
        self._tenant = options.tenant
        own = f"[{options.host}]" if ":" in options.host else options.host
        self._hosts = {"localhost", "127.0.0.1", "[::1]", own.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, value)
        said = {name: headers[name].decode("latin-1") for name in _ASKED if name in headers}
        refused = self._host(said) or _foreign(scope["method"], said)
        if refused is not None:
            return await problem(403, refused, {"Connection": "close"})(scope, receive, send)
        tenant = self._whose(said)
        if tenant is None:
            if not _is_open(scope["path"]):
                answer = problem(
                    401,
                    "a key is needed: send `Authorization: Bearer KEY`, or open a session",
                    {"WWW-Authenticate": "Bearer", "Connection": "close"},
                )
                return await answer(scope, receive, send)
        else:
            scope.setdefault("state", {})["tenant"] = tenant
        return await self._app(scope, receive, send)

    def _host(self, said: dict[bytes, str]) -> str | None:
        """Without keys, only names of this machine are answered to: another one is a page elsewhere whose name was
        pointed here (DNS rebinding), and the browser would let it read the answers."""
        if self._doors.keys:
            return None
        host = said.get(b"host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return None if name in self._hosts else "this server answers under localhost and 127.0.0.1 only"

    def _whose(self, said: dict[bytes, str]) -> str | None:
        if not self._doors.keys:
            return self._tenant
        authorization = said.get(b"authorization")
        if authorization is not None:
            scheme, _, key = authorization.partition(" ")
            return self._doors.keys.tenant_of(key.strip()) if scheme.lower() == "bearer" else None
        session = _session(said.get(b"cookie", ""))
        return self._doors.sessions.tenant_of(session) if session else None


_ASKED = (b"host", b"origin", b"sec-fetch-site", b"authorization", b"cookie")


def _foreign(method: str, said: dict[bytes, str]) -> str | None:
    """Why a change is refused that a browser asks for on behalf of another site's page; other programs send neither
    header."""
    if method in _SAFE_METHODS:
        return None
    origin, site = said.get(b"origin"), said.get(b"sec-fetch-site")
    own = _without_port(said.get(b"host", "").lower())
    if site not in (None, "same-origin", "none") or (
        origin is not None and _without_port(origin.lower().partition("://")[2]) != own
    ):
        return "a page of another site cannot change anything here"
    return None


def _without_port(host: str) -> str:
    """`host` without the ports that browsers leave out."""
    return host.removesuffix(":80").removesuffix(":443")


def _session(cookies: str) -> str | None:
    if COOKIE not in cookies:
        return None
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER)
