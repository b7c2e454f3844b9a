"""Runs that cannot go on in this process, since something stored that they need cannot be read here.

They stay as they are: what a step would be given is looked at before a run is claimed (``refuse_unreadable``), and a step of
a continued run that touches what cannot be read gives the run back (``put_aside``).
"""

from __future__ import annotations

import logging
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from ...core.journal import Journal
from ...model.classes import loaded
from ...model.enums import RunStatus
from ...model.errors import UnreadableError
from ...model.run import WorkflowRunOutput
from ...model.unreadable import DAMAGED, Unreadable, unreadables
from ...storage.base import BaseDb, Batch, Fence

if TYPE_CHECKING:
    from ..run.execution import Execution

__all__ = ["aside", "put_aside", "refuse_unreadable", "set_aside"]

logger = logging.getLogger("workflow_runtime")
_KEPT = 1000

# By database: runs that could not go on here, the reason, and what was loaded then. With more it is tried again.
_aside: weakref.WeakKeyDictionary[BaseDb, OrderedDict[str, tuple[str, Any]]] = weakref.WeakKeyDictionary()


def refuse_unreadable(
    run_id: str, journal: Journal, output: WorkflowRunOutput, requirements: Iterable[Any], *, to_cancel: bool = False
) -> None:
    """UnreadableError if what the run's steps are given cannot be read here: its input, what earlier steps made, what
    people answered. Nothing was changed. To cancel a run, only its row must not be damaged."""
    if to_cancel:
        found = [item for item in unreadables(output.input) if Unreadable.of(item).class_name == DAMAGED]
    else:
        records = [
            (record.decision, record.output, record.value, record.changed) for record in journal.records.values()
        ]
        given = (output.input, output.additional_data, output.dependencies, output.metadata)
        found = unreadables((given, records, list(requirements)))
    if not found:
        return
    known = Unreadable.of(found[0])
    raise UnreadableError(
        f"run {run_id!r} cannot continue in this process and was not changed: {known.path or 'a value'} is a stored"
        f" {known.class_name} that cannot be read: {known.reason}",
        class_name=known.class_name,
        run_id=run_id,
        path=known.path,
    )


# -- what is put aside --------------------------------------------------------------------------------------------------


def set_aside(db: BaseDb, run_id: str, error: UnreadableError) -> None:
    """Note that the run cannot go on here; logged the first time."""
    known = _aside.setdefault(db, OrderedDict())
    before = known.pop(run_id, None)
    known[run_id] = (str(error), loaded())
    while len(known) > _KEPT:
        known.popitem(last=False)
    if before is None or before[0] != str(error):
        logger.error("run %s was left alone: %s", run_id, error)


def aside(db: BaseDb, run_id: str) -> str | None:
    """Why the run cannot go on here; None where that was not found out, or a module was loaded since."""
    known = _aside.get(db)
    found = None if known is None else known.get(run_id)
    return found[0] if found is not None and found[1] == loaded() else None


async def put_aside(run: Execution, outcome: Any) -> bool:
    """Give a continued run back in which a step touched what cannot be read: paused, or interrupted, as it was found. What
    its steps had finished by then stands. False for any other run and outcome."""
    error = _unreadable(outcome)
    recorder = run.recorder
    if error is None or recorder is None or not recorder.created or not (run.resumed or run.epoch > 1):
        return False
    was_paused = run.was is RunStatus.paused
    try:
        with anyio.CancelScope(shield=True):
            await recorder.commit()
            row = await recorder.db.load_run(run.id)
            if row is None:
                return False
            fence = Fence(run_id=run.id, attempt=run.epoch, owner=run.owner)
            if was_paused:
                row = msgspec.structs.replace(
                    row, status=RunStatus.paused, updated_at=run.clock.time(), seq=run.bus.seq
                )
                await recorder.db.commit(Batch(fence=fence, run=row, statuses=frozenset({RunStatus.running})))
            else:
                await recorder.db.renew([(fence, 0.0)])
    except Exception as failure:  # the end that follows says so too
        logger.warning("run %s could not be given back: %s", run.id, failure)
        return False
    set_aside(recorder.db, run.id, error)
    run.evict()
    run.raised = error
    run.output.status = RunStatus.paused if was_paused else RunStatus.running
    return True


def _unreadable(outcome: Any) -> UnreadableError | None:
    if isinstance(outcome, UnreadableError):
        return outcome
    inner = outcome.exceptions if isinstance(outcome, BaseExceptionGroup) else ()
    return next((found for item in inner if (found := _unreadable(item)) is not None), None)
