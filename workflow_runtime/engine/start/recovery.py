"""Taking over runs whose process died."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import anyio
import msgspec

from ...core.journal import Journal
from ...core.life import Life
from ...model import codec
from ...model.enums import RunStatus
from ...model.errors import StorageError, UnreadableError
from ...storage.base import BaseDb, Fence, RunFilter, RunRow
from ..bus.stored import requirements_of
from ..bus.unreadable import aside, refuse_unreadable, set_aside
from ..run.execution import Execution
from ..run.host import find_live, start_hosted
from ..run.request import Definition
from .continuation import Continuation, check_plan
from .fork import load_journal
from .resume import claim, recovered

__all__ = ["Home", "Recovery", "is_away", "ready_runs", "recover_run", "recover_runs"]

logger = logging.getLogger("workflow_runtime")
_PAGE = 200
_INTERRUPTED = frozenset({RunStatus.running, RunStatus.pending})
_AT_ONCE = 100  # runs that one look takes over, so that the other work of a Runtime does not wait for thousands
_LONGEST = 60.0  # seconds between two looks at all interrupted runs, where some of them can never be taken over here
_RECENT = 300.0  # seconds; runs whose lease ran out within them are looked at each time


class Home(msgspec.Struct, frozen=True):
    """A workflow whose runs are recovered here, and how their events are kept."""

    definition: Definition
    store_events: bool
    skip: Any
    serves: bool = True  # False: its runs are for other processes, which have the same database


class Recovery:
    """Takes over the interrupted runs of a database's workflows, again and again.

    A run that cannot be taken over (its workflow is not here, its plan has changed, what it needs is not stored any more)
    is logged once and left alone. While there are such runs, older ones are looked at less and less often.
    """

    def __init__(self, db: BaseDb, most: int | None = None) -> None:
        self._db = db
        self._most = most  # runs at work at once
        self._at_work: list[Execution] = []
        self._left: dict[str, float] = {}  # by run: the highest attempt that is left alone
        self._pause = 0.0
        self._next = -math.inf

    async def look(self, homes: Mapping[str, Home], taken: list[str], unknown: list[str]) -> bool:
        """Take over at most ``_AT_ONCE`` runs: their ids go to ``taken``, those of runs of other workflows to ``unknown``.
        True where there are more that could be taken over now."""
        now = anyio.current_time()
        looks_at_all = now >= self._next
        where = RunFilter(statuses=_INTERRUPTED, expired=True, expired_within=None if looks_at_all else _RECENT)
        left: dict[str, float] = {}
        count, before = 0, None
        while True:
            page = await self._db.list_runs(where, limit=_PAGE, before=before)
            for row in page:
                if count >= _AT_ONCE:
                    return True
                if self._is_full():
                    return False
                if row.attempt <= self._left.get(row.run_id, 0):
                    left[row.run_id] = self._left[row.run_id]
                elif await self._take(row, homes, unknown):
                    taken.append(row.run_id)
                    count += 1
                elif row.run_id in self._left:
                    left[row.run_id] = self._left[row.run_id]
            if len(page) < _PAGE:
                break
            before = (page[-1].created_at, page[-1].run_id)
        if looks_at_all:
            self._left = left
            self._pause = min(_LONGEST, 2 * self._pause or 1.0) if left else 0.0
            self._next = now + self._pause
        return False

    async def _take(self, row: RunRow, homes: Mapping[str, Home], unknown: list[str]) -> bool:
        home = homes.get(row.workflow_id or "")
        if home is None:
            unknown.append(row.run_id)
            self._left[row.run_id] = math.inf
            logger.warning(
                "run %s of workflow %r was interrupted and is left alone: this Runtime does not have that workflow",
                row.run_id,
                row.workflow_id,
            )
            return False
        if not home.serves:
            return False
        try:
            run = await recover_run(home.definition, row, store_events=home.store_events, skip=home.skip)
        except Exception as error:
            if is_away(error):
                raise
            logger.error("run %s was left alone: %s", row.run_id, error)
            self._left[row.run_id] = row.attempt + 1  # it may have been claimed
            return False
        if run is not None and self._most is not None:
            self._at_work.append(run)
        return run is not None

    def _is_full(self) -> bool:
        """Whether as many of the runs that were recovered here work as may. One that sleeps, or waits for a person or its
        turn, does not."""
        if self._most is None or len(self._at_work) < self._most:
            return False
        self._at_work = [run for run in self._at_work if not run.ended]
        return sum(map(_works, self._at_work)) >= self._most


def _works(run: Execution) -> bool:
    waits_for_turn = run.life is Life.WAITING and run.definition.session_policy != "merge"
    return not run.ended and not run.waits and not waits_for_turn


def is_away(error: Exception) -> bool:
    """Whether the database could not be reached, which says nothing of the run that was asked for."""
    return type(error) is StorageError


async def recover_runs(definition: Definition, *, store_events: bool, skip: Any) -> list[Execution]:
    """Take over every interrupted run of this workflow whose lease has run out; each goes on in a task of its own. One that
    cannot be taken over is logged and left alone."""
    db = definition.db
    if db is None:
        return []
    taken: list[Execution] = []
    for row in await _expired_runs(db, definition.id):
        try:
            run = await recover_run(definition, row, store_events=store_events, skip=skip)
        except Exception as error:
            if is_away(error):
                raise
            logger.error("run %s was left alone: %s", row.run_id, error)
            continue
        if run is not None:
            taken.append(run)
    return taken


async def _expired_runs(db: BaseDb, workflow_id: str) -> list[RunRow]:
    """Interrupted runs whose lease has run out, newest first."""
    where = RunFilter(workflow_id=workflow_id, statuses=_INTERRUPTED, expired=True)
    found: list[RunRow] = []
    before: tuple[float, str] | None = None
    while True:
        page = await db.list_runs(where, limit=_PAGE, before=before)
        found.extend(page)
        if len(page) < _PAGE:
            return found
        before = (page[-1].created_at, page[-1].run_id)


async def recover_run(definition: Definition, row: RunRow, *, store_events: bool, skip: Any) -> Execution | None:
    """The run, taken over and started; None when another process was first.

    Raises:
        PlanChanged, RunNotFound: Its plan no longer fits, or the run that it was forked from is not stored any more;
            nothing of it has changed.
        Exception: What it needs cannot be read; its lease was given up again.
    """
    db = definition.db
    assert db is not None
    if find_live(row.run_id) is not None or aside(db, row.run_id) is not None:
        return None
    if row.reserved:  # nothing of it was to be kept
        await db.discard(row.run_id)
        return None
    journal = Journal(await load_journal(db, row))
    if row.fingerprint != definition.plan.fingerprint:
        check_plan(definition.plan, journal, False)
    try:
        refuse_unreadable(row.run_id, journal, codec.decode_run(row.data, row), await requirements_of(db, row.run_id))
    except UnreadableError as error:
        set_aside(db, row.run_id, error)
        return None
    claimed = await claim(definition, row.run_id, _INTERRUPTED, expired_only=True)
    if claimed is None:
        return None
    asked = Continuation(
        definition=definition, run_id=row.run_id, store_events=store_events, skip=skip, background=True
    )
    try:
        run = await recovered(asked, db, row, claimed)
    except Exception:
        await db.renew([(Fence(run_id=row.run_id, attempt=claimed.attempt, owner=claimed.owner), 0.0)])
        raise

    async def same() -> Execution:
        return run

    await start_hosted(same)
    return run


async def ready_runs(db: BaseDb, workflow_id: str) -> list[RunRow]:
    """Paused runs with a signal that nobody has taken: whoever answered or cancelled them did not get any further."""
    where = RunFilter(workflow_id=workflow_id, statuses=frozenset({RunStatus.paused}), signalled=True)
    return await db.list_runs(where, limit=_PAGE)
