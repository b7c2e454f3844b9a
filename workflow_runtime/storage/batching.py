"""Group commit: waiting calls are sent to the database together, in one transaction, one round trip and one flush.

Theory of operation. If no group is in progress, a call is sent immediately. Calls that arrive meanwhile are sent together
when the group is done, so the cost per call falls with their number, and a single call waits for nothing.

A database that takes several groups at once (``groups``) gets a second one as soon as ``ENOUGH`` calls wait, so that the
server has work while this process prepares more. A group that takes longer than ``PATIENCE`` (for example because a row of
it is locked) does not delay others: the next one is sent beside it, except calls with a common key (the same run), which
keep their order.

Each call has its own outcome. Refusals are values. Any other error rolls the whole group back, and its calls are then sent
one by one, so that one bad call does not fail its neighbours. An error that every call would get fails them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from ..model.errors import StorageError

__all__ = ["ENOUGH", "PATIENCE", "Batching", "Call"]

ENOUGH = 8
"""This many waiting calls are sent as a group, even if another group is in progress."""

PATIENCE = 0.02
"""Seconds after which the next group no longer waits for the one before it."""


class Call(Protocol):
    """A call that a backend sends."""

    @property
    def keys(self) -> frozenset[str]:
        """Of two calls with a common key the later does not go beside the earlier."""
        ...

    @property
    def order(self) -> tuple[str, ...]:
        """The place in a group. Calls that lock rows in this order, in every process, never wait in a circle."""
        ...

    @property
    def given_up(self) -> bool:
        """The outcome is not awaited any more, and the call need not be sent."""
        ...

    def settle(self, error: Exception | None, value: Any) -> None:
        """Give the caller the error to raise, or the value."""
        ...


C = TypeVar("C", bound=Call)


class Batching(Generic[C]):
    """Groups calls. Every method is for one event loop.

    Args:
        send: Sends these calls in one transaction and settles each, except abandoned ones; or raises, and then none was
            sent or settled. It may append calls to the list, which then belong to the group. With True there is one call,
            which may be retried until it succeeds; with False, an error that may concern one call only is raised
            immediately.
        is_common: Whether this error of a group fails a call without sending it alone.
        groups: The maximum number of groups in progress.
        limit: The maximum number of calls in one transaction: it bounds how long the first of them waits for the last.
        more: Called when a group is done, for calls that were not added yet.
        done: Receives each call that is done.
    """

    def __init__(
        self,
        send: Callable[[list[C], bool], Awaitable[None]],
        is_common: Callable[[Exception, C], bool],
        *,
        groups: int,
        limit: int,
        more: Callable[[], Sequence[C]] | None = None,
        done: Callable[[C], None] | None = None,
    ) -> None:
        self._send = send
        self._is_common = is_common
        self._groups = groups
        self._limit = limit
        self._more = more
        self._done = done
        self._waiting: list[C] = []
        self._under_way: dict[asyncio.Task[None], list[C]] = {}
        self._patience: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """No call is waiting or in progress."""
        return not (self._waiting or self._under_way)

    def add(self, calls: Sequence[C]) -> None:
        """Send these calls as soon as it is their turn."""
        self._waiting.extend(calls)
        if not self._under_way or (len(self._waiting) >= ENOUGH and len(self._under_way) < min(2, self._groups)):
            self._go()
        else:
            self._be_patient()

    def withdraw(self, call: C) -> None:
        """Forget an abandoned call. A group that has been sent continues unless all of its calls were abandoned."""
        if call in self._waiting:
            self._waiting.remove(call)
            return
        for task, calls in self._under_way.items():
            if call in calls and all(one.given_up for one in calls):
                task.cancel()

    async def idle(self) -> None:
        """Return when no call is waiting or in progress."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _go(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        group = self._next_group()
        loop = asyncio.get_running_loop()
        if group:
            task = loop.create_task(self._work(group), name="workflow_runtime: groups of calls to a database")
            self._under_way[task] = group
            task.add_done_callback(self._cut_off)
        self._be_patient()

    def _be_patient(self) -> None:
        if self._waiting and self._patience is None and len(self._under_way) < self._groups:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE, self._go)

    def _next_group(self) -> list[C]:
        if not self._waiting:
            return []
        held = {key for calls in self._under_way.values() for call in calls for key in call.keys}
        group: list[C] = []
        left: list[C] = []
        for call in self._waiting:
            fits = len(group) < self._limit and call.keys.isdisjoint(held)
            (group if fits else left).append(call)
            if not fits:
                held |= call.keys
        self._waiting = left
        group.sort(key=lambda call: call.order)
        return group

    async def _work(self, group: list[C]) -> None:
        # One task for all groups that follow on: a task costs more turns of the loop than a group.
        task = asyncio.current_task()
        assert task is not None
        while group:
            await self._make(group)
            self._over(task)
            if self._more is not None:
                self._waiting.extend(self._more())
            group = self._next_group()
            if group:
                self._under_way[task] = group
                self._be_patient()
        task.remove_done_callback(self._cut_off)

    def _over(self, task: asyncio.Task[None]) -> None:
        calls = self._under_way.pop(task)
        if self._done is not None:
            for call in calls:
                self._done(call)

    def _cut_off(self, task: asyncio.Task[None]) -> None:
        # The task was cancelled, maybe before it began.
        self._over(task)
        if self._waiting and not asyncio.get_running_loop().is_closed():
            self._go()

    async def _make(self, calls: list[C]) -> None:
        try:
            await self._send(calls, len(calls) == 1)
        except Exception as error:
            if len(calls) == 1:
                calls[0].settle(error, None)
                return
            common = [call for call in calls if self._is_common(error, call)]
            for call in common:
                call.settle(_copy(error), None)
            turns = asyncio.Semaphore(self._groups)
            alone = (self._alone(call, turns) for call in calls if call not in common)
            await asyncio.gather(*alone)

    async def _alone(self, call: C, turns: asyncio.Semaphore) -> None:
        async with turns:
            if not call.given_up:
                await self._make([call])


def _copy(error: Exception) -> StorageError:
    # For one more caller: the same object is raised once only.
    copy = StorageError(str(error))
    copy.__cause__ = error.__cause__
    return copy
