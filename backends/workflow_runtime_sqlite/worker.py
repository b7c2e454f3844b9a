"""A thread with a connection, and calls that come to it from any task of any event loop: one hop there, one back.

Theory of operation. Callers put jobs into a queue. The thread takes all that are ready and runs them in order in ONE
transaction: under load a group grows to what arrived during the last fsync, so the price of durability is shared (group
commit), and alone a job waits for nobody. Nobody is answered before COMMIT, so an answer means that it is on the disk.

A job that refuses (an error of ``workflow_runtime``) has written nothing, see ``commits``; the others go on. Any other
error undoes the group, and its jobs are run again, each in a transaction of its own, so that one bad job, or one that
no longer fits on the disk, does not fail its neighbours. To run them again is safe because nothing of them was kept.

Answers go back as results, never as exceptions of a future: a caller that was cancelled meanwhile leaves no exception
that nobody retrieves. The thread is a daemon and holds no reference to the database object; ``stop`` lets it finish
what was submitted, and the interpreter's exit does so for all that still run.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from time import monotonic

from workflow_runtime.model.errors import StorageError

from .connection import Settings, close, connect, generation
from .errors import DRIVER_ERRORS, is_fatal
from .group import Job, Outcome, Transactions, deliver

__all__ = ["GROUP_LIMIT", "Worker"]

GROUP_LIMIT = 256
"""The most jobs of one transaction: it bounds how long the first of them waits for the last."""

EXIT_GRACE = 10.0
"""Seconds that the interpreter's exit waits, at most, for what was submitted."""

Queue = SimpleQueue[Job | None]
Tick = Callable[[sqlite3.Connection], "float | None"]

_running: dict[Thread, Worker] = {}


class Worker:
    """Runs jobs on a thread of its own, which starts with the first job and ends with ``stop``; it can start again.

    Args:
        settings: How to connect.
        reader: The connection refuses to write.
        wake: Told, on the thread, of the runs that a commit changed.
        tick: Called with the connection after each group, and again after the seconds it returns (None: not by itself).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reader: bool,
        wake: Callable[[Iterable[str]], None] | None = None,
        tick: Tick | None = None,
    ) -> None:
        self.settings = settings
        self.reader = reader
        self.wake = wake
        self.tick = tick
        self.transactions = Transactions(settings)
        self._lock = Lock()
        self._queue: Queue | None = None
        self._thread: Thread | None = None
        self._generation = generation()

    @property
    def backlog(self) -> int:
        """About how many jobs wait."""
        queue = self._queue
        return 0 if queue is None else queue.qsize()

    def submit(self, job: Job) -> None:
        """Queue ``job``; its future gets the outcome. StorageError in a forked child, which has no such thread."""
        if self._generation != generation():
            raise StorageError(
                f"SQLite database {self.settings.location.path} was opened before this process was forked; "
                "open it after the fork only, or start processes with 'spawn'"
            )
        with self._lock:
            if self._queue is None:
                queue: Queue = SimpleQueue()
                name = f"workflow_runtime_sqlite {'reader' if self.reader else 'writer'}"
                thread = Thread(target=_Life(self, queue).run, name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise StorageError(f"SQLite database {self.settings.location.path}: {error}") from error
                _running[thread] = self
                self._thread, self._queue = thread, queue
            self._queue.put(job)

    def stop(self) -> Thread | None:
        """Let the thread end after what was submitted, without waiting for it; the thread, or None if none runs."""
        if self._generation != generation():
            return None
        with self._lock:
            queue, thread = self._queue, self._thread
            self._queue = self._thread = None
        if queue is not None:
            queue.put(None)
        return thread


class _Life:
    """One life of the thread, from its first job to ``stop``."""

    def __init__(self, worker: Worker, queue: Queue) -> None:
        self._worker = worker
        self._queue = queue
        self._connection: sqlite3.Connection | None = None

    def run(self) -> None:
        pause: float | None = None
        stopping = False
        try:
            while not stopping:
                jobs, stopping = self._take(pause)
                if jobs:
                    self._serve(jobs)
                    jobs.clear()
                pause = self._tick()
        finally:
            self._close()
            _running.pop(current_thread(), None)

    def _take(self, pause: float | None) -> tuple[list[Job], bool]:
        # All that is ready, and whether the thread is to end behind it.
        jobs: list[Job] = []
        try:
            job = self._queue.get(timeout=pause)
            while job is not None:
                jobs.append(job)
                if len(jobs) == GROUP_LIMIT:
                    return jobs, False
                job = self._queue.get_nowait()
        except Empty:
            return jobs, False
        return jobs, True

    def _serve(self, jobs: list[Job]) -> None:
        transactions = self._worker.transactions
        outcomes: list[Outcome]
        try:
            if self._connection is None:
                self._connection = connect(self._worker.settings, reader=self._worker.reader)
            outcomes = transactions.run(self._connection, jobs)
        except Exception as error:
            outcomes = [(transactions.failure(error), None) for _ in jobs]
            self._close()
        if any(error is not None and is_fatal(error.__cause__ or error) for error, _ in outcomes):
            self._close()
        if self._worker.wake is not None:
            self._worker.wake(
                [
                    run_id
                    for job, (error, _) in zip(jobs, outcomes, strict=True)
                    if error is None
                    for run_id in job.wakes
                ]
            )
        deliver(jobs, outcomes)

    def _tick(self) -> float | None:
        if self._connection is None or self._worker.tick is None:
            return None
        try:
            return self._worker.tick(self._connection)
        except DRIVER_ERRORS:
            # Watchers have a time-out of their own; whatever is wrong is reported to the next call that needs the file.
            self._close()
            return None

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            close(connection, self._worker.settings.location)


@atexit.register
def _stop_all() -> None:
    # Here, because a daemon thread that runs into the interpreter's end is simply frozen where it is.
    give_up = monotonic() + EXIT_GRACE
    running = dict(_running)
    for worker in running.values():
        worker.stop()  # whatever is submitted after this gets a new thread
    for thread in running:
        thread.join(max(0.0, give_up - monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)
