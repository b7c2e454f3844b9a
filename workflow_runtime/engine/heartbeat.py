"""The heartbeat: one timer per loop that keeps the leases of its runs and hears of cancel requests. spec: decisions 6."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any

from ..model.errors import Fenced, StorageError
from ..storage.base import BaseDb, Fence
from .loops import later, loop_key, spawn

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["unwatch", "watch"]

logger = logging.getLogger("workflow_runtime")

LOOK_SECONDS = 0.1  # how often requests to cancel are looked up: one small read per database and loop
_hearts: weakref.WeakKeyDictionary[Any, Heart] = weakref.WeakKeyDictionary()


def watch(run: Execution) -> None:
    """Look after ``run`` until it ends. The first run of a loop starts the loop's heart, which stops at a beat without any:
    runs that come one after the other share it."""
    key = loop_key()
    heart = _hearts.get(key)
    if heart is None or heart.stopped:
        heart = _hearts[key] = Heart()
    heart.runs[run.id] = run
    run.heart = heart


def unwatch(run: Execution) -> None:
    """The run needs no looking after any more."""
    heart, run.heart = run.heart, None
    if heart is not None:
        heart.runs.pop(run.id, None)


class Heart:
    """The runs of one loop that have a database."""

    __slots__ = ("__weakref__", "runs", "stopped")

    def __init__(self) -> None:
        self.runs: dict[str, Execution] = {}
        self.stopped = False
        later(LOOK_SECONDS, self._beat)

    def _beat(self) -> None:
        if self.runs:
            spawn(self._work, "workflow_runtime heartbeat")  # a task only for runs that live so long
        else:
            self.stopped = True

    async def _work(self) -> None:
        try:
            for db, runs in self._by_database().items():
                await self._look_at(db, runs)
        except BaseException:  # somebody cancelled every task of the loop: the next run starts another heart
            self.stopped = True
            raise
        later(LOOK_SECONDS, self._beat)

    async def _look_at(self, db: BaseDb, runs: list[Execution]) -> None:
        try:
            await self._look(db, runs)
        except StorageError as error:  # the database is away: the leases may run out, the fence is safe
            logger.warning("the heartbeat could not reach the database: %s", error)
        except Exception:
            logger.exception("the heartbeat failed")

    def _by_database(self) -> dict[BaseDb, list[Execution]]:
        found: dict[BaseDb, list[Execution]] = {}
        for run in self.runs.values():
            if not run.ended and run.definition.db is not None and run.recorder is not None and run.recorder.created:
                found.setdefault(run.definition.db, []).append(run)
        return found

    async def _look(self, db: BaseDb, runs: list[Execution]) -> None:
        signals = await db.take_signals(runs[0].owner, now=runs[0].clock.time())
        wanted = {signal.run_id for signal in signals if signal.kind == "cancel"}
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
