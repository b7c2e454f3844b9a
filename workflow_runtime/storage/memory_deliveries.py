"""The deliveries to webhooks in a database in memory, by run. Used under the database's lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy

from .base import DeliveryRow

__all__ = ["Deliveries"]


class Deliveries:
    """As the calls of ``BaseDb`` say; ``now`` is the database's."""

    def __init__(self) -> None:
        self._by_run: dict[str, dict[tuple[str, int], DeliveryRow]] = {}

    def put(self, rows: Sequence[DeliveryRow], now: float) -> None:
        for row in rows:
            stored = self._by_run.setdefault(row.run_id, {})
            if (row.hook, row.seq) not in stored:
                stored[row.hook, row.seq] = new = copy(row)
                new.due_at = now

    def drop(self, run_id: str) -> None:
        """The run is deleted."""
        self._by_run.pop(run_id, None)

    def claim(self, hooks: Sequence[str], now: float, lease: float, limit: int) -> list[DeliveryRow]:
        due = [row for row in self._all() if row.hook in hooks and row.due_at is not None and row.due_at <= now]
        due = sorted(due, key=lambda row: (row.due_at, row.hook, row.run_id, row.seq))[:limit]
        for row in due:
            row.attempts, row.due_at = row.attempts + 1, now + lease
        return [copy(row) for row in due]

    def settle(self, row: DeliveryRow, now: float, error: str | None, delay: float | None) -> bool:
        rows = self._by_run.get(row.run_id, {})
        stored = rows.get((row.hook, row.seq))
        if stored is None or stored.attempts != row.attempts:
            return False
        if error is None:
            del rows[row.hook, row.seq]
            if not rows:
                del self._by_run[row.run_id]
        else:
            stored.error, stored.due_at = error, None if delay is None else now + delay
        return True

    def list(self, dead: bool | None, limit: int) -> list[DeliveryRow]:
        rows = [row for row in self._all() if dead in (None, row.due_at is None)]
        rows.sort(key=lambda row: (row.created_at, row.hook, row.run_id, row.seq))
        return [copy(row) for row in rows[:limit]]

    def retry(self, hook: str | None, run_id: str | None, now: float) -> int:
        dead = [
            row
            for row in self._all()
            if row.due_at is None and hook in (None, row.hook) and run_id in (None, row.run_id)
        ]
        for row in dead:
            row.attempts, row.due_at = 0, now
        return len(dead)

    def _all(self) -> Iterator[DeliveryRow]:
        return (row for rows in self._by_run.values() for row in rows.values())
