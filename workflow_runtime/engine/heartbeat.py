"""The heartbeat: one task per loop that keeps the leases of its runs and hears of cancel requests. spec: decisions 6."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from ..model.errors import Fenced, StorageError
from ..storage.base import BaseDb, Fence
from .loops import spawn

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["unwatch", "watch"]

logger = logging.getLogger("workflow_runtime")

LOOK_SECONDS = 0.1  # how often requests to cancel are looked up: one small read per database and loop
_hearts: dict[int, Heart] = {}


def watch(run: Execution) -> None:
    """Look after ``run`` until it ends. The first run of a loop starts the loop's heart, the last one stops it."""
    heart = _hearts.get(run.loop_key)
    if heart is None or heart.stopped:
        heart = _hearts[run.loop_key] = Heart(run.loop_key)
        spawn(heart.beat, "workflow_runtime heartbeat")
    heart.runs[run.id] = run


def unwatch(run: Execution) -> None:
    """The run needs no looking after any more."""
    heart = _hearts.get(run.loop_key)
    if heart is not None and heart.runs.pop(run.id, None) is not None and not heart.runs:
        heart.stop()


class Heart:
    """The runs of one loop that have a database."""

    def __init__(self, loop_key: int) -> None:
        self.runs: dict[str, Execution] = {}
        self.stopped = False
        self._loop_key = loop_key
        self._idle = anyio.Event()

    def stop(self) -> None:
        self.stopped = True
        self._idle.set()

    async def beat(self) -> None:
        try:
            while not self.stopped:
                with anyio.move_on_after(LOOK_SECONDS):
                    await self._idle.wait()
                for db, runs in self._by_database().items():
                    try:
                        await self._look(db, runs)
                    except StorageError as error:  # the database is away: the leases may run out, the fence is safe
                        logger.warning("the heartbeat could not reach the database: %s", error)
        finally:
            self.stopped = True
            if _hearts.get(self._loop_key) is self:
                del _hearts[self._loop_key]

    def _by_database(self) -> dict[BaseDb, list[Execution]]:
        found: dict[BaseDb, list[Execution]] = {}
        for run in self.runs.values():
            if not run.ended and run.definition.db is not None and run.recorder is not None and run.recorder.created:
                found.setdefault(run.definition.db, []).append(run)
        return found

    async def _look(self, db: BaseDb, runs: list[Execution]) -> None:
        wanted = set(await db.cancel_requests(runs[0].owner))
        for run in runs:
            if run.id in wanted:
                run.cancel("cancelled from another process")
            now = run.clock.time()
            if now - run.lease_renewed < run.definition.lease / 3 or run.ended:
                continue
            state = await db.renew(
                Fence(run_id=run.id, attempt=run.epoch, owner=run.owner), lease_until=now + run.definition.lease
            )
            run.lease_renewed = now
            if not state.held and not run.ended and not run.finishing:
                run.fail(Fenced(f"run {run.id} was taken over by another process; this one has stopped working on it"))
            elif state.cancel_requested:
                run.cancel("cancelled from another process")
            if run.turn is not None and run.turn.held:
                await db.acquire(run.turn.lock_name, owner=run.turn.owner, now=now, until=now + run.definition.lease)
