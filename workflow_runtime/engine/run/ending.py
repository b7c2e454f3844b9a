"""How a run ends: the terminal event is numbered, committed and then shown, in that order. (D3, D6, D11)"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from ...core.journal import GIVEN_UP
from ...core.life import Happening
from ...core.state import snapshot
from ...core.unfinished import unfinished
from ...model import codec
from ...model import events as ev
from ...model.codec import seal_output
from ...model.enums import RunStatus
from ...model.errors import (
    AnswersArrived,
    CancelRequested,
    ConcurrentWrite,
    Fenced,
    SessionBusy,
    StorageError,
    UnserializableError,
)
from ...model.events import WorkflowEvent
from ...model.metrics import StepMetrics, WorkflowMetrics
from ...model.requirements import ErrorRequirement, StepRequirement
from ...model.run import WorkflowRunOutput
from ...model.step_io import StepOutput
from ...model.text import error_name, error_text
from ...steps.step import content_type
from ..bus.failures import log_failure, note_not_undone, place_of, shorten
from ..bus.recorder import storage_failure

if TYPE_CHECKING:
    from .execution import Execution

__all__ = [
    "CANCELLED_ELSEWHERE",
    "CUT_OFF",
    "PAUSED",
    "Cancelled",
    "Done",
    "EndRefused",
    "close_unsaved",
    "copy_output",
    "finish",
    "finish_whole",
    "give_up_lost",
    "store_pause",
]


class Cancelled:
    def __init__(self, reason: str | None, content: str | None = None) -> None:
        self.reason = reason
        self.content = content


class EndRefused(Exception):
    """The run cannot end as it was to, and has completed steps that are to be compensated first. ``outcome`` is how it ends
    then, ``cut_off`` what cancelled its task from outside meanwhile."""

    def __init__(self, outcome: Any) -> None:
        super().__init__("the end was refused")
        self.outcome = outcome
        self.cut_off: BaseException | None = None


class Done:
    """The run's content, which may be anything: an exception as well."""

    def __init__(self, content: Any) -> None:
        self.content = content


PAUSED = object()
logger = logging.getLogger("workflow_runtime")
CANCELLED_ELSEWHERE = "cancelled from another process"
CUT_OFF = "the caller was cancelled"
_FINISH_SECONDS = 30.0
_LIGHT = 16 * 1024  # bytes of an outcome or an event that is kept where the database has no room for all


async def finish_whole(run: Execution, outcome: Any) -> BaseException | None:
    """Record the end even if the task is cancelled natively meanwhile, which shields do not keep off; that cancellation is
    returned, to be raised again. Raises AnswersArrived as ``finish`` does."""
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
        except AnswersArrived:
            if cut_off is not None:
                raise cut_off from None
            raise
        except EndRefused as refused:
            refused.cut_off = cut_off
            raise
        if shield.cancelled_caught:
            run.raised = storage_failure(
                TimeoutError(
                    f"the database did not answer for {_FINISH_SECONDS:g} s; "
                    "see whether it can be reached, and whether another program keeps it locked"
                )
            )
        return cut_off


async def store_pause(run: Execution) -> None:
    """Store the run as paused and show that. Raises what the database says; then nothing has changed."""
    event, _ = _terminal(run, PAUSED)
    await _seal(run, event)


async def finish(run: Execution, outcome: Any, *, again: bool = False) -> None:
    """Number, commit and deliver the terminal event; a save that fails makes the run a failed one. (D6, D11)

    ``again``: it was cut off before, and begins anew.

    Raises:
        AnswersArrived: The outcome was PAUSED, and a question was answered meanwhile. Nothing was stored or shown.
        EndRefused: The run has not failed by itself, and steps that it has completed are to be compensated first. Nothing
            was stored or shown.
    """
    if run.cancelled and isinstance(outcome, Done):
        _refuse_if_due(run, outcome, Cancelled(run.cancel_reason))
    if outcome is not PAUSED:
        if run.cancelled and not isinstance(outcome, (Cancelled, Fenced)):
            outcome = Cancelled(run.cancel_reason)
        if not again:
            run.withdraw("")
    if isinstance(outcome, (Cancelled, BaseException)) and not again:
        left = unfinished(run.definition.plan, run.journal.records.values(), run.partials or {})
        run.output.step_results = [*run.output.step_results, *left]
    if run.recorder is None:
        await _finish(run, outcome)
        return
    async with run.recorder.turn:
        await _finish(run, outcome)


