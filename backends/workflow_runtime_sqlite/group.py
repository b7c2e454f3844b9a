"""Jobs, and running a group of them in one transaction: what makes fsync cheap and a failure local."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from workflow_runtime.model.errors import StorageError, WorkflowRuntimeError

from .connection import Settings
from .errors import DRIVER_ERRORS, is_busy, is_fatal, translate

__all__ = ["Job", "Outcome", "Transactions", "deliver", "settle"]

Outcome = tuple[BaseException | None, Any]
"""What a job came to: the error to raise, or None and the value."""


class Job:
    """One call for a connection. ``wakes`` are the runs whose watchers are told once it is committed; the call may fill
    the list that was given."""

    __slots__ = ("arguments", "call", "future", "loop", "wakes", "writes")

    def __init__(
        self,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        *,
        loop: asyncio.AbstractEventLoop,
        writes: bool = False,
        wakes: Iterable[str] = (),
    ) -> None:
        self.call = call
        self.arguments = arguments
        self.loop = loop
        self.writes = writes
        self.wakes = wakes
        self.future: asyncio.Future[Outcome] = loop.create_future()


class Transactions:
    """Runs jobs on a connection. ``count`` transactions were committed, and held ``jobs`` jobs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.count = 0
        self.jobs = 0

    def run(self, connection: sqlite3.Connection, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcome of each job, in order; what succeeded is committed. Leaves no transaction open."""
        try:
            return self._together(connection, jobs)
        except Exception as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if len(jobs) == 1 or is_fatal(error):
                return [(self.failure(error), None) for _ in jobs]
            if is_busy(error):
                # One wait for the lock is enough; who only reads needs none.
                return [(self.failure(error), None) if job.writes else self.run(connection, [job])[0] for job in jobs]
        return [self.run(connection, [job])[0] for job in jobs]

    def _together(self, connection: sqlite3.Connection, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        connection.execute("BEGIN IMMEDIATE" if any(job.writes for job in jobs) else "BEGIN")
        for job in jobs:
            try:
                outcomes.append((None, job.call(connection, *job.arguments)))
            except WorkflowRuntimeError as refusal:
                outcomes.append((refusal, None))
        connection.execute("COMMIT")
        self.count += 1
        self.jobs += len(jobs)
        return outcomes

    def failure(self, error: Exception) -> Exception:
        """What to raise in one caller for ``error``, which may have met several: never the same object twice."""
        if isinstance(error, WorkflowRuntimeError):
            return StorageError(str(error))
        if isinstance(error, DRIVER_ERRORS):
            return translate(error, self._settings.location, self._settings.busy_timeout)
        return error


def deliver(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
    """Hand the outcomes to the callers, with one wake-up per event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Outcome], Outcome]]] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        by_loop.setdefault(job.loop, []).append((job.future, outcome))
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(settle, settled)
        except RuntimeError:
            # The loop was closed: nobody waits any more, and what was committed stands.
            continue


def settle(settled: Iterable[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    """On the loop: a caller that was cancelled meanwhile has a future that is done."""
    for future, outcome in settled:
        if not future.done():
            future.set_result(outcome)
