"""The events of a remote run, over any number of connections: each once, in order. (D3)

A new connection sends the position of the last event that was returned to the caller, so events that had been received but
not yet read are requested again. If another process took over the run after a crash, the server continues from the point
where its log differs from what was seen: events of the new attempt reuse numbers that were seen before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import anyio
import httpx2
import msgspec

from ..core.position import Cursor, Position, parse_position
from ..model.errors import WorkflowRuntimeError
from ..model.events import Event
from .errors import ConnectionLost
from .transport import Backoff, Transport, Unreachable
from .wire import Wire, told

__all__ = ["FINAL", "Follower"]

FINAL = frozenset({"WorkflowCompleted", "WorkflowCancelled", "WorkflowError"})
_Stream = AbstractAsyncContextManager[AsyncIterator[httpx2.ServerSentEvent]]


class _Ending(msgspec.Struct):
    """The part of a run that shows whether it has ended."""

    status: str | None = None
    last_seq: int = 0
    epoch: int = 1


class Follower:
    """Async iterator over the events of one run. ``ends`` are the names of the events of the run itself that are its last.

    Args:
        path: The run's, from the server's root.
        first: A request (method, path, body) whose response is the beginning of the events; it starts or continues the run.
            Once the server received it, the rest is read from the run's log, as without ``first``.
        heard: Refusals of a repeated ``first`` which show that the server received it before; ``repeated``: it is one.
        after: The start: an event's id, or a seq in the attempt that the run is at when this begins.
        query: ``kinds`` and ``path``, as the server takes them.
    """

    def __init__(
        self,
        transport: Transport,
        wire: Wire,
        run_id: str,
        path: str,
        *,
        ends: frozenset[str],
        first: tuple[str, str, Any] | None = None,
        heard: tuple[type[WorkflowRuntimeError], ...] = (),
        repeated: bool = False,
        after: int | str = 0,
        query: Mapping[str, Any] | None = None,
    ) -> None:
        self.run_id = run_id
        self.done = False
        self.started = first is None
        self.path = path
        self._transport = transport
        self._wire = wire
        self._ends = ends
        self._first = first
        self._heard = heard
        self._tried = repeated
        self._query = dict(query or {})
        self._after: Position | int | None = parse_position(after)  # None once the cursor is there
        self._cursor = Cursor(Position(0, 0))
        self._position = str(after)
        self._backoff = Backoff(transport.reconnect)
        self._open: _Stream | None = None
        self._over = False  # whether the run was known to have ended before this connection was made
        self._fruitful = True  # whether this connection has delivered an event, or could not have delivered all of them
        self._frames: AsyncIterator[httpx2.ServerSentEvent] | None = None

    @property
    def last_event_id(self) -> str:
        """Where another reader would continue."""
        return self._position

    async def begin(self) -> None:
        """Connect; the server has received ``first`` when this returns. Does nothing if it has it already."""
        while not self.started:
            try:
                await self._connect()
            except Unreachable as reason:
                await self._pause(reason)

    async def next(self) -> Event | None:
        """The next event; None after the last one.

        Raises:
            ConnectionLost: The server could not be reached for ``reconnect`` seconds.
            WorkflowRuntimeError: The server refused the request.
        """
        while not self.done:
            try:
                if self._frames is None:
                    await self._connect()
                event = await self._read()
            except Unreachable as reason:
                await self.disconnect()
                await self._pause(reason)
                continue
            except (WorkflowRuntimeError, anyio.get_cancelled_exc_class()):
                await self.disconnect()
                raise
            if event is not None:
                return event
        return None

    async def disconnect(self) -> None:
        """Give the connection back; ``next`` makes another one."""
        opened, self._open, self._frames = self._open, None, None
        if opened is not None:
            with anyio.CancelScope(shield=True), suppress(Unreachable, httpx2.HTTPError):  # it is gone all the same
                await opened.__aexit__(None, None, None)

    async def _pause(self, reason: Unreachable) -> None:
        def lost(message: str) -> ConnectionLost:
            return ConnectionLost(message, run_id=self.run_id, last_event_id=self._position)

        await self._backoff.pause(reason, lost)

    async def _begin(self, after: Position | int) -> None:
        """Set the position of the reader. A plain number counts in the run's current attempt, even if a later connection
        finds the run at another one."""
        if isinstance(after, int):
            after = Position((await self._run()).get("epoch", 1), after) if after else Position(0, 0)
            self._position = str(after)
        self._cursor.move(after)
        self._after = None

    async def _run(self) -> dict[str, Any]:
        """The run as the server has it."""
        try:
            found: dict[str, Any] = await self._transport.call("GET", self.path, query={"events": "false"})
        except ConnectionLost as lost:
            raise ConnectionLost(str(lost), run_id=self.run_id, last_event_id=self._position) from lost
        return found

    async def _connect(self) -> None:
        if self._after is not None:
            await self._begin(self._after)
        if self.started:
            last = self._position if self._cursor.position.seq else None
            stream = self._transport.events("GET", f"{self.path}/events", query=self._query, last=last)
        else:
            assert self._first is not None
            method, path, body = self._first
            stream = self._transport.events(method, path, body=body)
        try:
            self._frames = await stream.__aenter__()
        except WorkflowRuntimeError as error:
            if not (self._tried and not self.started and isinstance(error, self._heard)):
                raise
            self.started = True  # the response to an earlier try was lost, but the server had received it
            return
        finally:
            self._tried = True
        self._open, self._fruitful = stream, not self.started
        self._cursor.mark()  # within one connection, merged text may overlap events between its parts
        self.started = True

    async def _read(self) -> Event | None:
        """One event that was not seen before; None for anything else."""
        if self._frames is None:
            return None
        try:
            frame = await anext(self._frames)
        except StopAsyncIteration:
            await self._ended()
            return None
        except httpx2.TransportError as error:
            raise Unreachable(f"{self.path}: the connection ended ({type(error).__name__})") from error
        if not frame.data:
            return None
        event = self._cursor.take(self._wire.event(frame.data))
        self._backoff.reset()
        if event is None:
            return None
        self._fruitful = True
        self._position = str(self._cursor.position)
        if event.nested_depth == 0 and event.event in self._ends:
            self.done = True
            await self.disconnect()
        return event

    async def _ended(self) -> None:
        """The server closed the stream without a last event: it is ending itself, or keeps no events of this run."""
        await self.disconnect()
        found = told(await self._transport.call("GET", self.path), _Ending)
        status, newest = found.status, Position(found.epoch, found.last_seq)
        over = status in ("COMPLETED", "CANCELLED", "ERROR") or (status == "PAUSED" and "WorkflowPaused" in self._ends)
        # Nothing arrived on a connection that was made after the end was known: the server has no more events of this run.
        self.done = over and (self._cursor.position >= newest or (self._over and not self._fruitful))
        self._over = over
        if not self.done:
            raise Unreachable(f"{self.path}: the server closed the stream")
