"""Jobs, and running a group of them in one transaction, which makes fsync cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from workflow_runtime.model.errors import WorkflowRuntimeError

from .calls import CallingConnection
from .connection import Settings
from .errors import DRIVER_ERRORS, FileMoved, translate
from .location import file_id
from .other_processes import LONGEST
from .replies import Outcome, Reply, deliver

__all__ = ["Job", "Transactions"]

_NO_KEYS: frozenset[str] = frozenset()


class Job(Reply):
    """One call for a connection. ``wakes`` are the runs whose watchers are woken once it is committed; the call may fill
    the given list. A submitted job is done even if its caller was cancelled."""

    __slots__ = ("arguments", "call", "tried", "wakes", "writes")

    keys = _NO_KEYS
    order: tuple[str, ...] = ()
    given_up = False

    def __init__(
        self, call: Callable[..., Any], arguments: tuple[Any, ...], *, writes: bool = False, wakes: Iterable[str] = ()
    ) -> None:
        super().__init__()
        self.call = call
        self.arguments = arguments
        self.writes = writes
        self.wakes = wakes
        self.tried = False  # in a group that failed


class Transactions:
    """Runs groups of jobs in a connection's thread. ``count`` transactions were committed.

    Args:
        settings: Of the connection.
        wake: Receives the runs that a commit changed.
        look: Looks for other processes' changes, and returns the seconds until the next look (None: there are no waiters).
    """

    def __init__(
        self,
        settings: Settings,
        wake: Callable[[Iterable[str]], None] | None,
        look: Callable[[CallingConnection], float | None] | None,
    ) -> None:
        self._settings = settings
        self._wake = wake
        self._look = look
        self.count = 0

    def run(
        self, connection: CallingConnection, jobs: list[Job], join: Callable[[list[Job], bool], None]
    ) -> float | None:
        """Commit these jobs, and those that ``join`` appends, and settle them. The seconds until the next ``look``, or None.

        Args:
            connection: Of this thread.
            jobs: The group.
            join: Called before COMMIT; False: the transaction only reads.

        Raises:
            StorageError: An error of the driver; nothing of the group has been stored, and no job is settled.
        """
        try:
            outcomes = self._together(connection, jobs, join)
        except Exception as error:
            for job in jobs:
                job.tried = True
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, DRIVER_ERRORS):
                raise translate(error, self._settings.location, self._settings.busy_timeout) from error
            raise
        if self._wake is not None:
            stored = zip(jobs, outcomes, strict=True)
            self._wake([run_id for job, (error, _) in stored if error is None for run_id in job.wakes])
        # From here and not from the loop that sent the group: that would be one hop more.
        deliver(jobs, outcomes)
        return self.look(connection)

    def _together(
        self, connection: CallingConnection, jobs: list[Job], join: Callable[[list[Job], bool], None]
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        writes = any(job.writes for job in jobs)
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        for job in jobs:  # which grows
            try:
                outcomes.append((None, job.call(connection, *job.arguments)))
            except WorkflowRuntimeError as refusal:
                outcomes.append((refusal, None))
            if len(outcomes) == len(jobs):
                join(jobs, writes)
        connection.execute("COMMIT")
        self.count += 1
        # Last: data that was committed to a removed file has not been stored.
        if connection.file is not None and file_id(self._settings.location.path) != connection.file:
            raise FileMoved
        return outcomes

    def look(self, connection: CallingConnection) -> float | None:
        """Look for other processes' changes if it is time to."""
        if self._look is None:
            return None
        try:
            return self._look(connection)
        except DRIVER_ERRORS:
            # Watchers have their own time-out, and the error is reported to the next call that needs the file.
            return LONGEST
