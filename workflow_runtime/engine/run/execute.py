"""``execute_run``: the only place that says what a run does. (D1)"""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel

from ...core.life import Happening, Life
from ...model import events as ev
from ...model.enums import RunStatus
from ...model.errors import Fenced
from ...steps.signals import Rejected, Suspended
from ..bus.unreadable import put_aside
from ..loop.limits import limited
from .compensating import compensate_ordered, compensated, decided_outcome
from .ending import CUT_OFF, Cancelled, Done, EndRefused, close_unsaved, finish_whole, give_up_lost
from .execution import Execution
from .frame import Frame, root_frame
from .pausing import give_back, pause_walk
from .walk import walk_workflow

__all__ = ["execute_run", "refuse_run"]


class _Over:
    """The run is over here, and that is stored. ``cut_off`` is what cancelled its task from outside meanwhile."""

    def __init__(self, cut_off: BaseException | None) -> None:
        self.cut_off = cut_off


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
                outcome = decided_outcome(run) if run.undo is not None else None
                if outcome is None:
                    if run.undo is not None:
                        await compensate_ordered(run, frame)
                    limit = run.definition.run_timeout
                    outcome = await (_passes(run, frame) if limit is None else _limited(run, frame, limit))
            except Rejected as rejected:
                outcome = Cancelled(rejected.reason, f"Workflow cancelled: {rejected.reason}")
            except Exception as error:
                outcome = error
        if run.scope.cancelled_caught:
            outcome = run.failure or Cancelled(run.cancel_reason)
    except BaseException as error:  # the caller's task was cancelled, or the interpreter is leaving
        await run.pause_over()  # one end at a time is numbered and stored
        if run.parked and run.definition.db is not None:  # stored as paused, it stays so without us
            run.evict()
        cancelled_outside = error
        outcome = run.failure or Cancelled(run.cancel_reason or CUT_OFF)
    if isinstance(outcome, _Over):
        cancelled_outside = outcome.cut_off
    elif isinstance(outcome, Fenced):
        give_up_lost(run, outcome)
    elif run.life not in (Life.GONE, Life.ENDED) and not await put_aside(run, outcome):
        cancelled_outside = await _finished(run, outcome) or cancelled_outside
    run.end()
    if cancelled_outside is not None:
        raise cancelled_outside


async def _finished(run: Execution, outcome: Any) -> BaseException | None:
    """Compensate what is to be, and record the end. Returns what cancelled the task from outside meanwhile."""
    cut_off: BaseException | None = None
    while True:
        try:
            outcome = await compensated(run, outcome)
        except Exception as error:  # what is decided is stored: whoever recovers the run goes on with it
            run.evict()
            close_unsaved(run, error)
        if run.life is Life.GONE:
            return cut_off
        if isinstance(outcome, Fenced):
            give_up_lost(run, outcome)
            return cut_off
        run.happen(Happening.FINISH)
        try:
            cut_off = await finish_whole(run, outcome) or cut_off
        except EndRefused as refused:
            outcome, cut_off = refused.outcome, refused.cut_off or cut_off
            continue
        except Exception as error:  # a fault in how runs end: nobody shall wait for one that never comes
            close_unsaved(run, error)
        run.happen(Happening.STORED)
        return cut_off


async def refuse_run(run: Execution, error: Exception) -> None:
    """The run could not get its turn. A run that was paused is paused again; of a new one nothing is stored, but for a
    background run, whose caller was told its id."""
    if run.was is RunStatus.paused and not run.cancelled:
        await give_back(run, error)
        return
    if run.recorder is not None and run.recorder.created:
        await _finished(run, error)
    else:
        run.raised, run.output.status = error, RunStatus.error
        run.happen(Happening.STORED)
    run.end()


async def _opened(run: Execution) -> Frame:
    """Publish the first event and return the root frame. A coroutine of its own, so its locals are freed before a long
    wait."""
    frame = root_frame(run)
    if run.recorder is not None:
        run.recorder.begin()
    if run.opening is not None:
        run.opening()
    if run.cancelled or run.failure is not None:  # while it waited for its turn, or before it was claimed
        await anyio.lowlevel.checkpoint()
    if not run.resumed:
        run.publish(ev.WorkflowStartedEvent)
        if run.may_have_begun:
            run.publish(ev.WorkflowResumedEvent, attempt=run.epoch, after_seq=run.bus.seq)
        if run.recorder is not None:
            await (run.recorder.commit() if run.request.background else run.recorder.milestone())
    return frame


async def _limited(run: Execution, frame: Frame, limit: float) -> Any:
    message = f"the run took longer than its run_timeout of {limit:g} s"
    return await limited(run, limit, "", _passes(run, frame), message)


async def _passes(run: Execution, frame: Frame) -> Any:
    """Walk until nothing is left, or until no answer reaches further: then the run pauses. The tree is walked once more,
    over its journal, for answers that the walk before could not use."""
    while True:
        run.tried = frozenset(run.pauses.fresh) if run.has_questions else frozenset()
        run.steering.begin_walk()
        try:
            if not run.definition.plan.hosted:
                return Done(await walk_workflow(frame, run.definition, run.request.input, run.output.step_results))
            with anyio.CancelScope() as run.walk_scope:
                return Done(await walk_workflow(frame, run.definition, run.request.input, run.output.step_results))
        except Suspended:
            await anyio.lowlevel.checkpoint_if_cancelled()
            nothing_new = not run.pauses.fresh or run.tried == run.pauses.fresh.keys()
            if nothing_new and not run.steering.has_untried:
                over, cut_off = await pause_walk(run)
                if over:
                    return _Over(cut_off)
                if run.canceller.act_on_kept(run):
                    await anyio.lowlevel.checkpoint()
        except Exception:
            if not run.rewalking:  # a step that makes an error of being let go is entered again all the same
                raise
        run.rewalking = False
        run.reset_state()
        run.journal.replaying = frame.replaying = True
