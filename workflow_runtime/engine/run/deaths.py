"""Runs whose process dies again and again while they work: counted, put aside, and started again by a person.

The database counts a death when a run is claimed whose owner had not given it up. A new outcome resets the count. While
every branch of the run sleeps, or it waits for its turn, one death less is stored, so that a process which dies then adds
none. A run that has died is watched: the steps that it works on are stored before they begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.journal import INPUT, OPEN, Journal
from ...model import codec
from ...model.enums import RunStatus
from ...model.errors import RunNotFound, RunNotPaused, RunPutAside
from ...model.step_io import StepOutput
from ...storage.base import BaseDb, Fence, StepRow
from ..loop.process import current

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["WORKING", "begin_watched", "put_aside_if_deadly", "requeue"]

WORKING = "!working"
"""The path of the row that names the steps which a run that has died works on."""


async def begin_watched(run: Execution, path: str) -> None:
    """A run that has died begins the step at ``path``: store that first."""
    recorder = run.recorder
    if recorder is None or recorder.durability == "exit":
        return
    recorder.note_working(path)
    await recorder.commit()


def put_aside_if_deadly(run: Execution, steps: list[StepRow]) -> None:
    """Let the run that was recovered end as failed, before anything of it is done, if its process has died too often."""
    most = run.definition.max_recoveries
    if run.deaths <= most:
        return
    paths = _working(steps) or _first_open(run)
    where = " and ".join(repr(path) for path in paths) or "the workflow function"
    often = "once" if run.deaths == 1 else f"{run.deaths} times in a row"
    error = RunPutAside(
        f"run {run.id!r} was put aside: its process died {often} while step {where} was executing"
        f" (max_recoveries={most}). Find out what ends the process; then continue the run with: wfr requeue {run.id}",
        path=paths[0] if paths else None,
    )
    run.output.failed_steps = [
        StepOutput(None, path.rpartition("/")[2].partition(".")[2] or path, success=False, error=str(error), path=path)
        for path in paths
    ]
    run.fail(error)


def _working(steps: list[StepRow]) -> list[str]:
    for row in steps:
        if row.path == WORKING and row.data is not None:
            found = codec.decode_value(row.data)
            return [str(path) for path in found] if isinstance(found, list) else []
    return []


def _first_open(run: Execution) -> list[str]:
    """Where the run was as its journal says: the last place that was entered, or the first without an outcome."""
    journal: Journal = run.journal
    entered = [record for record in journal.records.values() if record.status == OPEN]
    called = [path.removesuffix(INPUT) for path in journal.records if path.endswith(INPUT)]
    inner = [path for path in called if path not in journal.records]
    if inner or entered:
        return inner or [max(entered, key=lambda record: record.position).path]
    for top in run.definition.plan.root:
        for path, node in top.walk():
            if path not in journal.records and not node.children:
                return [path]
    return []


async def requeue(db: BaseDb, run_id: str, now: float) -> None:
    """Let the next Runtime, or ``recover()``, of its workflow go on with a run that was put aside.

    Raises:
        RunNotFound, RunNotPaused: There is no such run; it was not put aside. Nothing has changed.
    """
    row = await db.load_run(run_id)
    if row is None:
        raise RunNotFound(f"no run {run_id!r}; check the id and that this is the database it is stored in")
    failed = codec.decode_run(row.data, row).error_type if row.status is RunStatus.error else None
    if failed != RunPutAside.__name__:
        raise RunNotPaused(
            f"run {run_id!r} is {row.status} and was not put aside, so it cannot be requeued; fork() runs it again from one"
            " of its steps"
        )
    owner = current().owner
    claimed = await db.claim(
        run_id, owner=owner, now=now, lease=60.0, statuses=frozenset({RunStatus.error}), expired_only=False
    )
    if claimed is None:
        raise RunNotPaused(f"run {run_id!r} was requeued by another caller in this moment")
    await db.renew([(Fence(run_id=run_id, attempt=claimed.attempt, owner=owner), 0.0)])
