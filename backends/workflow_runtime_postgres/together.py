"""Calls of one kind that go to the server together: one round trip, one transaction and one flush for all that wait.

Theory of operation. A call that comes while nothing is under way goes at once; those that come meanwhile go together
when it is back (group commit), so the more there are the less each costs, and alone a call waits for nobody. Where
``ENOUGH`` of them wait they go beside the first group, so that the server has work while this process makes more. A group
that takes longer than ``PATIENCE`` (a row of it is locked by somebody) holds nobody else up: the next one goes beside
it, but for calls of the same ``keys`` (the same run), which keep their order.

What a call comes to is its own. Refusals are values. An error of the driver undoes the whole group, whose calls are
then made one by one, so that one bad call does not fail its neighbours. A caller who was cancelled before his call was
sent takes it back; one who was cancelled later leaves it to its group, which goes on unless it has lost all of its
callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from workflow_runtime.model.errors import StorageError

from .errors import is_lost

__all__ = ["ENOUGH", "GROUP_LIMIT", "PATIENCE", "Call", "Together"]

GROUP_LIMIT = 64
"""The most calls of one transaction: it bounds how long the first of them waits for the last."""

ENOUGH = 8
"""So many calls that wait are a group, though another one is under way."""

PATIENCE = 0.02
"""Seconds after which the next group no longer waits for the one before it."""


class Call:
    """One call. ``writer`` is whoever names it to the server, from its first sending to its end."""

    __slots__ = ("group", "keys", "order", "outcome", "values", "writer")

    def __init__(
        self, values: tuple[Any, ...], keys: frozenset[str], order: tuple[str, ...], outcome: asyncio.Future[Any]
    ) -> None:
        self.values = values
        self.keys = keys
        self.order = order
        # A result, never an exception: a caller that is cancelled leaves nothing that nobody retrieves.
        self.outcome = outcome
        self.group: asyncio.Task[None] | None = None
        self.writer: Any = None

    @property
    def given_up(self) -> bool:
        return self.outcome.cancelled()

    def settle(self, error: Exception | None, value: Any) -> None:
        if not self.outcome.done():
            self.outcome.set_result((error, value))


Send = Callable[[Sequence[Call], bool], Awaitable[Iterable[tuple[Call, Any]]]]


class Together:
    """Groups the calls of one event loop.

    Args:
        send: Makes these calls in one transaction and returns what each came to; those that were given up may be left
            out. With True there is one, which may be tried until it succeeds; with False an error that may be one
            call's only is raised at once.
        done: Told of each call that is over.
        groups: The most that are under way at once.
    """

    def __init__(self, send: Send, done: Callable[[Call], None], *, groups: int) -> None:
        self._send = send
        self._done = done
        self._groups = groups
        self._waiting: list[Call] = []
        self._under_way: dict[asyncio.Task[None], list[Call]] = {}
        self._patience: asyncio.TimerHandle | None = None

    async def call(
        self, values: tuple[Any, ...], keys: frozenset[str] = frozenset(), order: tuple[str, ...] = ()
    ) -> Any:
        """What the call came to.

        Args:
            values: The statement's arguments.
            keys: Of two calls with a common one the later does not go beside the earlier.
            order: The place in a group. Calls that lock rows in this order, in every process, never wait in a circle.
        """
        call = Call(values, keys, order, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if not self._under_way or (len(self._waiting) >= ENOUGH and len(self._under_way) < min(2, self._groups)):
            self._go()
        elif self._patience is None and len(self._under_way) < self._groups:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE, self._go)
        try:
            error, value = await call.outcome
        except asyncio.CancelledError:
            self._give_up(call)
            raise
        if error is not None:
            raise error
        return value

    def _give_up(self, call: Call) -> None:
        call.outcome.cancel()
        if call.group is None:
            self._waiting.remove(call)
        elif all(one.given_up for one in self._under_way.get(call.group, ())):
            call.group.cancel()

    def _go(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        held = {key for calls in self._under_way.values() for call in calls for key in call.keys}
        group: list[Call] = []
        left: list[Call] = []
        for call in self._waiting:
            fits = len(group) < GROUP_LIMIT and call.keys.isdisjoint(held)
            (group if fits else left).append(call)
            if not fits:
                held |= call.keys
        self._waiting = left
        if group:
            group.sort(key=lambda call: call.order)
            task = asyncio.get_running_loop().create_task(self._make(group), name="workflow_runtime_postgres: group")
            self._under_way[task] = group
            for call in group:
                call.group = task
            task.add_done_callback(self._over)
        if left and len(self._under_way) < self._groups:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE, self._go)

    def _over(self, task: asyncio.Task[None]) -> None:
        for call in self._under_way.pop(task):
            call.outcome.cancel()  # where the task was cancelled, maybe before it began
            self._done(call)
        if self._waiting and not asyncio.get_running_loop().is_closed():
            self._go()

    async def _make(self, calls: list[Call]) -> None:
        try:
            for call, value in await self._send(calls, len(calls) == 1):
                call.settle(None, value)
        except Exception as error:
            if len(calls) == 1:
                calls[0].settle(error, None)
            elif is_hopeless(error):
                for call in calls:
                    call.settle(same(error), None)
            else:
                await asyncio.gather(*(self._make([call]) for call in calls if not call.given_up))


def is_hopeless(error: Exception) -> bool:
    """Whether it is the server's, so that every call would end with it."""
    return error.__cause__ is not None and is_lost(error.__cause__) and not isinstance(error.__cause__, TimeoutError)


def same(error: Exception) -> StorageError:
    """``error`` for one more caller: the same object is raised once only."""
    found = StorageError(str(error))
    found.__cause__ = error.__cause__
    return found
