"""The connections of one event loop, and repeating calls after a lost connection or a conflict.

Theory of operation. Connections belong to the loop they were made on, so each loop that uses a database has its own pool.
When the loop ends (``asyncio.run`` and the like), it closes an asynchronous generator that waits at its ``yield``, and that
closes the pool while it is still possible; users need not close it.

A call that fails because the connection broke, the server restarts or another transaction was in the way is repeated, with
growing pauses, until ``retry_for`` seconds have passed since its first failure. That is safe for every call: reads and
single-row writes are idempotent, and all other writes carry a writer and a number (``functions``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID, uuid4

import anyio
import asyncpg

from workflow_runtime.storage.batching import Batching

from .calls import Call, is_common
from .connecting import connect
from .errors import DRIVER_ERRORS, is_conflict, is_lost, translate
from .listen import Listener
from .location import Settings

__all__ = ["CLOSE_GRACE", "LoopPool"]

T = TypeVar("T")

SHORTEST, LONGEST = 0.01, 0.5
"""Seconds between two tries: after the first failure, and at most."""

CLOSE_GRACE = 5.0
"""Seconds that closing waits for the server's goodbye."""

END_GRACE = 0.2
"""The same for a loop that ends."""

GROUP_LIMIT = 64
"""The most calls of one transaction."""


async def _as_it_is(connection: Any) -> None:
    """A connection goes back to the pool as it is: nothing here leaves settings or locks behind, and to reset them
    would cost every call a second round trip."""


class _Writer:
    """Names one caller at a time to the server; ``number`` is that of its last call."""

    __slots__ = ("id", "number")

    def __init__(self) -> None:
        self.id: UUID = uuid4()
        self.number = 0


