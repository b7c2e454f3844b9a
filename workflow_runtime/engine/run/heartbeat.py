"""The heartbeat: one timer per loop that keeps the leases of its runs and hears of cancel requests."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import anyio

from ...model.errors import Fenced, StorageError
from ...storage.base import BaseDb, Fence
from ..bus.relayed import relay_again
from ..bus.stored import requirements_of
from ..loop.loops import later, loop_key, spawn
from ..loop.process import current
from .ending import CANCELLED_ELSEWHERE

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["look_now", "unwatch", "watch"]

logger = logging.getLogger("workflow_runtime")

LOOK_SECONDS = 0.1  # how often requests to cancel are looked up: one small read per database and loop


def watch(run: Execution) -> None:
    """Look after ``run`` until it ends. The first run of a loop starts the loop's heart, which stops at a beat without any:
    runs that come one after the other share it."""
    key, hearts = loop_key(), current().hearts
    heart = hearts.get(key)
    if heart is None or heart.stopped:
        heart = hearts[key] = Heart()
    heart.runs[run.id] = run
    run.heart = heart


def unwatch(run: Execution) -> None:
    """The run needs no looking after any more."""
    heart, run.heart = run.heart, None
    if heart is not None:
        heart.runs.pop(run.id, None)


def look_now(run_id: str) -> None:
    """There is a signal for a run of this process, or a new reader elsewhere: do not wait for the next beat."""
    from .host import find_live  # which imports this module

    run = find_live(run_id)
    if run is not None:
        run.loop.call(partial(_look_now, run))


def _look_now(run: Execution) -> None:
    relay_again(run)
    heart, db = run.heart, run.definition.db
    if heart is not None and db is not None:
        spawn(partial(heart.look_for_signals, db, run), f"signals of {run.id}")


class Heart:
    """The runs of one loop that have a database."""

    __slots__ = ("__weakref__", "runs", "stopped", "undelivered", "unread")

    def __init__(self) -> None:
        self.runs: dict[str, Execution] = {}
        self.unread: dict[str, Execution] = {}  # which have new answers in the database
        self.undelivered: dict[str, Execution] = {}  # which have new messages there
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

    async def look_for_signals(self, db: BaseDb, some: Execution) -> None:
        """Between two beats."""
        try:
            await self._take_signals(db, some)
        except StorageError as error:
            logger.warning("the heartbeat could not reach the database: %s", error)

    def _by_database(self) -> dict[BaseDb, list[Execution]]:
        found: dict[BaseDb, list[Execution]] = {}
        for run in self.runs.values():
            if not run.ended and run.definition.db is not None and (_is_stored(run) or _has_turn(run)):
                found.setdefault(run.definition.db, []).append(run)
        return found

    async def _look(self, db: BaseDb, runs: list[Execution]) -> None:
        await self._take_signals(db, runs[0])
        beating = [run for run in runs if not run.ended and _is_due(run)]
        if not beating:
            return
        due = [(run, run.epoch, run.clock.time()) for run in beating if _is_stored(run)]
        # All of them in one statement: one after the other, many would outlast the lease of the last.
        leases = [(Fence(run_id=run.id, attempt=epoch, owner=run.owner), run.definition.lease) for run, epoch, _ in due]
        for (run, epoch, now), state in zip(due, await db.renew(leases) if leases else (), strict=True):
            if run.epoch != epoch:  # it paused and was continued meanwhile: this tells of the time before
                continue
            if state.renewed:
                run.lease_renewed = now
            if not state.held and not run.ended and not run.finishing:
                run.fail(Fenced(f"run {run.id} was taken over by another process; this one has stopped working on it"))
            elif state.cancel_requested:
                run.cancel(CANCELLED_ELSEWHERE)
        await self._keep_turns(db, beating)

    async def _keep_turns(self, db: BaseDb, runs: list[Execution]) -> None:
        """Renew the locks of sessions whose turn it is; all at once, so that they share transactions."""

        async def keep(run: Execution) -> None:
            if run.turn is not None:
                try:
                    now = run.clock.time()
                    await db.acquire(run.turn.lock_name, owner=run.turn.owner, lease=run.definition.lease)
                    if not _is_stored(run):  # with durability "exit" it has its turn long before
                        run.lease_renewed = now
                except StorageError as error:
                    logger.warning("the heartbeat could not renew the lock %s: %s", run.turn.lock_name, error)

        async with anyio.create_task_group() as group:
            for run in runs:
                if _has_turn(run):
                    group.start_soon(keep, run)

    async def _take_signals(self, db: BaseDb, some: Execution) -> None:
        """Tell the runs of this process what others want of them, also those of its other loops."""
        from .host import find_live  # which imports this module

        for signal in await db.take_signals(some.owner):
            run = find_live(signal.run_id)
            if run is None:
                continue
            if signal.kind == "cancel":
                run.loop.call(partial(_cancel, run))
            elif signal.kind == "answered":
                self.unread[run.id] = run
            elif signal.kind == "message":
                self.undelivered[run.id] = run
        for run_id, run in list(self.unread.items()):  # one that cannot be read now is read at the next beat
            answers = await requirements_of(db, run_id)
            del self.unread[run_id]
            run.loop.call(partial(run.answered, answers))
        for run_id, run in list(self.undelivered.items()):
            messages = await db.load_messages(run_id, after=run.people.messages_taken)
            del self.undelivered[run_id]
            run.loop.call(partial(run.arrived, messages))


def _is_stored(run: Execution) -> bool:
    return run.recorder is not None and run.recorder.created


def _has_turn(run: Execution) -> bool:
    return run.turn is not None and run.turn.held


def _is_due(run: Execution) -> bool:
    """Whether a third of its lease has passed, or its clock was turned back."""
    return not 0 <= run.clock.time() - run.lease_renewed < run.definition.lease / 3


def _cancel(run: Execution) -> None:
    run.cancel(CANCELLED_ELSEWHERE)
