"""ServedRun: the events of a run that a request started or continued."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import anyio

from .. import Event, ReaderTooSlow, RunStream, Workflow, WorkflowRunOutput

__all__ = ["ServedRun"]


class ServedRun:
    """The events of a run that a request started, as they come; ends at its pause or its final event.

    Leaving it early (``aclose``, ``async with``) cancels the run if it was to be waited for, unless the server stops.
    """

    def __init__(self, workflow: Workflow, stream: RunStream, *, owner: bool, is_stopping: Callable[[], bool]) -> None:
        self.run_id = stream.run_id
        self._workflow = workflow
        self._stream = stream
        self._owner = owner
        self._is_stopping = is_stopping
        self._done = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            self._done = True
            raise
        except Exception as error:  # the step's own, after WorkflowError told the reader of it
            self._ended_by(error)
            raise StopAsyncIteration from None

    async def take_some(self) -> list[Event]:
        """All events that are ready, at least one; empty at the end.

        Raises:
            ReaderTooSlow: It was not read for so long that its buffer is full. The run goes on, for whoever follows it.
        """
        try:
            events = await self._stream.take_some()
        except ReaderTooSlow:
            self._done = True
            raise
        except Exception as error:
            self._ended_by(error)
            return []
        self._done = not events
        return events

    async def output(self) -> WorkflowRunOutput:
        """Read to the end, and how the run ended, also where it failed."""
        try:
            output = await self._stream.result()
        except Exception as error:
            return self._ended_by(error)
        self._done = True
        return output

    def _ended_by(self, error: Exception) -> WorkflowRunOutput:
        output = getattr(error, "run_output", None)
        if not isinstance(output, WorkflowRunOutput) or self._stream.end_is_lost:
            raise error  # it did not end so: the database does not know of it
        self._done = True
        return output

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        left, self._done = not self._done, True
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()
            if left and self._owner and not self._stream.has_joined and not self._is_stopping():
                await self._workflow.acancel_run(self.run_id)
