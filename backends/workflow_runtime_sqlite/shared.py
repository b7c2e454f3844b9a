"""A connection that every task of every event loop may use: one hop to its thread for all waiting calls.

Theory of operation. A caller puts a job into ``_arrived`` and wakes the loop of the databases in its daemon thread, which
passes all arrived jobs to ``Batching``. A group of jobs is one call of aiosqlite (``calls``): the connection's thread runs
them in order in ONE transaction, with those that arrive before its COMMIT, and wakes their callers itself. So under load
the price of a flush is shared. No caller gets a result before COMMIT: a result means that the data is on the disk. After
the results the thread waits for a moment: a caller that commits one thing after the other saves the loop its wake-ups.
During a call only its thread takes jobs from ``_arrived``, and at its end the loop does.

Why a separate loop: aiosqlite's thread notifies the calling loop when a call is done. If that loop is closed by then, the
thread dies, and every later call waits for ever. And a thread that is started in a daemon thread is a daemon: it does not
keep a script from ending. Why not the loop of the synchronous API: it runs steps, and one of them may block it.

A refused job (an error of ``workflow_runtime``) has written nothing, see ``commits``; the others of its group are
committed. After any other error each is tried alone (``Batching``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

import aiosqlite

from workflow_runtime.model.errors import StorageError, WorkflowRuntimeError
from workflow_runtime.storage.batching import Batching
from workflow_runtime.storage.loop_thread import LoopThread

from .calls import CallingConnection, call
from .connection import Settings, close, connect, generation
from .errors import is_busy, is_fatal, translate
from .replies import Reply, deliver
from .transactions import Job, Transactions

__all__ = ["GROUP_LIMIT", "SharedConnection", "on_the_databases_loop"]

T = TypeVar("T")

GROUP_LIMIT = 256
"""The most jobs of one transaction."""

LINGER = 0.0005
"""Seconds for which a connection's thread, after the results, waits for the next job before it notifies its loop."""

_in_use: set[SharedConnection] = set()
_lock = Lock()


async def _close_all() -> None:
    for connection in list(_in_use):
        await connection.close()


_databases = LoopThread("workflow_runtime databases", at_exit=_close_all)


