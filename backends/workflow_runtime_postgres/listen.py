"""Notifications of commits by other processes: one connection per event loop, which listens while there are waiters.

Theory of operation. NOTIFY is not free: from it to the end of the commit a transaction keeps every other one that notifies
in the whole server waiting, so commits would be flushed to the disk one after another. A commit therefore only notifies if
there may be listeners, which it finds out without a request to them:

* A waiter for a run holds a shared advisory lock on the run's bucket (there are ``BUCKETS``).
* A commit tries to take the bucket's lock exclusively, until its end. If it cannot, there is a waiter (or another commit of
  the bucket is in progress, and one superfluous message is sent), and it notifies.

No change is missed: a waiter first takes the lock, which waits for the commits of the bucket that did not notify, and then
reads the stored rows. A waiter that must not wait that long, or cannot listen at all, polls.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from time import monotonic
from typing import Any

from .connecting import connect
from .errors import DRIVER_ERRORS
from .location import Settings
from .schema import qualify

__all__ = ["BUCKETS", "Listener"]

BUCKETS = 256
"""Locks that one loop holds at most; the server's table of locks has some thousand entries."""

AGAIN = 1.0
"""Seconds until the next try after the connection could not be made; waiters poll meanwhile."""

IDLE = 5.0
"""Seconds for which a bucket is listened to after its last waiter."""

_LOCK = "SELECT pg_advisory_lock_shared(@.lock_class_3(), $1)"
_UNLOCK = "SELECT pg_advisory_unlock_shared(@.lock_class_3(), bucket) FROM unnest($1::int[]) AS bucket"
_PATIENCE = "SELECT set_config('lock_timeout', '100ms', false)"


def bucket_of(run_id: str) -> int:
    """The same as in the function ``tell`` on the server."""
    return sha256(run_id.encode()).digest()[0]


class Listener:
    """``wake`` gets the id of each run that was changed, and None when some may have been missed."""

    def __init__(self, settings: Settings, wake: Callable[[str | None], None]) -> None:
        self._settings = settings
        self._wake = wake
        self._connection: Any = None
        self._using = asyncio.Lock()
        self._next = 0.0
        self._waiting: Counter[int] = Counter()
        self._held: dict[int, float] = {}
        self._resting: asyncio.TimerHandle | None = None

    @contextmanager
    def waiting(self, run_id: str) -> Iterator[None]:
        """Register a waiter for the run; the listening that ``ensure`` began for it continues until after it has left."""
        bucket = bucket_of(run_id)
        self._waiting[bucket] += 1
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        try:
            yield
        finally:
            self._waiting[bucket] -= 1
            if not self._waiting[bucket]:
                del self._waiting[bucket]
                if bucket in self._held:
                    self._held[bucket] = monotonic()
            if not self._waiting and self._connection is not None:
                self._resting = asyncio.get_running_loop().call_later(IDLE, self._rest)

    async def ensure(self, run_id: str) -> bool:
        """From now on every commit of the run is notified. False: not now, or not at all; poll."""
        bucket = bucket_of(run_id)
        if self._connection is not None and bucket in self._held:
            return True
        if not self._settings.listen or monotonic() < self._next:
            return False
        async with self._using:
            try:
                if self._connection is None:
                    self._connection = await self._connect()
                    self._held.clear()
                if bucket not in self._held:
                    await self._connection.execute(self._text(_LOCK.replace("$1", str(bucket))))
                    self._held[bucket] = monotonic()
                    await self._release_idle()
            except DRIVER_ERRORS:
                # A commit took too long to wait for it; or the server has trouble, which the calls of those who wait
                # meet as well, and report.
                if self._connection is None:
                    self._next = monotonic() + AGAIN
        return self._connection is not None and bucket in self._held

    async def _connect(self) -> Any:
        settings = self._settings
        limits = {"timeout": settings.retry_for, "command_timeout": settings.command_timeout}
        connection: Any = await connect(settings.dsn, **{**limits, **settings.options})
        try:
            await connection.execute(_PATIENCE)
            await connection.add_listener(settings.schema, self._heard)
            connection.add_termination_listener(self._lost)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _release_idle(self) -> None:
        until = monotonic() - IDLE
        idle = [bucket for bucket, used in self._held.items() if bucket not in self._waiting and used < until]
        if idle:
            for bucket in idle:
                del self._held[bucket]
            await self._connection.fetch(self._text(_UNLOCK), idle)

    def _text(self, text: str) -> str:
        return qualify(text, self._settings.schema)

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._wake(str(payload))

    def _lost(self, connection: object) -> None:
        self._connection = None
        self._held.clear()
        self._wake(None)

    def _rest(self) -> None:
        """There have been no waiters for a while: close the connection, which releases the locks."""
        self._resting = None
        connection = self._forget()
        if connection is not None:
            connection.terminate()

    def _forget(self) -> Any:
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            connection.remove_termination_listener(self._lost)
        return connection

    async def close(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
        connection = self._forget()
        if connection is not None:
            with suppress(*DRIVER_ERRORS):
                await connection.close(timeout=5.0)
