"""A commit that others were before again and again takes the session's lock, so that any number of writers ends."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from ...model.errors import StorageError
from ...storage.base import BaseDb
from ..loop.clock import new_id

if TYPE_CHECKING:
    from ..run.execution import Execution

__all__ = ["CommitTurn", "release_lock"]

logger = logging.getLogger("workflow_runtime")

REFUSALS = 3
"""Refused this often, a commit waits for the lock. Each other writer then has at most so many commits without it."""

_LONGEST_PAUSE = 0.02


async def release_lock(db: BaseDb, name: str, owner: str) -> None:
    """Give a lock back. One that cannot be given back runs out by itself; what was done under it stands."""
    try:
        await db.release(name, owner=owner)
    except StorageError as error:
        logger.warning("the lock %s could not be released and will run out: %s", name, error)


class CommitTurn:
    """``async with turn`` around the attempts at one commit; call ``refused`` after each attempt that came too late."""

    __slots__ = ("_db", "_depth", "_owner", "_refusals", "_run", "editing")

    def __init__(self, run: Execution, db: BaseDb) -> None:
        self._run = run
        self._db = db
        self._depth = 0
        self._refusals = 0
        self._owner: str | None = None
        self.editing = False  # an edit of this run has the lock: its commits are not to wait for it

    async def __aenter__(self) -> None:
        self._depth += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        self._refusals = 0
        owner, self._owner = self._owner, None
        if owner is not None:
            with anyio.CancelScope(shield=True):
                await release_lock(self._db, self._name, owner)

    @property
    def _name(self) -> str:
        return f"session:{self._run.request.session_id}"

    async def refused(self) -> None:
        """Others have written the same keys first."""
        self._refusals += 1
        if self._refusals < REFUSALS or self._owner is not None:
            return
        run, owner, pause = self._run, f"{self._run.owner}:{new_id()}", 0.001
        while not self.editing:
            if await self._db.acquire(self._name, owner=owner, lease=run.definition.lease):
                self._owner = owner
                return
            await anyio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
