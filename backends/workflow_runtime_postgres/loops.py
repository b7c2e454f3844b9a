"""A pool per event loop: finding this loop's pool, and dropping the pools of loops that have ended."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from workflow_runtime.model.errors import StorageError

from .location import Settings
from .pool import CLOSE_GRACE, LoopPool

__all__ = ["Loops"]

_everywhere: weakref.WeakSet[Loops] = weakref.WeakSet()
_inherited: list[dict[asyncio.AbstractEventLoop, LoopPool]] = []


class Loops:
    """The pools of a database object. Every method may be called from any loop and thread."""

    def __init__(self, settings: Settings, wake: Callable[[str | None], None]) -> None:
        self._settings = settings
        self._wake = wake
        self._lock = Lock()
        self._pools: dict[asyncio.AbstractEventLoop, LoopPool] = {}
        _everywhere.add(self)

    def here(self) -> LoopPool:
        """The running loop's pool. StorageError if no asyncio loop is running."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise StorageError("PostgresDb needs an asyncio event loop; on trio use SqliteDb or InMemoryDb") from None
        pool = self._pools.get(loop)
        if pool is not None:
            return pool
        with self._lock:
            # A loop that ended closed its pool itself, unless prevented: then the sockets are closed with the objects.
            for ended in [known for known in self._pools if known.is_closed()]:
                del self._pools[ended]
            return self._pools.setdefault(loop, LoopPool(self._settings, self._wake))

    async def close(self) -> None:
        """Close all pools, each on its own loop. A blocked loop is left alone."""
        with self._lock:
            pools, self._pools = self._pools, {}
        here = asyncio.get_running_loop()
        for loop, pool in pools.items():
            if loop is here:
                await pool.close()
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(pool.close(), loop)
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.wrap_future(closing), 2 * CLOSE_GRACE + self._settings.retry_for)

    def forget(self) -> None:
        """In a forked child: the sockets belong to the parent, so they are closed without a message to the server."""
        self._lock = Lock()
        _inherited.append(self._pools)
        self._pools = {}


def _forked() -> None:
    for loops in list(_everywhere):
        loops.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