async def on_the_databases_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of ``work()``, which runs to its end there also when the caller is cancelled."""
    reply = Reply()

    async def replied() -> None:
        try:
            reply.settle(None, await work())
        except Exception as error:
            reply.settle(error, None)

    _start(replied)
    result: T = await reply.result()
    return result


_tasks: set[asyncio.Task[None]] = set()


def _start(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    def start() -> None:
        task = asyncio.get_running_loop().create_task(work())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    _databases.loop().call_soon_threadsafe(start, context=Context())


class SharedConnection:
    """Connects with the first job and again after ``close`` or an error. ``submit``, ``abandon`` and the properties are
    for any thread, all else for the loop of the databases.

    Args:
        settings: How to connect.
        reader: The connection refuses to write.
        wake: See ``Transactions``.
        look: See ``Transactions``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reader: bool,
        wake: Callable[[Iterable[str]], None] | None = None,
        look: Callable[[CallingConnection], float | None] | None = None,
    ) -> None:
        self.siblings: Sequence[SharedConnection] = ()
        """The other connections to this file, which an error of the file meets too."""
        self._settings = settings
        self._reader = reader
        self._transactions = Transactions(settings, wake, look)
        self._arrived: SimpleQueue[Job] = SimpleQueue()
        self._held: Job | None = None  # taken from there, for the next group
        self._called = False
        self._batches: Batching[Job] = Batching(
            self._send, _is_common, groups=1, limit=GROUP_LIMIT, more=self._take_arrived
        )
        self._connection: aiosqlite.Connection | None = None
        self._closing = asyncio.Lock()
        self._existed = False
        self._timer: asyncio.TimerHandle | None = None
        self._generation: int | None = None  # of the process that uses it
        self._context = Context()  # an empty one: the callers' variables are not ours

    @property
    def is_in_use(self) -> bool:
        """By this process, since the last ``close``."""
        return self._generation == generation()

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self.is_in_use

    @property
    def backlog(self) -> int:
        """About how many jobs wait."""
        return self._arrived.qsize() + self._batches.waiting

    @property
    def transactions(self) -> int:
        """How many were committed."""
        return self._transactions.count

    def submit(self, job: Job) -> None:
        """Run ``job`` and settle it. StorageError in a forked child whose parent has used this connection."""
        if self._generation != generation():
            self._begin()
        self._arrived.put(job)
        if not self._called:
            self._called = True
            _databases.loop().call_soon_threadsafe(self._collect, context=self._context)

    def _begin(self) -> None:
        path = self._settings.location.path
        with _lock:
            if self._generation not in (None, generation()):
                raise StorageError(
                    f"SQLite database {path} was used before this process was forked; make the database object after the"
                    " fork, aclose() it before, or start processes with 'spawn'"
                )
            try:
                _databases.loop()
            except RuntimeError as error:
                raise StorageError(f"SQLite database {path}: {error}") from error
            self._generation = generation()
            _in_use.add(self)

    def abandon(self) -> None:
        """Close it after the submitted jobs, without waiting."""
        if self.is_in_use:
            _start(self._abandoned)

    async def _abandoned(self) -> None:
        await self.close()

    async def close(self) -> Thread | None:
        """Finish the submitted jobs and close the connection. Returns its thread, which is about to end, or None."""
        async with self._closing:
            self._collect()
            await self._batches.idle()
            self._existed = False
            thread = await self._drop()
            if self._connection is None and self._arrived.empty() and self._batches.is_idle:
                with _lock:
                    _in_use.discard(self)
                    self._generation = None
            return thread

    # -- on the loop of the databases ----------------------------------------------------------------------------------

    def _collect(self) -> None:
        if self._batches.is_idle:  # otherwise the group in progress, or its end, takes the arrived jobs
            self._batches.add(self._take_arrived())

    def _take_arrived(self) -> list[Job]:
        jobs = self._pop_all()
        if not jobs:
            self._called = False  # then check again: jobs that arrive from now on call this again
            jobs = self._pop_all()
        self._called = self._called or bool(jobs)
        return jobs

    def _pop_all(self) -> list[Job]:
        jobs: list[Job] = []
        while (job := self._pop()) is not None:
            jobs.append(job)
        return jobs

    def _pop(self, seconds: float = 0.0) -> Job | None:
        job, self._held = self._held, None
        if job is not None:
            return job
        try:
            return self._arrived.get(timeout=seconds) if seconds else self._arrived.get_nowait()
        except Empty:
            return None

    async def _send(self, jobs: list[Job], alone: bool) -> None:
        try:
            connection = self._connection or await self._connect()
        except Exception as error:
            deliver(jobs, [(self._failure(error), None) for _ in jobs])
            return
        try:
            pause = await call(connection, self._serve, jobs)
        except Exception as error:
            if is_fatal(error.__cause__ or error):
                for one in (self, *self.siblings):
                    await one._drop()
            raise
        jobs.clear()  # aiosqlite keeps its last call until the next one
        self._look_after(pause)

    # -- in the connection's thread, which alone takes jobs while a group is in progress ---------------------------

    def _serve(self, connection: CallingConnection, jobs: list[Job]) -> float | None:
        while True:
            pause = self._transactions.run(connection, jobs, self._join)
            if self._is_behind(jobs) or self._closing.locked():
                return pause
            # A caller that commits one thing after the other has mostly sent the next job by now, which saves two hops.
            job = self._pop(LINGER)
            if job is None:
                return pause
            jobs[:] = (job,)

    def _join(self, jobs: list[Job], writes: bool) -> None:
        # Before COMMIT: jobs that have arrived meanwhile become part of the group.
        if self._is_behind(jobs):
            return
        while len(jobs) < GROUP_LIMIT and (job := self._pop()) is not None:
            if job.writes and not writes:  # the transaction began as a read
                self._held = job
                return
            jobs.append(job)

    def _is_behind(self, jobs: list[Job]) -> bool:
        # Other jobs come before the arrived ones: those of a group that failed, or that was too large.
        return jobs[0].tried or self._batches.waiting > 0

    async def _connect(self) -> aiosqlite.Connection:
        # A file that was removed is not created again: the loss would go unnoticed until its data is needed.
        create = not self._reader and not self._existed
        self._connection = await connect(self._settings, reader=self._reader, create=create)
        self._existed = True
        return self._connection

    def _failure(self, error: Exception) -> Exception:
        # A new one for each caller: the same object is raised once only.
        if isinstance(error, (WorkflowRuntimeError, RuntimeError)):  # RuntimeError: no thread can be started
            path = self._settings.location.path
            return StorageError(str(error) if isinstance(error, StorageError) else f"SQLite database {path}: {error}")
        existed = self._existed or self._reader  # a reader connects after the writer
        return translate(error, self._settings.location, self._settings.busy_timeout, existed=existed)

    async def _drop(self) -> Thread | None:
        connection, self._connection = self._connection, None
        self._look_after(None)
        return None if connection is None else await close(connection, self._settings.location)

    def _look_after(self, pause: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if pause is not None:
            self._timer = asyncio.get_running_loop().call_later(pause, _start, self._look)

    async def _look(self) -> None:
        connection = self._connection
        if connection is not None:
            pause = await call(connection, self._transactions.look)
            if connection is self._connection:
                self._look_after(pause)


def _is_common(error: Exception, job: Job) -> bool:
    cause = error.__cause__ or error
    # One wait for a lock is enough; a job that only reads needs none.
    return is_fatal(cause) or (is_busy(cause) and job.writes)


_inherited: list[SharedConnection] = []


def _forked() -> None:
    # The child must not close the inherited connection (``connection``), so it keeps it.
    global _in_use, _lock
    _inherited.extend(_in_use)
    _in_use, _lock = set(), Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