async def _finish(run: Execution, outcome: Any) -> None:
    salvage = lightened = False
    while True:
        event, error = _terminal(run, outcome)
        if salvage:
            _leave_out(run)
        try:
            await _seal(run, event)
        except AnswersArrived:
            raise
        except CancelRequested:
            cancelled = Cancelled(run.cancel_reason or CANCELLED_ELSEWHERE)
            _refuse_if_due(run, outcome, cancelled)
            outcome = cancelled
            run.withdraw("")
            continue
        except ConcurrentWrite as conflict:
            run.state_conflict(conflict.current, _ours(run, outcome))  # numbered before the end, which is tried again
            if await _has_turn_again(run, event):
                continue
            return
        except Fenced as lost:
            give_up_lost(run, lost)
            return
        except Exception as failure:
            _refuse_if_due(run, outcome, failure)
            if salvage and not lightened and _lighten(run):
                lightened = True  # there may be room for the end, though not for all that led to it
                continue
            if salvage:
                return _end_unsaved(run, event, outcome, failure)
            outcome = _failed_by(run, outcome, failure)
            salvage = True
            continue
        run.raised = error
        if isinstance(outcome, BaseException):
            _log(run, _unwrapped(outcome))
        return


def _refuse_if_due(run: Execution, outcome: Any, instead: Any) -> None:
    """EndRefused where a run that was to pause or complete ends as ``instead``, with steps to compensate."""
    if (outcome is PAUSED or isinstance(outcome, Done)) and run.undo is not None and run.undo.due():
        raise EndRefused(instead)


def _failed_by(run: Execution, outcome: Any, failure: Exception) -> Exception:
    """How a run ends whose end could not be stored as it is."""
    if outcome is PAUSED:
        run.withdraw("")  # nobody can answer what an ended run has asked
    return outcome if isinstance(outcome, Exception) else failure


async def _has_turn_again(run: Execution, event: WorkflowEvent) -> bool:
    """Wait for the turn of a refused end. False: the database is gone, so the run has ended unsaved."""
    assert run.recorder is not None
    try:
        await run.recorder.turn.refused()
    except StorageError as failure:
        _close_unsaved(run, event)
        run.raised = failure
        return False
    return True


def _end_unsaved(run: Execution, event: WorkflowEvent, outcome: Any, failure: Exception) -> None:
    """The failure itself cannot be stored either: the caller is told, the database keeps what it has."""
    _close_unsaved(run, event)
    run.raised = storage_failure(failure)
    if isinstance(outcome, BaseException) and isinstance(failure, type(outcome)):
        run.raised = outcome
    elif isinstance(outcome, BaseException):
        _log(run, _unwrapped(outcome))


def _ours(run: Execution, outcome: Any) -> dict[str, bytes]:
    """The session state that the refused end would have stored."""
    assert run.recorder is not None
    try:
        return run.recorder.committed if outcome is PAUSED else snapshot(run.state)
    except UnserializableError:
        return run.recorder.committed


def _leave_out(run: Execution) -> None:
    """The output could not be stored as it is: keep of it what was stored step by step."""
    output = run.output
    try:
        snapshot(run.state)
    except UnserializableError:
        output.session_state = None
    output.step_results = [step for step in output.step_results if _storable(step)]


def _lighten(run: Execution) -> bool:
    """What is left to store without what is large in it: a step whose outcome is not stored counts as not finished. False
    when nothing is."""
    output = run.output
    kept = [step for step in output.step_results if _is_light(step)]
    found = run.recorder is not None and run.recorder.lighten(_LIGHT)
    found = found or len(kept) < len(output.step_results)
    output.step_results = kept
    return found


