"""How many streams and sockets are open: per user and per run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from .auth import User
from .errors import Refused
from .limits import Limits

__all__ = ["Seats"]

_K = TypeVar("_K")


class Seats:
    """Counts what is open. On one event loop; taking a seat awaits nothing, so two cannot take the last one."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.users: Counter[str | None] = Counter()
        self.runs: Counter[str] = Counter()

    def refuse_full(self, user: User) -> None:
        """Refused (429) when this user has no seat left; to be asked before something is started for a stream."""
        if self.users[user.user_id] >= self._limits.connections_per_user:
            raise Refused(429, "too_many_connections", "too many open streams; close one first")

    @contextmanager
    def taken(self, user: User, run_id: str | None = None) -> Iterator[None]:
        """A seat, given back at the end. Refused (429) when there is none."""
        self.refuse_full(user)
        _add(self.users, user.user_id, 1)
        try:
            if run_id is None:
                yield
            else:
                with self.following(run_id):
                    yield
        finally:
            _add(self.users, user.user_id, -1)

    @contextmanager
    def following(self, run_id: str) -> Iterator[None]:
        """A reader's place at a run. Refused (429) when there is none."""
        if self.runs[run_id] >= self._limits.readers_per_run:
            raise Refused(429, "too_many_readers", "too many readers follow this run")
        _add(self.runs, run_id, 1)
        try:
            yield
        finally:
            _add(self.runs, run_id, -1)


def _add(counter: Counter[_K], key: _K, number: int) -> None:
    counter[key] += number
    if not counter[key]:
        del counter[key]  # a user who left leaves nothing behind
