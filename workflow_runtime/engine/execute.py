"""``execute_run``: the only place that says what a run does. (D1)"""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import anyio.lowlevel

from ..model import events as ev
from ..model.enums import RunStatus
from ..steps.signals import Rejected, Suspended
from .ending import PAUSED, Cancelled, finish
from .execution import Execution
from .frame import Frame, root_frame
from .limits import limited
from .recorder import storage_failure
from .unreadable import put_aside
from .walk import walk_workflow

__all__ = ["execute_run", "refuse_run"]

_FINISH_SECONDS = 30.0


async def execute_run(run: Execution) -> None:
    """Walk the plan to its end, its pause, its failure or its cancellation, and record which.

    Raises only what cancelled it from outside (after the end is recorded); everything else is in ``run.raised``.
    """
    cancelled_outside: BaseException | None = None
    outcome: Any = None
    try:
        with run.scope:
            try:
                frame = await _opened(run)
                limit = run.definition.run_timeout
                outcome = await (_passes(run, frame) if limit is None else _limited(run, frame, limit))
            except Suspended:
                outcome = PAUSED
            except Rejected as rejected:
                by_person = run.cancel_reason is None
                outcome = Cancelled(rejected.reason, f"Workflow cancelled: {rejected.reason}" if by_person else None)
            except Exception as error:
                outcome = error
        if run.scope.cancelled_caught:
            outcome = run.failure or Cancelled(run.cancel_reason)
        if run.evicted:
            run.end()
            return
    except BaseException as error:  # the caller's task was cancelled, or the interpreter is leaving
        if run.evicted or (run.parked and run.definition.db is not None):  # stored as paused, it stays so without us
            run.evict()
            run.end()
            raise
        cancelled_outside = error
        outcome = run.failure or Cancelled(run.cancel_reason or "the caller was cancelled")
    if await put_aside(run, outcome):
        return
    cancelled_outside = await _finish_whole(run, outcome) or cancelled_outside
    run.end()
    if cancelled_outside is not None:
        raise cancelled_outside


async def _finish_whole(run: Execution, outcome: Any) -> BaseException | None:
    """Record the end, and give what would have cut it off: a task that is cancelled by who does not know of scopes is not
    shielded by them, and an end that is begun is brought to its end."""
    cut_off: BaseException | None = None
    if run.recorder is None:
        await finish(run, outcome)  # waits for nothing
        return cut_off
    give_up = anyio.current_time() + _FINISH_SECONDS
    while True:
        try:
            with anyio.CancelScope(shield=True, deadline=give_up) as shield:
                await finish(run, outcome, again=cut_off is not None)
        except asyncio.CancelledError as error:
            cut_off = error
            continue
        if shield.cancelled_caught:
            run.raised = storage_failure(
                TimeoutError(
                    f"the database did not answer for {_FINISH_SECONDS:g} s; "
                    "see whether it can be reached, and whether another program keeps it locked"
                )
            )
        return cut_off


async def refuse_run(run: Execution, error: Exception) -> None:
    """The run could not get its turn. Nothing is stored, but for a background run, whose caller was told its id."""
    if run.recorder is not None and run.recorder.created:
        await finish(run, error)
    else:
        run.raised, run.output.status = error, RunStatus.error
    run.end()


async def _opened(run: Execution) -> Frame:
    """Say that the run goes; where its steps stand. It is over before they are walked, so that it is not kept by a run
    that waits."""
    if run.cancelled:  # while it waited for its turn
        await anyio.lowlevel.checkpoint()
    frame = root_frame(run)
    if run.recorder is not None:
        run.recorder.begin()
    if run.opening is not None:
        run.opening()
    if not run.resumed:
        run.publish(ev.WorkflowStartedEvent)
        if run.recorder is not None:
            await (run.recorder.commit() if run.request.background else run.recorder.milestone())
    elif run.cancel_reason is not None:
        raise Rejected(run.cancel_reason)
    elif run.pauses.open and run.opening is None:
        raise Suspended  # some were answered, not all: the run stays paused
    return frame


async def _limited(run: Execution, frame: Frame, limit: float) -> Any:
    message = f"the run took longer than its run_timeout of {limit:g} s"
    return await limited(run, limit, "", _passes(run, frame), message)


async def _passes(run: Execution, frame: Frame) -> Any:
    """Walk until nothing is left, or until a question is open. A branch that stopped at a gate while another was parked in
    a step may find its answer given when the other has gone on: then the tree is walked once more, over its journal."""

    while True:
        try:
            return await walk_workflow(frame, run.definition, run.request.input, run.output.step_results)
        except Suspended:
            if run.pauses.open:
                raise
            run.journal.replaying = frame.replaying = True