def _is_light(step: StepOutput) -> bool:
    return len(codec.encode_plain(seal_output(step, step.step_name or ""), "")) <= _LIGHT


def _storable(step: StepOutput) -> bool:
    try:
        codec.encode_plain(seal_output(step, step.step_name or ""), "")
    except UnserializableError:
        return False
    return True


async def _seal(run: Execution, event: WorkflowEvent) -> None:
    """Commit the terminal event, then show it. Nobody sees an end that is not stored."""
    recorder = run.recorder
    output = run.output
    before = output.status
    stored = len(output.events) if output.events is not None else None
    seq = run.bus.seq
    try:
        run.bus.number(event)
        output.last_seq = event.seq
        output.updated_at = int(run.clock.time())
        if recorder is not None:
            await recorder.commit(output.status, _waits_for(run) if output.is_paused else frozenset())
    except BaseException:
        run.bus.seq, output.status = seq, before
        if output.events is not None and stored is not None:
            del output.events[stored:]
        if recorder is not None:
            recorder.retract(event.seq)
        raise
    run.bus.deliver(event)


def give_up_lost(run: Execution, error: Fenced) -> None:
    """Another process has the run: its caller is told so. The end is stored nowhere, so readers go to the log instead."""
    if run.request.background:  # nobody else may hear of it
        logger.warning("%s", error)
    event, _ = _terminal(run, error)
    run.happen(Happening.LEAVE)
    run.raised = error
    _close_unsaved(run, event)


def close_unsaved(run: Execution, error: Exception) -> None:
    """The run is over here, without an end that could be made: its caller gets ``error``, and the log has what is stored."""
    level = logging.WARNING if isinstance(error, StorageError) else logging.ERROR  # it may go away
    logger.log(level, "run %s could not be ended", run.id, exc_info=error)
    run.raised = error
    _close_unsaved(run, ev.WorkflowErrorEvent(**run.common(), error=error_text(error), error_type=error_name(error)))


def _waits_for(run: Execution) -> frozenset[str]:
    return frozenset(item.id for item in run.pauses.open)


def _close_unsaved(run: Execution, event: WorkflowEvent) -> None:
    run.end_is_lost = run.recorder is not None and run.recorder.created
    run.output.status = RunStatus.error
    run.output.last_seq = event.seq
    run.bus.deliver(event)


def _terminal(run: Execution, outcome: Any) -> tuple[WorkflowEvent, BaseException | None]:
    """The terminal event of ``outcome``, with the output filled to match it, and what the caller shall see raised."""
    output = run.output
    if run.kept is not None:
        run.kept.restore()
    output.session_state = _shown_state(run, outcome)
    output.metrics = _metrics(run)
    if run.has_questions:
        _show_questions(run)
    if run.undo is not None:
        output.compensations = run.undo.shown_results()
    if outcome is PAUSED:
        return _paused(run), None
    left = "; ".join(
        f"{item.path!r} was not compensated: {item.error_type}: {item.error}" for item in output.not_undone
    )
    if isinstance(outcome, Cancelled):
        output.content = outcome.content or f"Run {run.id} was cancelled"
        output.error, output.error_type = _decided_error(run)
        if left:
            output.content = f"{output.content}; {left}"
            output.error = f"{output.error}; {left}" if output.error else left
            output.error_type = output.error_type or "CompensationFailed"
        return ev.WorkflowCancelledEvent(**run.common(), reason=outcome.reason, content=output.content), None
    if isinstance(outcome, BaseException):
        error = _unwrapped(outcome)
        shorten(error)
        output.error, output.error_type = error_text(error), error_name(error)
        if left:
            output.error = f"{output.error}; {left}"
            note_not_undone(error, output.not_undone)
        output.content = f"Workflow execution failed: {output.error}"
        _attach(error, output)
        return ev.WorkflowErrorEvent(**run.common(), error=output.error, error_type=output.error_type), error
    assert isinstance(outcome, Done)
    output.content = outcome.content
    output.content_type = content_type(outcome.content)
    return (
        ev.WorkflowCompletedEvent(
            **run.common(),
            content=outcome.content,
            content_type=output.content_type,
            step_results=output.step_results,
            step_executor_runs=output.step_executor_runs,
            metadata=run.request.input.metadata,
            metrics=output.metrics,
        ),
        None,
    )


