"""``SqliteDb``: the contract on one SQLite file, from any number of loops, threads and processes."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

from anyio import CapacityLimiter, to_thread

from workflow_runtime.model.checks import number, seconds, text
from workflow_runtime.model.enums import RunStatus
from workflow_runtime.model.errors import BuildError
from workflow_runtime.storage import rules
from workflow_runtime.storage.base import (
    CONTRACT,
    BaseDb,
    Batch,
    Committed,
    DbReport,
    DeliveryRow,
    EventRow,
    Fence,
    LeaseClock,
    LeaseState,
    MessageRow,
    Pruned,
    QueueRow,
    RequirementRow,
    RunFilter,
    RunRow,
    ScheduleRow,
    Sent,
    SessionRow,
    SignalRow,
    StepRow,
)
from workflow_runtime.storage.watch import Watch

from . import checks, commits, deliveries, queries
from .connection import Settings
from .location import locate
from .other_processes import OtherProcesses
from .shared import SharedConnection, on_the_databases_loop
from .transactions import Job

__all__ = ["SqliteDb"]

T = TypeVar("T")

SLICE = 100
"""The number of runs of a deleted session whose rows one transaction deletes."""

READERS = 2
"""Connections for listings and other large reads; the second is made when the first is busy."""


class SqliteDb(BaseDb):
    """A database in one SQLite file.

    When ``commit`` returns, the data is on the disk and survives a crash of the process (kill -9) and of the machine.
    ``synchronous="NORMAL"`` is faster for a single run, and keeps the first promise only: a power failure may then lose the
    last commits, though it never damages the file.

    Several processes may use one file on a local disk at the same time; on a network share SQLite cannot lock it reliably.
    Writes of all tasks share transactions. Nothing is opened before the first use. A database in memory
    (``SqliteDb(":memory:")``) is gone after ``aclose``.

    Args:
        path_or_url: A path, or a URL: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` (``?mode=ro``: only
            read it), ``sqlite://:memory:``. None is ``workflow_runtime.db`` in the working directory, resolved now.
        db_file: The same as a path.
        db_url: The same as a URL.
        synchronous: ``"FULL"`` (every commit is flushed to the disk), ``"NORMAL"``, or ``"EXTRA"``.
        busy_timeout: Seconds to wait for another process's transaction before a StorageError.
        max_pages: The maximum size of the file in 4 KiB pages. None: unlimited.
        id: The name of the database in messages and listings.
        clock: The clock of leases; None is the machine's clock, which all processes of a file share.

    Raises:
        BuildError: More than one place is given, or the URL is none of these.
    """

    contract = CONTRACT

    def __init__(
        self,
        path_or_url: str | os.PathLike[str] | None = None,
        *,
        db_file: str | os.PathLike[str] | None = None,
        db_url: str | None = None,
        synchronous: Literal["FULL", "NORMAL", "EXTRA"] = "FULL",
        busy_timeout: float = 30.0,
        max_pages: int | None = None,
        id: str = "sqlite",
        clock: LeaseClock | None = None,
    ) -> None:
        given = [place for place in (path_or_url, db_file, db_url) if place is not None]
        if len(given) > 1:
            raise BuildError("SqliteDb takes one of path_or_url, db_file and db_url, not several")
        if synchronous not in ("FULL", "NORMAL", "EXTRA"):
            raise BuildError(f"synchronous={synchronous!r}; it is 'FULL', 'NORMAL' or 'EXTRA'")
        seconds(busy_timeout, "busy_timeout", "SqliteDb: ", zero=True, none=None)
        number(max_pages, "max_pages", "SqliteDb: ", least=1, whole=True, none="no limit")
        self.id = text(id, "id", "SqliteDb: ")
        self.location = locate(given[0] if given else None)
        self.synchronous = synchronous
        self._clock: LeaseClock = time if clock is None else clock
        self._watch = Watch()
        self._others = OtherProcesses(self._watch)
        self._settings = settings = Settings(self.location, synchronous, busy_timeout, max_pages)
        self._writer = SharedConnection(settings, reader=False, wake=self._watch.wake, look=self._others.tick)
        # Another connection would see another database in memory, so there the writer reads.
        count = 0 if self.location.in_memory else READERS
        self._readers = [SharedConnection(settings, reader=True) for _ in range(count)]
        for connection in self._connections:
            connection.siblings = [one for one in self._connections if one is not connection]
            weakref.finalize(self, connection.abandon).atexit = False  # the interpreter's exit closes them all

    @classmethod
    def from_url(cls, url: str) -> SqliteDb:
        """A database for ``sqlite:///...``; nothing is opened yet."""
        return cls(db_url=url)

    def __repr__(self) -> str:
        return f"SqliteDb({self.location.path!r})"

    @property
    def transactions(self) -> int:
        """How many transactions the writing connection has committed; under load fewer than ``commit`` calls."""
        return self._writer.transactions

    @property
    def _connections(self) -> list[SharedConnection]:
        return [self._writer, *self._readers]

    async def open(self) -> None:
        """Open the file and bring its schema to this version. StorageError with the fix if it cannot be opened."""
        if not self._writer.is_open:
            await self._read(_nothing)

    async def aclose(self) -> None:
        """Finish the submitted calls of every loop, and close the file. The next call opens it again."""
        for connection in self._connections:
            if connection.is_in_use:
                thread = await on_the_databases_loop(connection.close)
                if thread is not None:
                    # A limiter of its own: the default one may be full of a user's steps.
                    await to_thread.run_sync(thread.join, limiter=CapacityLimiter(1))

    async def exists(self) -> bool:
        """Whether there is a file; ``open`` creates a missing one. A database in memory always exists."""
        return self.location.in_memory or await to_thread.run_sync(os.path.exists, self.location.path)

    async def check(self) -> DbReport:
        """Read the whole file, its indexes included, beside the runs that go on."""
        return await self._read_aside(checks.check, self.location)

    async def vacuum(self) -> int | None:
        """Rewrite the file without its free pages; others wait meanwhile, as for a long commit. A database in memory has
        none."""
        if self.location.in_memory:
            return None
        await self.open()
        return await on_the_databases_loop(partial(checks.vacuum, self._settings))

    # -- the hop -------------------------------------------------------------------------------------------------------

    async def _write(self, call: Callable[..., T], *arguments: Any, wakes: Iterable[str] = ()) -> T:
        return await self._on(self._writer, call, arguments, writes=True, wakes=wakes)

    async def _read(self, call: Callable[..., T], *arguments: Any) -> T:
        # A small read is executed after the writes that were submitted before it.
        return await self._on(self._writer, call, arguments)

    async def _read_aside(self, call: Callable[..., T], *arguments: Any) -> T:
        # A large one must not keep the writes waiting.
        if not self._readers:
            return await self._read(call, *arguments)
        await self.open()
        return await self._on(min(self._readers, key=lambda reader: reader.backlog), call, arguments)

    async def _on(
        self,
        connection: SharedConnection,
        call: Callable[..., T],
        arguments: tuple[Any, ...],
        *,
        writes: bool = False,
        wakes: Iterable[str] = (),
    ) -> T:
        job = Job(call, arguments, writes=writes, wakes=wakes)
        connection.submit(job)
        error, value = await job.outcome
        if error is not None:
            raise error
        result: T = value
        return result

    # -- writing -------------------------------------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Committed:
        woken = rules.wakes(batch)
        return await self._write(commits.commit, batch, self._clock.time(), woken, wakes=woken)

    async def answer(self, rows: Sequence[RequirementRow]) -> None:
        await self._write(commits.answer, rows, wakes={row.run_id for row in rows})

    async def send(self, row: MessageRow) -> Sent:
        return await self._write(commits.send, row)

    async def claim(
        self,
        run_id: str,
        *,
        owner: str,
        now: float,
        lease: float,
        statuses: frozenset[RunStatus],
        expired_only: bool,
        answers: Sequence[RequirementRow] = (),
    ) -> RunRow | None:
        values = (run_id, owner, self._clock.time(), now, lease, statuses, expired_only, answers)
        return await self._write(commits.claim, *values, wakes=(run_id,))

    async def claim_next(
        self, queues: Sequence[str], *, workflows: Sequence[str], owner: str, now: float, lease: float
    ) -> RunRow | None:
        if not await self._read(queries.has_queued, queues, now):
            return None
        values = (queues, workflows, owner, self._clock.time(), now, lease)
        row: RunRow | None = await self._write(commits.claim_next, *values)
        if row is not None:
            self._watch.wake((row.run_id,))
        return row

    async def put_back(self, fence: Fence, *, not_before: float | None) -> bool:
        return self._queued(await self._write(commits.put_back, fence, not_before))

    async def reschedule(self, run_id: str, *, not_before: float | None) -> bool:
        return self._queued(await self._write(commits.reschedule, run_id, not_before))

    def _queued(self, row: RunRow | None) -> bool:
        if row is None:
            return False
        self._watch.wake((row.run_id, rules.queue_key(row.queue or "")))
        return True

    async def list_queues(self, *, now: float) -> list[QueueRow]:
        return await self._read_aside(queries.list_queues, now)

    async def put_schedule(self, row: ScheduleRow) -> ScheduleRow:
        return await self._write(commits.put_schedule, row)

    async def move_schedule(self, row: ScheduleRow, *, next_at: float) -> bool:
        return await self._write(commits.move_schedule, row, next_at)

    async def delete_schedule(self, workflow_id: str, name: str) -> bool:
        return await self._write(commits.delete_schedule, workflow_id, name)

    async def list_schedules(
        self, *, workflow_id: str | None = None, due_before: float | None = None
    ) -> list[ScheduleRow]:
        return await self._read(queries.list_schedules, workflow_id, due_before)

    async def renew(self, leases: Sequence[tuple[Fence, float]]) -> list[LeaseState]:
        return await self._write(commits.renew, leases, self._clock.time()) if leases else []

    async def request_cancel(self, run_id: str, *, now: float) -> RunStatus | None:
        return await self._write(commits.request_cancel, run_id, now, wakes=(run_id,))

    async def take_signals(self, owner: str) -> list[SignalRow]:
        if not await self._read(queries.has_signals, owner):
            return []
        return await self._write(commits.take_signals, owner, self._clock.time())

    async def claim_deliveries(self, hooks: Sequence[str], *, lease: float, limit: int) -> list[DeliveryRow]:
        if not await self._read(deliveries.has_due, hooks, self._clock.time()):
            return []
        return await self._write(deliveries.claim, hooks, self._clock.time(), lease, limit)

    async def settle_delivery(self, row: DeliveryRow, *, error: str | None = None, delay: float | None = None) -> bool:
        return await self._write(deliveries.settle, row, self._clock.time(), error, delay)

    async def list_deliveries(self, *, dead: bool | None = None, limit: int = 100) -> list[DeliveryRow]:
        return await self._read_aside(deliveries.listed, dead, limit)

    async def retry_deliveries(self, *, hook: str | None = None, run_id: str | None = None) -> int:
        return await self._write(deliveries.retry, hook, run_id, self._clock.time())

    async def acquire(self, name: str, *, owner: str, lease: float) -> bool:
        return await self._write(commits.acquire, name, owner, self._clock.time(), lease)

    async def release(self, name: str, *, owner: str) -> None:
        await self._write(commits.release, name, owner)

    async def discard(self, run_id: str) -> bool:
        return await self._write(commits.discard, run_id, self._clock.time(), wakes=(run_id,))

    async def delete_session(self, session_id: str, *, now: float | None = None) -> bool:
        gone: list[str] = []
        found = await self._write(commits.delete_session, session_id, now, gone, wakes=gone)
        if gone:
            while await self._write(commits.sweep, SLICE):
                pass  # other writes come in between
        return found

    async def prune(
        self,
        *,
        kinds: frozenset[str] | None,
        before: float,
        limit: int,
        workflow_id: str | None = None,
        mark: int = 0,
    ) -> Pruned:
        # The rows to delete are searched beside the writer, which then checks again whether it may delete them.
        bounded = kinds is None or mark > 0
        marks = rules.levels(kinds, mark)
        if kinds is None and await self._read_aside(queries.has_garbage):
            await self._write(commits.sweep, SLICE)
        old = await self._read_aside(queries.old_runs, workflow_id, marks, before, limit if bounded else -1)
        if not old:
            return Pruned()
        if kinds is None:
            rows = await self._write(commits.prune_runs, old, before)
        else:
            rows = await self._write(commits.prune_events, old, kinds, before, limit, mark)
        return Pruned(rows=rows, more=rows >= limit or (bounded and len(old) >= limit))

    # -- reading -------------------------------------------------------------------------------------------------------

    async def load_run(self, run_id: str) -> RunRow | None:
        return await self._read(queries.load_run, run_id, self._clock.time())

    async def load_steps(self, run_id: str, *, path: str | None = None) -> list[StepRow]:
        return await self._read_aside(queries.load_steps, run_id, path)

    async def load_messages(self, run_id: str, *, after: int = 0) -> list[MessageRow]:
        return await self._read(queries.load_messages, run_id, after)

    async def load_events(self, run_id: str, *, after: int = 0, limit: int = 1000) -> list[EventRow]:
        return await self._read_aside(queries.load_events, run_id, after, limit)

    async def load_requirements(self, run_id: str) -> list[RequirementRow]:
        return await self._read(queries.load_requirements, run_id)

    async def list_requirements(
        self,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        workflow_id: str | None = None,
        due_before: float | None = None,
        limit: int = 100,
        after: tuple[float, str] | None = None,
    ) -> list[RequirementRow]:
        return await self._read_aside(
            queries.list_requirements, session_id, user_id, workflow_id, due_before, limit, after
        )

    async def load_session(self, session_id: str) -> SessionRow | None:
        return await self._read(queries.load_session, session_id)

    async def list_runs(
        self, where: RunFilter, *, limit: int = 50, before: tuple[float, str] | None = None
    ) -> list[RunRow]:
        return await self._read_aside(queries.list_runs, where, limit, before, self._clock.time())

    async def list_sessions(
        self,
        *,
        user_id: str | None = None,
        workflow_id: str | None = None,
        limit: int = 50,
        before: tuple[float, str] | None = None,
    ) -> list[SessionRow]:
        return await self._read_aside(queries.list_sessions, user_id, workflow_id, limit, before)

    async def changed(self, run_id: str, *, seen: int, timeout: float) -> bool:
        async def look() -> float | None:
            return await self._read(self._others.look, run_id, seen)

        return await self._watch.wait(run_id, timeout=timeout, look=look)


def _nothing(connection: object) -> None:
    """A job that only opens the file."""
