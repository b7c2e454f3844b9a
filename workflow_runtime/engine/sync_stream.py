"""The sync twin of RunStream: drains what is ready per hop to the portal's loop. (D12)"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from ..model.events import Event
from ..model.run import WorkflowRunOutput
from . import portal
from .stream import RunStream

__all__ = ["SyncRunStream"]


class SyncRunStream:
    """Iterator over the events of one run. Leaving early (``close``, ``with``, or dropping it) cancels the run."""

    def __init__(self, stream: RunStream) -> None:
        self._stream = stream
        self._ready: deque[Event] = deque()
        self._ended = False

    @property
    def run_id(self) -> str:
        return self._stream.run_id

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if not self._ready and not self._ended:
            try:
                self._ready.extend(portal.call(self._stream.take_some))
            except KeyboardInterrupt:
                self.close()
                raise
            self._ended = not self._ready
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def result(self) -> WorkflowRunOutput:
        """Read to the end, and the run's output. Raises what the run failed with."""
        for _ in self:
            pass
        return portal.call(self._stream.result)

    def close(self) -> None:
        """Leave; a run that is still going is cancelled, and its end is waited for."""
        self._ended = True
        self._ready.clear()
        portal.call(self._stream.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
