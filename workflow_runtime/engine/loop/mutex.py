"""A lock that costs nothing while nobody else wants it: a run takes one for each of its commits."""

from __future__ import annotations

from collections import deque
from types import TracebackType

import anyio

__all__ = ["Mutex"]


class Mutex:
    """``async with mutex``: one task at a time, in the order they came. Not re-entrant; of one event loop.

    Unlike ``anyio.Lock`` it does not look for a cancellation before it is taken: what is done inside will wait, and be
    cancelled there.
    """

    __slots__ = ("_held", "_waiting")

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[anyio.Event] | None = None

    def locked(self) -> bool:
        return self._held

    async def __aenter__(self) -> None:
        if self._held:
            await self._turn()
        self._held = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hand_on()

    async def _turn(self) -> None:
        if self._waiting is None:
            self._waiting = deque()
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # it was handed over just before: to the next one then
                self._hand_on()
            else:
                self._waiting.remove(turn)
            raise

    def _hand_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()  # stays held, so that nobody comes between
        else:
            self._held = False
