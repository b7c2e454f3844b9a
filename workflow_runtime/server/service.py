"""Service: every verb that a client has, free of any framework, scoped by who asks. All protocols call only this.

Every run is started as a background run and the request is one of its readers, so any other client can follow it by its
id, and with a database a restart of the server loses none. A client that leaves a run which it started and did not put
into the background cancels it; a server that stops does not.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .auth import User
from .verbs.forks import ForkVerbs
from .verbs.sending import SendVerbs
from .verbs.sessions import SessionVerbs

__all__ = ["Service"]


class Service(ForkVerbs, SendVerbs, SessionVerbs):
    """The verbs of a server over some workflows. ``stop()`` is called once, when the process is told to end.

    Every verb takes the ``User`` who asks. What belongs to another user is not there: RunNotFound, SessionNotFound.
    """

    _told_at = 0.0

    def stop(self) -> None:
        """Streams end, so that the server can close; the runs stay for the next process."""
        if not self.stopping.is_set():
            self._told_at = time.monotonic()
            self.stopping.set()

    def grace_left(self) -> float:
        """What is left of ``grace`` seconds since ``stop()``."""
        return max(0.0, self.grace - (time.monotonic() - self._told_at))

    @asynccontextmanager
    async def reading(self, user: User, run_id: str | None = None) -> AsyncIterator[None]:
        """A place for one open stream or socket. Refused (429) where this user, or the run, has too many."""
        with self.seats.taken(user, run_id):
            yield
