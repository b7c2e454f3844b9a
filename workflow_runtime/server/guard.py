"""What every request passes before a route sees it: where it comes from, who asks; and what every answer says of itself.

Without authentication the app answers loopback addresses only, under loopback names only (a page of another site can make
its own name point here). A browser that acts for another site's page says so in ``Origin``: such a request changes
nothing, and opens no socket. Everybody else shows credentials, which a page of another site cannot.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .auth import Authenticate, authenticated
from .errors import Refused
from .http.call import refusal
from .http.operations import OPERATIONS

__all__ = ["Guard"]

_SAFE = ("GET", "HEAD", "OPTIONS")
_OPEN = tuple((operation.method, operation.path) for operation in OPERATIONS if operation.is_open)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware around all routes of the app.

    Args:
        auth: As for ``workflow_app``.
        origins: Origins such as "https://app.example.com" whose pages may call this server from a browser.
        hosts: Names that requests may be for; None: any, or with no ``auth`` the loopback's.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        auth: Authenticate | None,
        origins: Iterable[str] = (),
        hosts: Iterable[str] | None = None,
    ) -> None:
        self._app = app
        self._auth = auth
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._hosts = frozenset(host.lower() for host in hosts) if hosts is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope = _mounted(scope)
        try:
            if not _is_open(scope):
                self.refuse_strangers(scope)
                await self._authenticate(scope)
        except Exception as error:
            if scope["type"] == "http":
                send = _hardened(send)
            await refusal(error, scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, _hardened(send) if scope["type"] == "http" else send)

    def refuse_strangers(self, scope: Scope) -> None:
        """Refused (403) where a request came to an address or name that it must not, or acts for another site."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = _name_of(host)
        if self._auth is None and not (is_loopback_server(scope) and (self._hosts is not None or is_loopback(name))):
            raise Refused(
                403,
                "loopback_only",
                "this server has no authentication, so it serves loopback addresses only; give it auth=",
            )
        if self._hosts is not None and name not in self._hosts:
            raise Refused(403, "other_host", "this server is not known under that name")
        if scope["type"] == "websocket" or scope["method"] not in _SAFE:
            self._refuse_other_sites(headers, host)

    def _refuse_other_sites(self, headers: Headers, host: str) -> None:
        origin = headers.get("origin", "").lower()
        if origin in self._origins:
            return
        if (origin and urlsplit(origin).netloc != host.lower()) or (
            not origin and headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        ):
            raise Refused(403, "other_site", "a page of another site may not do this; see origins=")

    async def _authenticate(self, scope: Scope) -> None:
        """A socket may come without credentials: it has to show them in its first message."""
        try:
            scope["workflow_user"] = await authenticated(self._auth, HTTPConnection(scope))
        except Refused:
            if scope["type"] != "websocket" or "authorization" in Headers(scope=scope):
                raise
            scope["workflow_user"] = None


def _is_open(scope: Scope) -> bool:
    """Whether anybody may ask this: a load balancer has no credentials, and calls the server by its address; who calls
    back shows a token in the address."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return scope["type"] == "http" and any(
        (scope["method"] == method or (method in _SAFE and scope["method"] in _SAFE)) and _is_at(path, known)
        for method, known in _OPEN
    )


def _is_at(path: str, known: str) -> bool:
    """Whether ``path`` is ``known``, whose last part may be a parameter."""
    before, parameter, _ = known.partition("{")
    return path.startswith(before) and "/" not in path[len(before) :] if parameter else path == known


def _mounted(scope: Scope) -> Scope:
    """The scope as ASGI has it: ``path`` begins with ``root_path``, where this app is mounted.

    Some apps that mount others (Litestar) strip the path, end it with a slash, and set no root_path. What they took away
    is what ``raw_path`` has before it.
    """
    path, root = scope["path"].rstrip("/"), scope.get("root_path", "")
    asked = unquote((scope.get("raw_path") or b"").decode("latin-1")).rstrip("/")
    if not root and asked != path and asked.endswith(path):
        root, path = asked.removesuffix(path), asked
    return {**scope, "path": path or "/", "root_path": root}


def _hardened(send: Send) -> Send:
    """The headers that keep a browser from making more of an answer than it is; a route's own win."""

    async def harder(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return harder


def _name_of(host: str) -> str:
    """The host of a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_loopback_server(scope: Scope) -> bool:
    """Whether the connection came in at a loopback address, or through a socket in the file system."""
    server = scope.get("server")
    return server is None or server[1] is None or is_loopback(str(server[0]))
