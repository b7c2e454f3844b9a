"""RemoteRun: a run on a server, as the caller that started or continued it has it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio

from ..core.filters import Sieve
from ..engine.loop.loops import Loop, current_loop, spawn
from ..engine.readers.reading import AsyncReading, loop_left
from ..model.enums import RunStatus
from ..model.errors import RunNotFound
from ..model.events import Event
from ..model.run import WorkflowRunOutput
from .errors import EventsGone, run_failure
from .follower import Follower

__all__ = ["RemoteRun"]

logger = logging.getLogger("workflow_runtime")
_LEAVE_SECONDS = 5.0  # that a leaving caller waits for the server to receive that


class RemoteRun:
    """``await`` it for the output, or iterate over it for the events; either starts the run, at the first of them.

    It behaves like a local run: leaving it early (``aclose()``, ``async with``, ``break``, a cancelled task) cancels it on
    the server, unless it was started in the background. After a lost connection it reconnects, and the events continue; the
    run itself does not depend on the connection.

    After a failed run the iterator yields ``WorkflowError`` and then raises, as ``await`` does: our own exception class if
    a local run would raise one of them, else RemoteRunError.
    """

    def __init__(
        self,
        run_id: str,
        follow: Callable[[bool], Awaitable[Follower]],
        read: Callable[[], Awaitable[WorkflowRunOutput]],
        cancel: Callable[[], Awaitable[bool]],
        *,
        sieve: Sieve | None = None,
        owner: bool = True,
    ) -> None:
        self.run_id = run_id
        self._follow = follow  # with True: only how it ends is of interest
        self._sieve = sieve
        self.read = read
        self._cancel = cancel
        self._owner = owner
        self._follower: Follower | None = None
        self._failed = False
        self._closed = False
        self._loop: Loop | None = None
        self.is_unread = False  # a loop was left, and nothing was read since

    def __await__(self) -> Generator[Any, None, WorkflowRunOutput]:
        return self.result().__await__()

    def __aiter__(self) -> AsyncIterator[Event]:
        return AsyncReading(self)

    async def __anext__(self) -> Event:
        self.is_unread = False
        if self._closed:
            raise StopAsyncIteration
        if self._failed:
            self._failed = False
            raise run_failure(await self.read())
        while True:
            event: Event | None = await self._guarded(self._next)
            if event is None:
                raise StopAsyncIteration
            self._failed = event.nested_depth == 0 and event.event == "WorkflowError"
            if self._sieve is None or self._sieve(event):
                return event

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def last_event_id(self) -> str:
        """The id of the last event that was read; ``subscribe(run_id, after=...)`` continues after it."""
        return self._follower.last_event_id if self._follower is not None else "0"

    async def result(self) -> WorkflowRunOutput:
        """Read to the end, and return the run's output from the server: completed, paused or cancelled.

        Raises:
            RemoteRunError: A step failed; or our own class if a local run raises it. ConnectionLost: The server was
                unreachable for too long; the run is not affected.
        """
        self.is_unread = False
        if self._follower is None and not self._closed:
            await self.begin(quietly=True)
        with suppress(EventsGone):  # it ended before it could be followed; the output has its end
            while not self._closed and await self._guarded(self._next) is not None:
                pass
        output = await self.read()
        if output.status is RunStatus.error:
            raise run_failure(output)
        return output

    def loop_was_left(self) -> None:
        """A loop over it has ended or was left; if nothing reads on, that leaves the run. From any thread."""
        if self._owner and self._loop is not None and self._is_open():
            loop_left(self._loop, self)

    def leave_unread(self) -> None:
        if self._is_open():
            self._leave()

    async def acancel(self) -> None:
        """Cancel the run on the server, also from a task that is being cancelled; a few seconds are waited for that."""
        with anyio.move_on_after(_LEAVE_SECONDS, shield=True):
            await self._stop()

    async def aclose(self) -> None:
        """Leave. A run that is not in the background and still runs is cancelled; the server has received that when this
        returns."""
        follower, left = self._follower, not self._closed
        self._closed = True
        if follower is None:
            return
        await follower.disconnect()
        if left and self._owner and not follower.done:
            await self.acancel()

    async def begin(self, *, quietly: bool = False) -> None:
        """Start the run; the server has received the request when this returns. ``quietly``: its events are not needed."""
        await self._guarded(partial(self._begin, quietly))

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _begin(self, quietly: bool) -> Follower:
        if self._follower is None:
            self._loop = current_loop()
            self._follower = await self._follow(quietly)
        await self._follower.begin()
        return self._follower

    async def _next(self) -> Event | None:
        follower = self._follower or await self._begin(False)
        return await follower.next()

    async def _guarded(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """``work``; a caller that is cancelled in it takes its run with it."""
        try:
            return await work()
        except anyio.get_cancelled_exc_class():
            if self._follower is None:  # the server may have received it, so it is cancelled all the same
                self._closed = True
                if self._owner:
                    await self.acancel()
            else:
                await self.aclose()
            raise
        except Exception:
            self._closed = True  # refused, or out of reach: there is nothing to leave
            raise

    async def _stop(self) -> None:
        try:
            await self._cancel()
        except RunNotFound:
            pass  # the server never received its start
        except Exception as error:
            logger.warning("run %s was left, and the server could not be told to cancel it: %r", self.run_id, error)

    def _is_open(self) -> bool:
        follower = self._follower
        return not self._closed and follower is not None and not follower.done and self._loop is not None

    def _leave(self) -> None:
        """Nothing reads any more: close the connection, and cancel an own run."""
        follower, loop = self._follower, self._loop
        assert follower is not None
        assert loop is not None
        self._closed = True

        async def leave() -> None:
            await follower.disconnect()
            if self._owner and follower.started:
                await self._stop()

        loop.call(partial(spawn, leave, f"leaving run {self.run_id}"))

    def __del__(self) -> None:
        if self._is_open():
            self._leave()
