"""Loops over a stream: who leaves the loop leaves the stream, also where a variable still holds it. (D9)

A loop holds an iterator of its own, which goes when the loop is left. It may be left to read on elsewhere, by ``result()``,
``anext`` or another loop; so the stream is left only once nobody has done that for a moment.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

from ...model.events import Event
from ..loop.loops import Loop, later

__all__ = ["READ_ON_WITHIN", "AsyncReading", "Readable", "loop_left"]

READ_ON_WITHIN = 0.25  # seconds


class Readable(Protocol):
    """A stream of events. Whoever reads from it sets ``is_unread`` to False."""

    is_unread: bool

    def __anext__(self) -> Awaitable[Event]: ...

    def loop_was_left(self) -> None:
        """The iterator of a loop has gone. From any thread, also from a finaliser."""
        ...

    def leave_unread(self) -> None:
        """A loop was left, and nobody has read on since."""
        ...


class AsyncReading(AsyncIterator[Event]):
    """What one ``async for`` iterates over. Once it is gone, so is the loop."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def __anext__(self) -> Awaitable[Event]:
        return self._stream.__anext__()

    def __del__(self) -> None:
        self._stream.loop_was_left()


def loop_left(loop: Loop, stream: Readable) -> None:
    """Let ``stream`` be left if nobody reads on. Holds no reference to it, so that a dropped one is left at once."""
    weak = weakref.ref(stream)

    def look() -> None:
        held = weak()
        if held is not None and held.is_unread:
            held.leave_unread()

    def begin() -> None:
        held = weak()
        if held is not None:
            held.is_unread = True
            later(READ_ON_WITHIN, look)

    loop.call(begin)