class LoopPool:
    """Create it on the loop that uses it. ``wake`` is called with the ids of runs that other processes changed."""

    def __init__(self, settings: Settings, wake: Callable[[str | None], None]) -> None:
        self.settings = settings
        self.listener = Listener(settings, wake)
        self._starting = asyncio.Lock()
        self._pool: Any = None
        self._life: AsyncGenerator[None] | None = None
        self._writers: list[_Writer] = []
        self._batches: dict[str, Batching[Call]] = {}
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    # -- calling -------------------------------------------------------------------------------------------------------

    async def fetch(self, text: str, *values: Any) -> list[Any]:
        """All rows of an idempotent statement."""
        return await self.run(lambda connection: connection.fetch(text, *values))

    async def fetchrow(self, text: str, *values: Any) -> Any:
        """Its first row, or None."""
        return await self.run(lambda connection: connection.fetchrow(text, *values))

    async def write(self, text: str, *values: Any) -> list[Any]:
        """All rows of a function that takes a writer and a number first: it happens once, however often it is tried."""
        writer: _Writer | None = None

        async def call(connection: Any) -> list[Any]:
            nonlocal writer
            writer = writer or self._writer()
            rows: list[Any] = await connection.fetch(text, writer.id, writer.number, *values)
            return rows

        try:
            return await self.run(call)
        finally:
            # Also after a cancellation, when the server may still be busy with the call: it comes before the writer's
            # next one, or never.
            if writer is not None:
                self._writers.append(writer)

    async def write_together(
        self, text: str, values: tuple[Any, ...], keys: frozenset[str], order: tuple[str, ...]
    ) -> Any:
        """The one row of such a function; its waiting calls are grouped (``Batching``)."""
        return await self._in_groups(text, self._send_writes, Call(values, keys, order))

    async def read_together(self, text: str, key: str) -> Any:
        """The row whose first column is ``key``, or None; ``text`` takes the keys of all waiting calls."""
        return await self._in_groups(text, self._send_reads, Call((key,)))

    async def _in_groups(self, text: str, send: Callable[..., Awaitable[None]], call: Call) -> Any:
        batches = self._batches.get(text)
        if batches is None:
            batches = Batching(
                partial(send, text),
                is_common,
                groups=self.settings.max_size,
                limit=GROUP_LIMIT,
                done=self._finished,
            )
            self._batches[text] = batches
        with self._counted():
            batches.add((call,))
            try:
                return await call.result()
            except asyncio.CancelledError:
                call.outcome.cancel()
                batches.withdraw(call)
                raise

    async def _send_writes(self, text: str, calls: Sequence[Call], alone: bool) -> None:
        async def write(connection: Any) -> list[tuple[Call, Any]]:
            sent = [call for call in calls if not call.given_up]
            for call in sent:
                # Each has its own writer: the result of one says nothing about another, which may have been refused.
                call.writer = call.writer or self._writer()
            rows = await connection.fetchmany(
                text, [(call.writer.id, call.writer.number, *call.values) for call in sent]
            )
            return list(zip(sent, rows, strict=True))

        for call, row in await self.run(write, alone=alone):
            call.settle(None, row)

    async def _send_reads(self, text: str, calls: Sequence[Call], alone: bool) -> None:
        keys = [call.values[0] for call in calls]
        found = {row[0]: row for row in await self.run(lambda connection: connection.fetch(text, keys), alone=alone)}
        for call in calls:
            call.settle(None, found.get(call.values[0]))

    def _writer(self) -> _Writer:
        # Taken only together with a connection, so that the server remembers few writers, not one per waiting task.
        writer = self._writers.pop() if self._writers else _Writer()
        writer.number += 1
        return writer

    def _finished(self, call: Call) -> None:
        call.outcome.cancel()  # if the group was cancelled, maybe before it began
        if call.writer is not None:
            self._writers.append(call.writer)

    async def run(self, call: Callable[[Any], Awaitable[T]], *, alone: bool = True) -> T:
        """``call`` with a connection; repeated after a lost connection or a conflict.

        Args:
            call: It must be idempotent.
            alone: False: a conflict, or no reply in time, is raised immediately.

        Raises:
            StorageError: The server was unreachable for longer than ``retry_for``, or refused the call. Its error is the
                cause.
        """
        failed_at: float | None = None
        pause = SHORTEST
        with self._counted():
            while True:
                try:
                    return await self._once(call)
                except DRIVER_ERRORS as error:
                    if not (is_lost(error) or is_conflict(error)) or not (alone or _is_the_wire(error)):
                        raise translate(error, self.settings.server) from error
                    now = monotonic()
                    failed_at = now if failed_at is None else failed_at
                    if now - failed_at >= self.settings.retry_for:
                        raise translate(error, self.settings.server, tried_for=now - failed_at) from error
                # Jitter: those that were in each other's way, or wait for the same server, must not come back together.
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """``close`` waits for this block."""
        self._calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def _once(self, call: Callable[[Any], Awaitable[T]]) -> T:
        pool, settings = self._pool or await self._start(), self.settings
        # A limit costs a task, and a connection that is there needs none.
        limit = None if pool.get_idle_size() else settings.retry_for
        async with pool.acquire(timeout=limit) as connection:
            try:
                if settings.statement_cache_size:
                    return await call(connection)
                return await _in_transaction(connection, call)
            except DRIVER_ERRORS as error:
                if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                    await pool.expire_connections()
                elif is_lost(error):
                    # The server's last message may arrive before the end of the connection: it must not be used again.
                    with suppress(asyncpg.InterfaceError):
                        connection.terminate()
                raise

    async def _start(self) -> Any:
        settings = self.settings
        async with self._starting:
            if self._pool is None:
                pool = await asyncpg.create_pool(
                    settings.dsn,
                    min_size=settings.min_size,
                    max_size=settings.max_size,
                    max_inactive_connection_lifetime=300.0,
                    connect=connect,
                    reset=_as_it_is,
                    command_timeout=settings.command_timeout,
                    statement_cache_size=settings.statement_cache_size,
                    timeout=settings.retry_for,
                    **settings.options,
                )
                self._life = _life(pool, self.listener)
                await anext(self._life)
                self._pool = pool
            return self._pool

    # -- the end -------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Wait for the calls in progress, then close the connections."""
        await self._idle.wait()
        if self._life is not None:
            await _goodbye(self._pool, self.listener, CLOSE_GRACE)
            await self._life.aclose()


def _is_the_wire(error: BaseException) -> bool:
    return is_lost(error) and not isinstance(error, TimeoutError)


async def _in_transaction(connection: Any, call: Callable[[Any], Awaitable[T]]) -> T:
    """``call`` in a transaction: until its end a pooler keeps the connection, so prepared statements are found again."""
    with anyio.CancelScope(shield=True):
        await connection.execute("BEGIN")
    try:
        result = await call(connection)
    except BaseException:
        with anyio.CancelScope(shield=True):
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
        raise
    with anyio.CancelScope(shield=True):
        await connection.execute("COMMIT")
    return result


async def _life(pool: Any, listener: Listener) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        # Its tasks have been cancelled, maybe before they could give their connections back.
        await _goodbye(pool, listener, END_GRACE)


async def _goodbye(pool: Any, listener: Listener, grace: float) -> None:
    await listener.close()
    with suppress(*DRIVER_ERRORS):
        try:
            await asyncio.wait_for(pool.close(), grace)
        except TimeoutError:
            pool.terminate()
