"""The end of a run's continuation, for the callers that wait for it."""

from __future__ import annotations

from types import TracebackType

import anyio

from ...model.run import WorkflowRunOutput

__all__ = ["Completion"]


class Completion:
    """The end of one continuation of a run, for those who wait for it. A run that is continued gets another one."""

    __slots__ = ("_event", "_trace", "output", "over", "raised")

    def __init__(self, output: WorkflowRunOutput) -> None:
        self.output = output
        self.over = False
        self.raised: BaseException | None = None
        self._event: anyio.Event | None = None
        self._trace: TracebackType | None = None

    def close(self, output: WorkflowRunOutput) -> None:
        self.output, self.over = output, True
        self._trace = self.raised.__traceback__ if self.raised is not None else None
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        if not self.over:
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()

    async def result(self) -> WorkflowRunOutput:
        """The output once it has ended; raises what it failed with."""
        await self.wait()
        return self.taken()

    def taken(self) -> WorkflowRunOutput:
        """The output, now that it has ended; raises what it failed with. Several may wait for it: each gets the traceback
        as it was."""
        if self.raised is not None:
            raise self.raised.with_traceback(self._trace)
        return self.output
