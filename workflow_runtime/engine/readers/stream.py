"""RunStream: the events of a run as its caller reads them. (D9, D10)

The stream is an object fed by a hosted task; no scope or task group is open across an ``await`` of the reader.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import anyio

from ...core.lifecycle import is_end
from ...core.position import Position
from ...model.enums import RunStatus
from ...model.errors import Fenced, RunCancelledError, RunNotFound
from ...model.events import Event
from ...model.run import WorkflowRunOutput
from ..bus.buffer import Buffer, ReaderTooSlow
from ..bus.failures import shorten
from .reading import AsyncReading, loop_left

if TYPE_CHECKING:
    from ..bus.completion import Completion
    from ..run.execution import Execution
    from ..run.joined import Joined
    from .subscription import Subscription

__all__ = ["RunStream"]

_LEFT = "the stream was left"


class RunStream:
    """Async iterator over the events of one run; starts it at the first read.

    Of a background run, which waits for nobody, a reader that falls far behind is served from the log; without a database
    text merges, as ``engine.buffer.Buffer`` says. Where another process has taken a background run over, its events there
    follow, from the log: WorkflowResumed, then what supersedes what was seen here. If it fails there, Fenced is raised, with
    ``run_output``.

    Leaving early cancels a foreground run: ``aclose()`` and ``async with`` also wait for its end. A bare ``break`` cancels
    it without anybody waiting: at once where nothing else holds the stream, else if nobody reads on within a quarter of a
    second (``result()``, another loop). A reader that takes its time reads with ``anext``. A background run goes on.
    After a failed run the iterator yields ``WorkflowError`` and then raises the step's exception. ``Fenced`` is raised
    without an end before it: another process has the run, and how it ends is said there.
    """

    def __init__(
        self,
        run_id: str,
        start: Callable[[Buffer], Awaitable[Execution | Joined]],
        buffer: Buffer,
        *,
        owner: bool = True,
        follow: Callable[[str, str], Subscription] | None = None,
        read: Callable[[str], Awaitable[WorkflowRunOutput | None]] | None = None,
    ) -> None:
        self.run_id = run_id
        self._start: Callable[[Buffer], Awaitable[Execution | Joined]] | None = start
        self._buffer = buffer
        self._owner = owner
        self._run: Execution | Joined | None = None
        self._completion: Completion | None = None
        self._dropped: _Dropped | None = None
        self._follow = follow
        self._read = read
        self._log: Subscription | None = None
        self._is_elsewhere = False  # another process has taken the run over, and what comes is of that one
        self._refused: Exception | None = None
        self.is_unread = False  # a loop was left, and nobody has read since

    def __aiter__(self) -> AsyncIterator[Event]:
        return AsyncReading(self)

    def __await__(self) -> Generator[Any, None, Self]:
        """Itself: ``await acontinue_run(..., stream=True)`` and the same without ``await`` give one thing."""
        return self._same().__await__()

    async def _same(self) -> Self:
        return self

    # What a coroutine has, so that asyncio.create_task(arun(..., stream=True)) makes a task that gives the stream.

    def send(self, value: Any) -> NoReturn:
        raise StopIteration(self)

    def throw(self, *error: Any) -> NoReturn:
        raise error[0]

    def close(self) -> None:
        """Nothing: a stream is left with ``aclose``."""

    async def __anext__(self) -> Event:
        self.is_unread = False
        event, run = self._buffer.take_nowait(), self._run
        if event is not None and (run is None or not run.end_is_lost or not self._is_lost(event)):
            return event
        try:
            if self._start is not None:
                await self._begin()
            event = await self._take()
        except anyio.get_cancelled_exc_class():
            self._leave("the reader was cancelled")
            raise
        except Exception as error:
            shorten(error)
            raise
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        if self._start is not None:
            await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave. A foreground run that is still going is cancelled, and its end is waited for."""
        self._start = None
        if self._run is None:
            self._buffer.close()
            return
        self._refuse_another_loop(self._run)
        self._leave("the stream was closed")
        if self._log is not None:
            await self._log.aclose()
        if self._owner:
            with anyio.CancelScope(shield=True):
                await self._wait_ended()

    @property
    def end_is_lost(self) -> bool:
        """True if the run ended here and that could not be stored: what becomes of it, its database will say."""
        return self._run is not None and self._run.end_is_lost and not self._is_elsewhere

    @property
    def has_joined(self) -> bool:
        """True if it follows a run that another call has started."""
        return self._run is not None and self._completion is None

    async def result(self) -> WorkflowRunOutput:
        """Read to the end, and the run's output.

        Raises:
            Exception: What the run failed with, or what kept it from beginning.
            RunCancelledError: The stream was closed before its first event was asked for.
        """
        try:
            async for _ in self:
                pass
            if self._run is None:
                raise self._refused or RunCancelledError(
                    "the stream was closed before its run began, so there is no output"
                )
            if self._is_elsewhere:
                return await self._output_elsewhere()
            return await (self._run if self._completion is None else self._completion).result()
        except Exception as error:
            shorten(error)
            raise

    async def _wait_ended(self) -> None:
        if self._completion is not None:
            await self._completion.wait()

    async def take_some(self) -> list[Event]:
        """All events that are ready, at least one; empty at the end."""
        self.is_unread = False
        try:
            if self._start is not None:
                await self._begin()
            first = await self._take()
        except anyio.get_cancelled_exc_class():
            self._leave("the reader was cancelled")
            raise
        except Exception as error:
            shorten(error)
            raise
        finally:
            if self._run is not None and self._is_over():
                self._dropped = None
        events = [first] if first is not None else []
        while first is not None and (first := self._buffer.take_nowait()) is not None and not self._is_lost(first):
            events.append(first)
        return events

    async def _take(self) -> Event | None:
        """The next event, None after the last. The log has what the buffer could not wait for, and what another process
        does with a run that it took over."""
        if self._run is not None:
            self._refuse_another_loop(self._run)
        if self._log is None:
            try:
                while (event := await self._buffer.take()) is not None and self._is_lost(event):
                    pass
                return event
            except (ReaderTooSlow, Fenced) as reason:
                if self._follow is None:
                    raise
                self._is_elsewhere = isinstance(reason, Fenced)
            self._log = self._follow(self.run_id, self._position())
        async for event in self._log:
            if is_end(event):
                await self._log.aclose()  # a pause, too, ends a stream
            return event
        if self._is_elsewhere:
            await self._output_elsewhere()
        elif self._completion is not None and isinstance(self._completion.raised, Exception):
            raise self._completion.raised
        return None

    def _position(self) -> str:
        """Behind the last event that was taken; before any, behind what had been when the stream began."""
        buffer, run = self._buffer, self._run
        return str(Position(buffer.last_epoch or (run.epoch if run is not None else 0), buffer.last_seq))

    def _is_lost(self, event: Event) -> bool:
        """True for an end that is not stored, and that another end may follow: in the log, or in the process that has
        taken the run over. Nobody sees it."""
        run = self._run
        if run is None or not run.end_is_lost or not is_end(event):
            return False
        return self._follow is not None or run.is_taken_over

    async def _output_elsewhere(self) -> WorkflowRunOutput:
        """How the run ended, or paused, in another process. If it failed there, Fenced, with that output attached."""
        output = await self._read(self.run_id) if self._read is not None else None
        if output is None:
            raise RunNotFound(f"run {self.run_id!r} is not stored any more")
        if output.status is RunStatus.error:
            failed = Fenced(
                f"run {self.run_id} was taken over by another process and failed there: {output.error_type}:"
                f" {output.error}"
            )
            failed.run_output = output  # type: ignore[attr-defined]  # as on whatever a step raises
            raise failed
        return output

    async def _begin(self) -> None:
        start, self._start = self._start, None
        assert start is not None
        try:
            self._run = await start(self._buffer)
            self.run_id = self._run.id  # with a deduplication_id it may be another run
            self._completion = self._run.completion
        except BaseException as error:
            self._refused = error if isinstance(error, Exception) else None
            self._buffer.close()  # or who reads on would wait for ever
            raise
        self._dropped = _Dropped(self._run, self._buffer, _LEFT if self._owner else None)
        if self._buffer.closed:  # by another task, meanwhile
            self._leave("the stream was closed")

    def _refuse_another_loop(self, run: Execution | Joined) -> None:
        if not self._is_over() and not run.loop.is_here():
            raise RuntimeError(
                f"run {run.id!r} is streamed on another event loop: read it there, or follow it from here with"
                f" subscribe({run.id!r})"
            )

    def _leave(self, reason: str) -> None:
        self._start = None
        run = self._run
        if run is None or self._is_over():
            return
        run.detach(self._buffer)
        if self._owner:
            run.cancel(reason)

    def loop_was_left(self) -> None:
        """A loop over it has ended or was left; if nobody reads on, that leaves the run. From any thread."""
        run = self._run
        if run is not None and self._owner and not self._is_over():
            loop_left(run.loop, self)

    def leave_unread(self) -> None:
        if not self._buffer.is_awaited:
            self._leave(_LEFT)

    def _is_over(self) -> bool:
        """Whether the continuation that this stream began has ended; the run may be in a later one."""
        return self._completion.over if self._completion is not None else self._buffer.closed

    def abandon(self) -> Execution | None:
        """Leave without waiting, from any thread. The run, if it is cancelled by this."""
        run = self._run
        if run is None or self._is_over():
            return None
        run.from_anywhere(self._buffer, _LEFT if self._owner else None)
        return run if self._owner and self._completion is not None else None  # type: ignore[return-value]  # not a Joined


class _Dropped:
    """Leaves the run when the stream is dropped. An object of its own, so that a stream that was read to its end has no
    finaliser: Python swallows a Ctrl-C that falls into one."""

    __slots__ = ("_buffer", "_completion", "_reason", "_run")

    def __init__(self, run: Execution | Joined, buffer: Buffer, reason: str | None) -> None:
        self._run = run
        self._completion = run.completion
        self._buffer = buffer
        self._reason = reason

    def __del__(self) -> None:
        if not (self._completion.over if self._completion is not None else self._buffer.closed):
            self._run.from_anywhere(self._buffer, self._reason)