def _decided_error(run: Execution) -> tuple[str | None, str | None]:
    """The error that a run had which was cancelled while it was compensated for that."""
    record = run.journal.get(GIVEN_UP)
    about: dict[str, Any] = record.value if record is not None else {}
    return about.get("error"), about.get("error_type")


def _shown_state(run: Execution, outcome: Any) -> dict[str, Any]:
    """At an end the state as it is; of a paused run without what a step that waits has changed, which is not committed."""
    if outcome is not PAUSED or run.recorder is None:
        return run.state
    return {key: codec.decode_value(value) for key, value in run.recorder.committed.items()}


def _show_questions(run: Execution) -> None:
    """All questions of the run, answered and withdrawn ones included."""
    output = run.output
    requirements = run.pauses.by_id.values()
    output.step_requirements = [item for item in requirements if isinstance(item, StepRequirement)] or None
    output.error_requirements = [item for item in requirements if isinstance(item, ErrorRequirement)] or None


def _paused(run: Execution) -> WorkflowEvent:
    output = run.output
    waiting = run.pauses.open
    # None is open where a run that was answered could not get its turn, and pauses again.
    first = waiting[0] if waiting else list(run.pauses.by_id.values())[-1]
    output.paused_step_index, output.paused_step_name = first.step_index, first.step_name
    output.pause_kind = {"executor": "executor", "error": None}.get(first.kind, "step")
    output.content = f"Run {run.id} is paused at step '{first.step_name}'"
    return ev.WorkflowPausedEvent(
        **run.common(),
        paused_step_index=first.step_index,
        paused_step_name=first.step_name,
        pause_kind=output.pause_kind,
        step_requirements=[item for item in waiting if isinstance(item, StepRequirement)] or None,
        error_requirements=[item for item in waiting if isinstance(item, ErrorRequirement)] or None,
        step_results=output.step_results[run.results_before :],
        content=output.content,
        metadata=run.request.input.metadata,
    )


def _metrics(run: Execution) -> WorkflowMetrics:
    metrics = WorkflowMetrics(duration=max(0.0, run.clock.time() - run.created_at))
    for top in run.output.step_results:
        for step in top.walk() if top.steps else (top,):
            if step.metrics is None or step.steps or step.step_name is None:
                continue
            known = metrics.steps.get(step.step_name)
            if known is None or known.metrics is None:
                metrics.steps[step.step_name] = StepMetrics(
                    step_name=step.step_name,
                    executor_type=step.executor_type,
                    executor_name=step.executor_name,
                    metrics=step.metrics,
                )
            else:
                known.metrics = known.metrics + step.metrics
    return metrics


def _log(run: Execution, error: BaseException) -> None:
    """The failure of the run, once, with the place where it failed."""
    first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
    path = place_of(first, run.id) or ""
    # A session that is busy, a database that is away: not the workflow's own failure, and it may go away.
    may_go_away = isinstance(error, (StorageError, SessionBusy)) and not isinstance(error, UnserializableError)
    level = logging.WARNING if may_go_away else logging.ERROR
    log_failure(run, error, path, f"step {path!r} failed" if path else "failed", level)


def _unwrapped(error: BaseException) -> BaseException:
    """The one failure inside a group of one; several failing branches stay a group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _attach(error: BaseException, output: WorkflowRunOutput) -> None:
    raised: Any = getattr(error, "stands_for", error)
    try:
        raised.run_output = output
    except Exception:  # of a class that refuses attributes: the output is in the database and in the stream
        logger.debug("run %s: its output could not be attached to a %s", output.run_id, error_name(error))


def copy_output(output: WorkflowRunOutput) -> WorkflowRunOutput:
    """A copy that the run will not change any more."""
    copy: WorkflowRunOutput = msgspec.structs.replace(output, step_results=list(output.step_results))
    return copy
