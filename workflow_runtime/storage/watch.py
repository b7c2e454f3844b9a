"""The waiters for changes of runs: one event per waiter, which any thread or loop may set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

import anyio
from anyio.lowlevel import checkpoint, current_token

__all__ = ["Watch"]


class _Waiter:
    __slots__ = ("_soon", "event")

    def __init__(self) -> None:
        native: Any = current_token().native_token
        self.event = anyio.Event()
        # The two calls that a loop allows from a foreign thread: asyncio's and trio's name for it.
        self._soon = native.call_soon_threadsafe if hasattr(native, "call_soon_threadsafe") else native.run_sync_soon

    def wake(self) -> None:
        # The loop is closed, and its waiters with it.
        with suppress(RuntimeError):
            self._soon(self.event.set)


class Watch:
    """The waiters of a database object. ``wake`` may be called from any thread and never blocks on a loop."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[str, list[_Waiter]] = {}

    def runs(self) -> list[str]:
        """The runs that have waiters now."""
        if not self._waiting:
            return []
        with self._lock:
            return list(self._waiting)

    def wake(self, run_ids: Iterable[str]) -> None:
        """Wake all waiters for one of these runs. Call it after the change can be read."""
        # Without the lock: a waiter registers before it reads, so one that is missed here reads the change itself.
        if not self._waiting:
            return
        with self._lock:
            found = [waiter for run_id in run_ids for waiter in self._waiting.get(run_id, ())]
        for waiter in found:
            waiter.wake()

    @contextmanager
    def _registered(self, run_id: str) -> Iterator[anyio.Event]:
        waiter = _Waiter()
        with self._lock:
            self._waiting.setdefault(run_id, []).append(waiter)
        try:
            yield waiter.event
        finally:
            with self._lock:
                rest = self._waiting[run_id]
                rest.remove(waiter)
                if not rest:
                    del self._waiting[run_id]

    async def wait(self, run_id: str, *, timeout: float, look: Callable[[], Awaitable[float | None]]) -> bool:
        """Wait for ``wake``, at most ``timeout`` seconds; ``look`` is called once the waiter is registered, and returns as
        ``rules.wake_after`` does. False on time-out."""
        with self._registered(run_id) as event:
            after = await look()
            if after == 0:
                await checkpoint()
                return True
            limit = timeout if after is None else min(after, timeout)
            with anyio.move_on_after(limit):
                await event.wait()
                return True
            return after is not None and after <= timeout
