"""Ordering a run to cancel, skip or retry one of its steps, wherever it is executed: stored, then signalled. (D9)

The process that executes the run decides whether the step still runs, and records that. The caller waits for the record.
"""

from __future__ import annotations

from typing import Any

import anyio

from ...core.journal import within
from ...core.plan import Plan
from ...model import checks
from ...model.enums import RunStatus
from ...model.errors import InputError, RunEnded, RunNotFound, StepNotFound, StepNotRunning
from ...model.steering import StepReceipt
from ...storage.base import BaseDb, MessageRow, RunRow
from ..bus.step_rows import row_to_record
from ..bus.stored import requirements_of
from ..loop.process import current
from ..run.execution import Execution
from ..run.host import find_live, find_parked
from ..run.request import Definition
from ..run.steering import Action, Order, order_row, receipt_path
from .resume import signal_owner
from .sending import read_soon, send_here

__all__ = ["order_step"]

_LOOK_SECONDS = 0.1
_HERE_SECONDS = 0.01


async def order_step(
    definition: Definition, run_id: str, path: str, action: Action, *, reason: str | None, message_id: str | None
) -> StepReceipt:
    """Raises as ``Workflow.acancel_step`` says."""
    where = f"{action}_step(): "
    checks.required(run_id, "run_id")
    if not isinstance(path, str) or not path:
        raise InputError(f"{where}path={path!r} must be the path of a step, such as '0.fetch'; `wfr show` lists them")
    checks.text(reason, "reason", where)
    checks.identifier(message_id, "message_id", where, error=InputError)
    order = Order(id=message_id or current().new_id(), action=action, path=path, reason=reason)
    row = order_row(order, run_id, definition.clock.time())
    taken = await (
        _ordered_here(order, row) if definition.db is None else _ordered(definition, definition.db, order, row)
    )
    return StepReceipt(
        run_id=run_id, path=path, action=action, message_id=order.id, created_at=row.created_at, taken=taken
    )


# -- without a database ------------------------------------------------------------------------------------------------


async def _ordered_here(order: Order, row: MessageRow) -> bool:
    run = find_live(row.run_id) or find_parked(row.run_id)
    if run is None:
        raise RunNotFound(
            f"no run {row.run_id!r} is at work in this process, and the workflow has no db to look it up in; give it one"
        )
    if run.loop.is_here():
        return _taken(run, order, row)
    answers: list[bool | Exception] = []

    def take() -> None:
        try:
            answers.append(_taken(run, order, row))
        except Exception as error:
            answers.append(error)

    run.loop.call(take)
    while not answers:  # noqa: ASYNC110  (an event of anyio belongs to one loop, and this is told by another)
        await anyio.sleep(_HERE_SECONDS)
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _taken(run: Execution, order: Order, row: MessageRow) -> bool:
    if run.output.status.is_final:
        raise _ended(row.run_id, run.output.status)
    if not run.steering.reaches(run, order.path):
        raise _not_running(order, row.run_id)
    send_here(run, row)
    return _decision(run, order, row.run_id) or False


def _decision(run: Execution, order: Order, run_id: str) -> bool | None:
    """Whether this process has taken the order; None: it is not decided yet. StepNotRunning if it was refused."""
    record = run.journal.get(receipt_path(order))
    return None if record is None else _accepted(record.value, order, run_id)


def _accepted(value: Any, order: Order, run_id: str) -> bool:
    if value["refused"]:
        raise _not_running(order, run_id)
    return True


# -- with a database ---------------------------------------------------------------------------------------------------


async def _ordered(definition: Definition, db: BaseDb, order: Order, row: MessageRow) -> bool:
    run = await _found(db, row.run_id)
    live = find_live(row.run_id)
    decision = await _decided(db, live, order, row.run_id)
    if decision is not None:
        return decision
    _refuse_ended(run)
    await _refuse(definition, db, order, run)
    await db.send(row)
    if live is not None:
        read_soon(live)
    elif run.owner is not None:
        await signal_owner(definition.broker, run.owner, run.run_id)
    while True:
        run = await _found(db, row.run_id)
        decision = await _decided(db, live, order, row.run_id)
        if decision is not None:
            return decision
        _refuse_ended(run)
        if not _is_executed(run):
            return False
        await db.changed(row.run_id, seen=run.seq, timeout=_HERE_SECONDS if live is not None else _LOOK_SECONDS)


async def _decided(db: BaseDb, live: Execution | None, order: Order, run_id: str) -> bool | None:
    if live is not None and live.loop.is_here() and (decision := _decision(live, order, run_id)) is not None:
        return decision
    steps = await db.load_steps(run_id, path=receipt_path(order))
    return _accepted(row_to_record(steps[0]).value, order, run_id) if steps else None


async def _found(db: BaseDb, run_id: str) -> RunRow:
    row = await db.load_run(run_id)
    if row is None:
        raise RunNotFound(f"no run {run_id!r}; check the id and the workflow's db")
    return row


def _refuse_ended(row: RunRow) -> None:
    if row.status.is_final:
        raise _ended(row.run_id, row.status)


def _is_executed(row: RunRow) -> bool:
    """Whether a process works on the run, also one that has not stored yet that it began."""
    if row.status is RunStatus.paused or row.owner is None:
        return False
    return not row.expired or find_live(row.run_id) is not None


async def _refuse(definition: Definition, db: BaseDb, order: Order, row: RunRow) -> None:
    """StepNotFound or StepNotRunning, as far as can be seen from here."""
    plan = definition.plan
    if plan.static and row.fingerprint == plan.fingerprint and not _may_have(plan, order.path):
        raise StepNotFound(
            f"the workflow has no step at {order.path!r}; `wfr show {row.run_id}` lists the paths of the run"
        )
    live = find_live(row.run_id)
    if live is not None and live.loop.is_here():
        runs = live.steering.reaches(live, order.path)
    elif row.status is RunStatus.paused:
        waits = [item for item in await requirements_of(db, row.run_id) if item.is_open]
        runs = any(within(item.path, order.path) for item in waits)
    else:
        runs = row.owner is not None
    if not runs:
        raise _not_running(order, row.run_id)


def _may_have(plan: Plan, path: str) -> bool:
    """Whether a step may be at ``path``; the steps of a function are known only as it runs."""
    if plan.dynamic or plan.find(path) is not None:
        return True
    parts = path.split("/")
    around = [plan.find("/".join(parts[:count])) for count in range(1, len(parts))]
    return any(getattr(node, "executor_type", None) == "workflow" for node in around)


def _not_running(order: Order, run_id: str) -> StepNotRunning:
    return StepNotRunning(
        f"step {order.path!r} of run {run_id!r} neither runs nor waits now, so it cannot be {_DONE[order.action]}; nothing"
        " was changed",
        path=order.path,
    )


_DONE = {"cancel": "cancelled", "skip": "skipped", "retry": "retried"}


def _ended(run_id: str, status: Any) -> RunEnded:
    return RunEnded(f"run {run_id!r} has ended as {RunStatus(status).value}; none of its steps runs any more")
