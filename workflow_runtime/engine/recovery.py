"""Taking over runs whose process died. spec: decisions 6."""

from __future__ import annotations

import logging
from typing import Any

from ..core.journal import Journal
from ..model.enums import RunStatus
from ..model.errors import PlanChanged
from ..storage.base import BaseDb, RunFilter, RunRow
from .execution import Execution
from .fork import load_journal
from .host import find_live, start_hosted
from .request import Definition
from .resume import Continuation, check_plan, claim, recovered

__all__ = ["expired_runs", "ready_runs", "recover_run", "recover_runs"]

logger = logging.getLogger("workflow_runtime")
_PAGE = 200
_INTERRUPTED = frozenset({RunStatus.running, RunStatus.pending})


async def recover_runs(definition: Definition, *, store_events: bool, skip: Any) -> list[Execution]:
    """Take over every interrupted run of this workflow whose lease has run out; each goes on in a task of its own."""
    db = definition.db
    if db is None:
        return []
    taken: list[Execution] = []
    for row in await expired_runs(db, definition.id):
        run = await recover_run(definition, row, store_events=store_events, skip=skip)
        if run is not None:
            taken.append(run)
    return taken


async def expired_runs(db: BaseDb, workflow_id: str | None = None) -> list[RunRow]:
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
    """The run, taken over and started; None when another process was first or its plan no longer fits."""
    db = definition.db
    assert db is not None
    if find_live(row.run_id) is not None:
        return None
    if row.fingerprint != definition.plan.fingerprint:
        try:
            check_plan(definition.plan, Journal(await load_journal(db, row)), False)
        except PlanChanged as error:
            logger.error("run %s was left alone: %s", row.run_id, error)
            return None
    claimed = await claim(definition, row.run_id, _INTERRUPTED, expired_only=True)
    if claimed is None:
        return None
    asked = Continuation(definition=definition, run_id=row.run_id, store_events=store_events, skip=skip)
    run = await recovered(asked, db, row, claimed)

    async def same() -> Execution:
        return run

    await start_hosted(same)
    return run


async def ready_runs(db: BaseDb, workflow_id: str) -> list[RunRow]:
    """Paused runs with a signal that nobody has taken: whoever answered or cancelled them did not get any further."""
    where = RunFilter(workflow_id=workflow_id, statuses=frozenset({RunStatus.paused}), signalled=True)
    return await db.list_runs(where, limit=_PAGE)
