"""Server-sent events: the events of a run as a browser's EventSource reads them.

``id:`` is ``epoch-seq`` of the last event number that the frame stands for (merged text stands for several), so a reader
that comes back with ``Last-Event-ID`` gets exactly what follows; after a take-over, what supersedes some of what it saw.
"""

from __future__ import annotations

import logging
import time
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ... import Event, ReaderTooSlow
from ...model.codec import event_frame
from ..errors import Refused
from ..limits import Limits
from .call import refusal, wire_header

__all__ = ["EventStream", "Source", "frame", "run_header"]

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


logger = logging.getLogger("workflow_runtime")

_CLOSE_SECONDS = 1.0
_MOMENT = 0.002  # seconds


class Source(Protocol):
    """Where a stream's events come from; empty at the end."""

    async def take_some(self) -> list[Event]: ...

    async def aclose(self) -> None: ...


def run_header(run_id: str) -> dict[str, str]:
    """The header that names the run; none for an id that no header can hold, which only this process can have started."""
    fits = run_id.isprintable() and all(ord(character) < 256 for character in run_id)
    return {"X-Run-Id": run_id} if fits else {}


def frame(event: Event, typed: bool = False) -> bytes:
    name = event.event.replace("\n", " ").replace("\r", " ")  # a custom event is called what its author likes
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event.id.encode(), name.encode(), event_frame(event, typed=typed))


class EventStream(Response):
    """A response that sends what ``source`` gives until it ends, the client leaves, or ``stopping`` is set.

    A client that takes nothing for ``limits.send_timeout`` seconds is left; the run and other readers never wait for it.
    ``seat`` is held while the stream is open. ``typed``: as ``event_frame`` says.
    """

    def __init__(
        self,
        source: Source,
        limits: Limits,
        *,
        seat: AbstractAsyncContextManager[Any],
        stopping: anyio.Event,
        typed: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(headers={**_HEADERS, **wire_header(), **(headers or {})})
        del self.headers["content-length"]
        self._source = source
        self._limits = limits
        self._seat = seat
        self._stopping = stopping
        self._typed = typed
        self._sending = anyio.Lock(fast_acquire=True)
        self._busy_since: float | None = None
        self._last = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._seat:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                if scope["method"] != "HEAD":
                    await self._stream(receive, send)
                with anyio.move_on_after(_CLOSE_SECONDS):  # the server cuts the connection of who takes not even this
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        except Refused as refused:  # there is no seat
            await refusal(refused, scope["path"])(scope, receive, send)
        finally:
            await self._source.aclose()

    async def _stream(self, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def until(wait: Any, *args: Any) -> None:
                await wait(*args)
                group.cancel_scope.cancel()

            group.start_soon(until, _disconnected, receive)
            group.start_soon(until, self._stopping.wait)
            group.start_soon(until, self._watch, send)
            await self._events(send)
            group.cancel_scope.cancel()

    async def _events(self, send: Send) -> None:
        """Send what there is, as soon as it is there; of a flood what comes within a moment at once: a write costs more
        than an event does."""
        await self._put(send, b"retry: %d\n\n" % int(self._limits.retry * 1000))
        try:
            while events := await self._source.take_some():
                await self._put(send, b"".join([frame(event, self._typed) for event in events]))
                await anyio.sleep(_MOMENT)
        except ReaderTooSlow:
            logger.info("a reader was too slow; it may come back with Last-Event-ID")
        except Exception:  # the head is sent: that is told when the reader comes back
            logger.exception("a stream of events ended")

    async def _put(self, send: Send, data: bytes) -> None:
        async with self._sending:
            self._busy_since = time.monotonic()
            await send({"type": "http.response.body", "body": data, "more_body": True})
            self._busy_since, self._last = None, time.monotonic()

    async def _watch(self, send: Send) -> None:
        """A comment whenever nothing was said for a while: proxies keep the connection, and a dead one is noticed.
        Returns when the client takes nothing for too long."""
        while True:
            now = time.monotonic()
            if self._busy_since is not None:
                left = self._busy_since + self._limits.send_timeout - now
                if left <= 0:
                    return
            else:
                left = self._last + self._limits.heartbeat - now
                if left <= 0:
                    left = self._limits.heartbeat
                    with anyio.move_on_after(self._limits.send_timeout) as waited:
                        await self._put(send, b": heartbeat\n\n")
                    if waited.cancelled_caught:
                        return
            await anyio.sleep(min(left, self._limits.send_timeout))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
