"""Requests to one server: sending, the failures that are retried, and the errors of the others."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import msgspec

from ..model.errors import WorkflowRuntimeError
from ..model.wire import TYPED
from .errors import ConnectionLost, refusal

__all__ = ["Backoff", "Transport", "Unreachable"]

_UNWELL = (502, 503, 504)  # a proxy that finds no server, a server that is ending or has no database
_SILENCE = 60.0  # seconds without a byte; a server sends something four times as often


class Unreachable(Exception):
    """The connection could not be made, or ended in the middle; another try may do better. ``wait`` is seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Backoff:
    """No pause before the first try after a success, then ones that double, with jitter, until ``limit`` seconds have
    passed without a success."""

    def __init__(self, limit: float, first: float = 0.1, most: float = 5.0) -> None:
        self._limit = limit
        self._first = first
        self._most = most
        self._since: float | None = None
        self._next = 0.0

    def reset(self) -> None:
        """It worked."""
        self._since = None
        self._next = 0.0

    async def pause(self, reason: Unreachable, lost: Callable[[str], ConnectionLost]) -> None:
        """Wait before another try. Raises ``lost`` once the limit is reached."""
        now = anyio.current_time()
        if self._since is None:
            self._since = now
        left = self._since + self._limit - now
        if left <= 0:
            raise lost(f"{reason}; gave up after {self._limit:g} s (reconnect=)") from reason
        delay = max(reason.wait, self._next * random.uniform(0.5, 1.0))
        self._next = min(self._next * 2, self._most) or self._first
        await anyio.sleep(min(delay, left))


class Transport:
    """One server, and the connections to it.

    Args:
        url: The base URL of the server's routes, such as "https://flows.example.com" or "http://localhost:8000/api".
        token: Sent as ``Authorization: Bearer``.
        headers: Sent with every request.
        timeout: Seconds to connect, and for a short response.
        reconnect: Seconds without success after which the client gives up.
        http: Your own HTTP client (proxies, certificates, a base path); it is not closed here.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        headers: Mapping[str, str] | None,
        timeout: float,
        reconnect: float,
        http: httpx2.AsyncClient | None,
    ) -> None:
        self.url = url.rstrip("/")
        self.reconnect = reconnect
        self._timeout = httpx2.Timeout(timeout, read=_SILENCE, pool=None)
        self._headers = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token is not None else {})}
        self._given = http
        self._made: httpx2.AsyncClient | None = None
        self._making = anyio.Lock()

    async def _http(self) -> httpx2.AsyncClient:
        """Made at the first request, in a thread: it reads the machine's certificates."""
        if self._given is not None:
            return self._given
        async with self._making:
            if self._made is None:
                self._made = await anyio.to_thread.run_sync(self._make)
        return self._made

    def _make(self) -> httpx2.AsyncClient:
        # A stream holds its connection as long as a run takes, so their number is the caller's business.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        return httpx2.AsyncClient(timeout=self._timeout, limits=limits)

    async def aclose(self) -> None:
        made, self._made = self._made, None
        if made is not None:
            await made.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        heard: tuple[type[WorkflowRuntimeError], ...] = (),
        repeated: bool = False,
    ) -> Any:
        """The JSON of a response. A lost connection is retried, so the call must be safe to repeat: if the server may have
        received the first one, a refusal in ``heard`` shows that, and the result is None. ``repeated``: this is not the
        first one.

        Raises:
            ConnectionLost: No response for ``reconnect`` seconds. WorkflowRuntimeError: The server refused the request.
        """
        backoff = Backoff(self.reconnect)
        while True:
            try:
                status, found = await self._once(method, path, query, body)
            except Unreachable as reason:
                await backoff.pause(reason, ConnectionLost)
                repeated = True
                continue
            if status < 400:
                return found
            refused = refusal(status, found)
            if repeated and isinstance(refused, heard):
                return None
            raise refused

    async def _once(self, method: str, path: str, query: Mapping[str, Any] | None, body: Any) -> tuple[int, Any]:
        content, headers = self._request(body)
        http = await self._http()
        try:
            response = await http.request(
                method, self.url + path, params=_given(query), content=content, headers=headers
            )
        except httpx2.TransportError as error:
            raise Unreachable(f"{method} {self.url}{path}: {_said(error)}") from error
        _refuse_unwell(response, f"{method} {self.url}{path}")
        return response.status_code, _json(response.content)

    @asynccontextmanager
    async def events(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        last: str | None = None,
    ) -> AsyncIterator[AsyncIterator[httpx2.ServerSentEvent]]:
        """The server-sent events of a response. One try: the reader handles failures.

        Raises:
            Unreachable: Here or while reading: the connection ended.
            WorkflowRuntimeError: What the server refused.
        """
        content, headers = self._request(body)
        headers["Accept"] = f"text/event-stream, {TYPED}"
        if last is not None:
            headers["Last-Event-ID"] = last
        where = f"{method} {self.url}{path}"
        http = await self._http()
        try:
            async with http.stream(
                method, self.url + path, params=_given(query), content=content, headers=headers
            ) as response:
                _refuse_unwell(response, where)
                if response.status_code >= 400:
                    raise refusal(response.status_code, _json(await response.aread()))
                frames = aiter(httpx2.EventSource(response, max_event_size=None))
                try:
                    yield frames
                finally:
                    await _unwound(frames)
        except httpx2.TransportError as error:
            raise Unreachable(f"{where}: {_said(error)}") from error

    def _request(self, body: Any) -> tuple[bytes | None, dict[str, str]]:
        headers = dict(self._headers)
        if body is None:
            return None, headers
        headers["Content-Type"] = "application/json"
        return msgspec.json.encode(body), headers


async def _unwound(frames: AsyncIterator[Any]) -> None:
    """End the reading at the innermost generator, which waits for the socket. Closing the outermost one would leave the
    inner ones to the garbage collector, which trio reports."""
    with anyio.CancelScope() as scope, suppress(httpx2.TransportError):
        scope.cancel()
        async for _ in frames:
            pass


def _given(query: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {name: value for name, value in query.items() if value is not None} if query else None


def _refuse_unwell(response: httpx2.Response, where: str) -> None:
    if response.status_code in _UNWELL:
        after = response.headers.get("retry-after", "")
        raise Unreachable(f"{where}: {response.status_code}", float(after) if after.isdigit() else 0.0)


def _json(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content) if content else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        return content.decode(errors="replace")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
