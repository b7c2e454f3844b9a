"""RemoteSubscription: following a run on a server by its id. It owns nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..model.events import Event
from .follower import Follower

__all__ = ["RemoteSubscription"]


class RemoteSubscription:
    """Async iterator over the events of a run after a position; ends after its final event. Leaving does not affect the
    run.

    After a lost connection, it reconnects and the events continue, each once and in order. ``last_event_id`` is where
    another reader, or this one after a restart, would continue.
    """

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self.run_id = follower.run_id

    @property
    def last_event_id(self) -> str:
        return self._follower.last_event_id

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._follower.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._follower.done = True
        await self._follower.disconnect()
