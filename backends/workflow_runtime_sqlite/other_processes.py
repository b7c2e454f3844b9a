"""Changes by other processes: seen by asking the file, often after a change, rarely when nothing happens."""

from __future__ import annotations

import sqlite3
from time import monotonic, time
from typing import Any

from workflow_runtime.storage import rules
from workflow_runtime.storage.watch import Watch

from . import queries
from . import statements as sql

__all__ = ["LONGEST", "OtherProcesses"]

SHORTEST, LONGEST = 0.005, 0.25
"""Seconds between two looks: after a change, and when there was none for long."""

Standing = tuple[int, int, int] | None
"""``changes`` and ``seq`` of a run's row (0, 0: no row), and the last stored event's ``last_seq``."""


class OtherProcesses:
    """Lives in the writing connection's thread. It checks only while there are waiters, so an idle database costs
    nothing."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._known: dict[str, Standing] = {}
        self._data_version: int | None = None
        self._pause = SHORTEST
        self._next = 0.0

    def look(self, connection: sqlite3.Connection, run_id: str, seen: int) -> float | None:
        """The reply to a new waiter on ``run_id``, as ``rules.wake_after``; from now on a change wakes it."""
        row = _moved(connection, run_id)
        seq, touched, changes = row or (None, 0, 0)
        tail = _tail(connection, run_id)
        standing = (changes, seq or 0, tail)
        if self._known.get(run_id, standing) != standing:
            # Earlier waiters were not woken yet, and would not be: this waiter's position replaces theirs.
            self._watch.wake((run_id,))
        self._known[run_id] = standing
        if (queue := rules.queue_of(run_id)) is not None:
            return rules.RECHECK if queries.is_waiting(connection, queue, time()) else None
        return rules.wake_after(seq=seq, touched=touched, tail=tail, seen=seen)

    def tick(self, connection: sqlite3.Connection) -> float | None:
        """Check if it is time to. Seconds until the next check, or None if there are no waiters."""
        waiting = self._watch.runs()
        if not waiting:
            self._known.clear()
            self._data_version, self._pause, self._next = None, SHORTEST, 0.0
            return None
        now = monotonic()
        if now < self._next:
            return self._next - now
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._data_version:
            self._pause = min(2 * self._pause, LONGEST)
        else:
            self._data_version = version
            self._compare(connection, waiting)
            # A look at many runs must not fill the thread's time.
            self._pause = max(SHORTEST, min(10 * (monotonic() - now), LONGEST))
        self._next = monotonic() + self._pause
        return self._pause

    def _compare(self, connection: sqlite3.Connection, waiting: list[str]) -> None:
        before, self._known = self._known, {}
        changed = []
        for run_id in waiting:
            seq, _, changes = _moved(connection, run_id) or (0, 0, 0)
            self._known[run_id] = (changes, seq, _tail(connection, run_id))
            # A run that is not known yet belongs to a waiter whose first check is still in the queue.
            if run_id in before and before[run_id] != self._known[run_id]:
                changed.append(run_id)
        self._watch.wake(changed)


def _moved(connection: sqlite3.Connection, run_id: str) -> Any:
    """``seq``, ``touched_seq`` and ``changes`` of a run; of a queue how many runs wait."""
    if (queue := rules.queue_of(run_id)) is not None:
        return connection.execute(sql.QUEUE_STANDING, (queue,)).fetchone()
    return connection.execute(sql.RUN_MOVED, (run_id,)).fetchone()


def _tail(connection: sqlite3.Connection, run_id: str) -> int:
    row = connection.execute(sql.EVENTS_TAIL, (run_id,)).fetchone()
    return 0 if row is None else int(row[0])
