"""The result of a call, on its way from another thread to the waiting task, on asyncio and trio."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from typing import Any

import anyio
from anyio.lowlevel import current_token

__all__ = ["Outcome", "Reply", "deliver"]

Outcome = tuple[BaseException | None, Any]
"""The error to raise, or None and the value."""


class Reply:
    """Made by the task that will await ``outcome``. ``settle`` may come from any thread, also when the loop has ended."""

    __slots__ = ("loop", "outcome")

    def __init__(self) -> None:
        # A result, never an exception: a cancelled caller leaves no exception that is never retrieved.
        self.outcome: asyncio.Future[Outcome] | _TrioFuture
        self.loop: Any
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self.loop, self.outcome = current_token().native_token, _TrioFuture()
        else:
            self.outcome = self.loop.create_future()

    def settle(self, error: BaseException | None, value: Any) -> None:
        """Give the waiting task the error to raise, or the value."""
        deliver((self,), ((error, value),))

    async def result(self) -> Any:
        """The value, or the error raised."""
        error, value = await self.outcome
        if error is not None:
            raise error
        return value


class _TrioFuture:
    """As much of a future as a reply needs."""

    __slots__ = ("_outcome", "_set")

    def __init__(self) -> None:
        self._set = anyio.Event()
        self._outcome: Outcome | None = None

    def done(self) -> bool:
        return self._outcome is not None

    def set_result(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._set.set()

    def __await__(self) -> Generator[Any, None, Outcome]:
        yield from self._set.wait().__await__()
        assert self._outcome is not None
        return self._outcome


def deliver(replies: Iterable[Reply], outcomes: Iterable[Outcome]) -> None:
    """Settle all of these, with one wake-up per event loop."""
    by_loop: dict[Any, list[tuple[Reply, Outcome]]] = {}
    for reply, outcome in zip(replies, outcomes, strict=True):
        by_loop.setdefault(reply.loop, []).append((reply, outcome))
    for loop, settled in by_loop.items():
        soon = loop.call_soon_threadsafe if hasattr(loop, "call_soon_threadsafe") else loop.run_sync_soon
        try:
            soon(_settle, settled)
        except RuntimeError:
            # The loop has ended: nothing waits any more, and the commit is kept.
            continue


def _settle(settled: Iterable[tuple[Reply, Outcome]]) -> None:
    for reply, outcome in settled:
        if not reply.outcome.done():  # the caller was cancelled
            reply.outcome.set_result(outcome)
