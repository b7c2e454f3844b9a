"""The broker without a broker: processes that share a database watch its queues."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from ..storage.base import BaseDb
from ..storage.rules import queue_key
from .base import CONTRACT, Broker, Hint, Hints, Ticket

__all__ = ["LocalBroker"]


class LocalBroker(Broker):
    """What a workflow without ``broker`` uses. A queued run wakes those who watch its queue (PostgreSQL notifies them,
    SQLite is looked at, memory wakes its own process); signals are read by their owners ten times a second."""

    contract = CONTRACT
    relays = False

    def __init__(self, db: BaseDb) -> None:
        self._db = db
        self.place = f"the database {db.id}"

    async def open(self) -> None:
        await self._db.open()

    async def aclose(self) -> None:
        """The database is its owner's to close."""

    async def check(self) -> None:
        await self._db.open()

    async def offer(self, ticket: Ticket) -> None:
        """Nothing: the commit that queued the run woke those who watch."""

    async def hints(self, queues: Sequence[str], workflows: Sequence[str]) -> Hints:
        return _Watching(self._db, queues)


class _Look(Hint):
    runs = None

    async def done(self) -> None:
        """The database keeps what is left."""


class _Watching(Hints):
    def __init__(self, db: BaseDb, queues: Sequence[str]) -> None:
        self._db = db
        self._keys = [queue_key(name) for name in queues]

    async def next(self, timeout: float) -> Hint | None:
        if len(self._keys) == 1:
            return _Look() if await self._db.changed(self._keys[0], seen=0, timeout=timeout) else None
        changed = False
        async with anyio.create_task_group() as tasks:

            async def wait(key: str) -> None:
                nonlocal changed
                changed |= await self._db.changed(key, seen=0, timeout=timeout)
                tasks.cancel_scope.cancel()

            for key in self._keys:
                tasks.start_soon(wait, key)
        return _Look() if changed else None

    async def aclose(self) -> None:
        """Nothing waits between two calls."""
