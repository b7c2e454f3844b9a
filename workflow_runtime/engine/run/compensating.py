"""Compensation: the effects of completed steps are undone, the last step first. (D7, D9)

Whatever gives a part of a run up, or the run itself, writes that into the journal first (``Frame.give_up``,
``compensated``). From then on no step of it runs again: a recovery only calls the compensations that have no outcome in the
journal yet. Each is called in a shield, so that a cancel of the run does not cut it off; only a process that lets go of the
run does.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import anyio.lowlevel
import anyio.to_thread

from ...core.binding import COROUTINE, Binding
from ...core.journal import GIVEN_UP, Record
from ...core.life import REFUSE, Happening, Life
from ...core.state import Frozen
from ...model import events as ev
from ...model.compensation import Compensation
from ...model.enums import RunStatus
from ...model.errors import EngineError, Fenced, RunPutAside, StorageError, UnserializableError
from ...model.step_io import StepOutput, WorkflowExecutionInput
from ...model.text import error_name, error_text
from ...steps.retrying import pause_of, retries
from ...steps.signals import Rejected, Suspended
from ..bus.failures import in_thread, log_failure, shorten, surfaced, traceback_text
from ..bus.said import Said
from ..loop.cleanup import CleanedUp
from ..loop.limits import limited
from ..loop.loops import whole
from ..loop.step_frames import STEPS
from .context import RunContext
from .ending import Cancelled, Done
from .frame import Frame, root_frame
from .undo import Due, Undo, recalled_error, result_of, static_path
from .walk import walk_workflow

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["CompensationContext", "compensate", "compensate_ordered", "compensated", "decided_outcome"]


logger = logging.getLogger("workflow_runtime")


class CompensationContext(RunContext):
    """The ``run_context`` of a compensation: that of its step, without what waits. Its ``path`` and ``idempotency_key`` are
    the compensation's own."""

    __slots__ = ()

    @property
    def cancelled(self) -> bool:
        """False: the cancel of the run does not concern it."""
        return False

    async def ask(
        self, question: str, schema: Any = None, *, timeout: float | None = None, on_timeout: str = ""
    ) -> Any:
        self._refuse("ask")

    async def receive(self, topic: str, schema: Any = None, *, timeout: float | None = None) -> Any:
        self._refuse("receive")

    async def inbox(self, topic: str) -> list[Any]:
        self._refuse("inbox")

    async def sleep(self, seconds: float) -> None:
        self._refuse("sleep")

    async def step_output(self, name: str, function: Any = None, **options: Any) -> StepOutput:
        self._refuse("step")

    def _refuse(self, name: str) -> NoReturn:
        raise EngineError(
            f"run_context.{name}() does not work in a compensation ({self.path}): the run is ending and does not wait for"
            " anything; give Compensation a retry= to try again later"
        )


# -- the run as a whole ------------------------------------------------------------------------------------------------


async def compensated(run: Execution, outcome: Any) -> Any:
    """How the run ends, once its steps are compensated: if it failed or was cancelled, and has completed steps that can be.

    A cancel that comes meanwhile is kept: the run ends as cancelled then. What cancels the task comes with the next await.

    Raises:
        StorageError: The database could not be reached. Whoever recovers the run goes on with it.
    """
    if run.cancelled and not isinstance(outcome, (Cancelled, Fenced)):
        outcome = Cancelled(run.cancel_reason)
    undo = run.undo
    if undo is None or isinstance(outcome, (Done, Fenced, RunPutAside)):
        return outcome
    decided = run.journal.get(GIVEN_UP)
    if decided is None and not undo.due():
        return outcome
    if run.happen(Happening.COMPENSATE) is REFUSE:
        return outcome
    run.canceller.ended()  # it takes as long as it takes, and is not late
    outcome = await whole(partial(_compensate_run, run, undo, outcome, decided))
    return Cancelled(run.cancel_reason) if run.cancelled and isinstance(outcome, Exception) else outcome


async def _compensate_run(run: Execution, undo: Undo, outcome: Any, decided: Record | None) -> Any:
    frame = root_frame(run)
    due = undo.due()
    if decided is None:
        try:
            run.withdraw("")
            _decide(run, frame, outcome, [item.path for item in due])
            await frame.commit()
        except Fenced as lost:
            return lost
        except Exception as error:
            if run.recorder is not None and run.recorder.created and isinstance(error, StorageError):
                raise  # it may be stored; if it is not, the recovered run decides again
            # Nothing of the run is stored, and nothing is undone that nobody would know of.
            logger.error(
                "run %s: its steps are not compensated, since that could not be stored", run.id, exc_info=error
            )
            run.journal.records.pop(GIVEN_UP, None)
            why = f"it was not called: that the run is given up could not be stored: {error_text(error)}"
            for item in due:
                undo.missed(item, _name(run, undo, item), why, error_name(error))
            return outcome
    try:
        if run.definition.plan.dynamic and any(undo.node_at(run.definition.plan, item.path) is None for item in due):
            await _replay_function(run, undo)
        await compensate(frame, due)
    except Fenced as lost:
        return lost
    return outcome


async def _replay_function(run: Execution, undo: Undo) -> None:
    """Call the function that is the workflow for the steps which it names: a process that takes a run over knows their
    compensations from nowhere else. The steps return their recorded outputs; at the first one without, it is left."""
    output = run.output
    known = (output.failed_steps, output.images, output.videos, output.audio, output.files)
    run.journal.replaying = undo.is_replaying = True
    try:
        await walk_workflow(root_frame(run), run.definition, run.request.input, [])
    except (Suspended, Rejected):
        pass
    except Exception as error:
        logger.debug("run %s: its function failed while it was looked for its steps", run.id, exc_info=error)
    finally:
        undo.is_replaying = False
        output.failed_steps, output.images, output.videos, output.audio, output.files = known


def _decide(run: Execution, frame: Frame, outcome: Any, paths: list[str]) -> None:
    """Put into the journal how the run ends, and publish that its steps are compensated before."""
    about: dict[str, Any]
    if isinstance(outcome, Cancelled):
        about = {"status": "CANCELLED", "reason": outcome.reason, "content": outcome.content}
        fields: dict[str, Any] = {"reason": outcome.reason}
    else:
        failed = [
            {"name": step.step_name, "id": step.step_id, "kind": step.step_type, "error": step.error, "path": step.path}
            for step in run.output.failed_steps or ()
        ]
        while isinstance(outcome, BaseExceptionGroup) and len(outcome.exceptions) == 1:
            outcome = outcome.exceptions[0]
        fields = {"error": error_text(outcome), "error_type": error_name(outcome)}
        about = {"status": "ERROR", **fields, "failed": failed}
    frame.remember(GIVEN_UP, about, "given_up")
    run.publish(ev.WorkflowCompensatingEvent, outcome=about["status"], steps=paths, **fields)


def decided_outcome(run: Execution) -> Any:
    """How the run ends that was taken over while its steps were compensated; None if that is not decided."""
    record = run.journal.get(GIVEN_UP)
    if record is None:
        return None
    about: dict[str, Any] = record.value
    _recall_results(run)
    if about["status"] == RunStatus.cancelled:
        return Cancelled(about["reason"], about["content"])
    run.output.failed_steps = [
        StepOutput(None, step["name"], step["id"], step["kind"], success=False, error=step["error"], path=step["path"])
        for step in about["failed"]
    ] or None
    return recalled_error(about)


async def compensate_ordered(run: Execution, frame: Frame) -> None:
    """Go on where a process died that compensated a step which somebody had ended alone: nobody walks into that step."""
    undo = run.undo
    if undo is None:
        return
    ordered = [
        record.path.removesuffix(GIVEN_UP)
        for record in run.journal.records.values()
        if record.path.endswith(GIVEN_UP) and record.path != GIVEN_UP and record.value.get("then") == "ordered"
    ]
    due = undo.due(ordered) if ordered else []
    if due:
        await compensate(frame, due)


def _recall_results(run: Execution) -> None:
    """The outputs of the top-level steps that had ended, which nobody walks to any more."""
    done = [
        record
        for record in run.journal.records.values()
        if record.output is not None
        and record.finished_at is not None
        and "/" not in record.path
        and "!" not in record.path
        and record.output.step_type != "Iteration"
    ]
    run.output.step_results = [
        record.output for record in sorted(done, key=lambda item: item.position) if record.output
    ]


# -- one after the other -----------------------------------------------------------------------------------------------


async def compensate(outer: Frame, due: list[Due]) -> None:
    """Call these compensations, one after the other, with the session state of ``outer``; each outcome is stored before the
    next begins."""
    run = outer.run
    undo = run.undo
    assert undo is not None
    for item in due:
        if item.key in undo.results:  # by another part that was given up
            continue
        if outer.is_watched:
            await outer.watched(item.key)
        await run.going_on()
        with anyio.CancelScope(shield=True) as scope:
            undo.scopes.add(scope)
            try:
                await _compensate_one(outer, undo, item)
            finally:
                undo.scopes.discard(scope)
        if run.life is Life.GONE:
            return


async def _compensate_one(outer: Frame, undo: Undo, due: Due) -> None:
    run = outer.run
    node: Any = undo.node_at(run.definition.plan, due.path)
    found: tuple[Compensation, Binding] | None = None
    if node is not None:
        found = node.compensate_running if due.cut_off else node.compensate
    if node is None or found is None:
        why = "it was not called: this process does not know the compensation of the step"
        undo.missed(due, _name(run, undo, due), why, "LookupError")
        return
    frame = _frame_at(outer, due.path)
    before = _state_of(frame)
    if before is None:  # what cannot be stored does not count; what the compensations change does
        frame.drop_changes(due.key)
        before = _state_of(frame)
    try:
        attempts, error = await _tried(frame, node, due, found)
    finally:
        if run.before is not None:
            run.before.pop(due.key, None)
    changed: dict[str, Frozen | None] = {}
    about: dict[str, Any] = {"step": node.name, "cut_off": due.cut_off, "attempts": attempts}
    if error is not None:
        shorten(error)
        text, kind = error_text(error), error_name(error)
        about |= {"error": text, "error_type": kind, "traceback": traceback_text(error)}
        log_failure(run, error, due.path, f"the compensation of step {due.path!r} failed", logging.ERROR)
    elif before is not None:
        after = _state_of(frame) or {}
        changed = {key: now for key, now in after.items() if key not in before or before[key] != now}
    await run.going_on()
    frame.remember(due.key, about, "compensation", changed)
    if changed:
        frame.take_over(changed, due.key)
    record = run.journal.get(due.key)
    assert record is not None
    undo.results[due.key] = result_of(record)
    if error is None:
        frame.emit(ev.StepCompensatedEvent, node, due.path, attempt=attempts, cut_off=due.cut_off)
    else:
        _tell_failure(frame, node, due, error, attempts, None)
    await frame.commit()


async def _tried(
    frame: Frame, node: Any, due: Due, found: tuple[Compensation, Binding]
) -> tuple[int, Exception | None]:
    """Call the compensation as often as its retry policy says: the number of attempts, and what the last one raised."""
    retry = found[0].retry
    with suppress(UnserializableError):
        frame.keep_state(due.key)
    attempt = 1
    while True:
        try:
            await _call(frame, node, due, found, attempt)
        except Exception as error:
            if isinstance(error, StorageError) and not isinstance(error, UnserializableError):
                raise  # the database is away, or has the run no more: that says nothing of the compensation
            frame.restore(due.key)  # what an attempt that failed has changed of the session state does not count
            if retry is None or not retries(retry, error, attempt):
                return attempt, error
            delay = pause_of(retry, error, attempt, frame.random())
            _tell_failure(frame, node, due, error, attempt, delay)
        else:
            return attempt, None
        await frame.run.clock.sleep(delay)
        attempt += 1


def _tell_failure(frame: Frame, node: Any, due: Due, error: Exception, attempt: int, delay: float | None) -> None:
    frame.emit(
        ev.StepCompensationFailedEvent,
        node,
        due.path,
        attempt=attempt,
        cut_off=due.cut_off,
        error=error_text(error),
        error_type=error_name(error),
        delay=delay,
    )


async def _call(frame: Frame, node: Any, due: Due, found: tuple[Compensation, Binding], attempt: int) -> None:
    compensation, binding = found
    work = _called(frame, node, due, binding, attempt)
    limits = [
        seconds for seconds in (compensation.timeout, compensation.retry and compensation.retry.timeout) if seconds
    ]
    if not limits:
        await work
        return
    seconds = min(limits)
    message = f"{due.path}: its compensation took longer than {seconds:g} s"
    await limited(frame.run, seconds, due.key, work, message, attempt=True)


async def _called(frame: Frame, node: Any, due: Due, binding: Binding, attempt: int) -> None:
    run = frame.run
    supplied = _supplied(frame, node, due, binding, attempt)
    args = (supplied[binding.first],) if binding.first is not None else ()
    kwargs = {name: supplied[name] for name in binding.names}
    try:
        if binding.kind == COROUTINE:
            found = await CleanedUp(binding.function(*args, **kwargs), run.id, due.key)
        else:
            call = in_thread(due.key, partial(binding.function, *args, **kwargs))
            found = await anyio.to_thread.run_sync(call)
            await anyio.lowlevel.checkpoint_if_cancelled()
        if inspect.isawaitable(found):
            await CleanedUp(found, run.id, due.key)
    except BaseException as error:
        failure = surfaced(error, due.key, "compensation")
        if failure is None:
            raise
        raise failure from error
    finally:
        run.leave_parts(due.key)


def _supplied(frame: Frame, node: Any, due: Due, binding: Binding, attempt: int) -> dict[str, Any]:
    run = frame.run
    given = run.request.input
    values: dict[str, Callable[[], Any]] = {
        "step_output": lambda: _output_of(run, node, due),
        "run_context": lambda: CompensationContext(
            frame, node, due.key, attempt, Said(due.key, run.journal, noting=False)
        ),
        "execution_input": lambda: WorkflowExecutionInput(
            given.value, given.additional_data, given.images, given.videos, given.audio, given.files
        ),
        "session_state": lambda: frame.state,
        "workflow": lambda: frame.definition.workflow,
        "additional_data": lambda: given.additional_data,
        "dependencies": lambda: run.dependencies,
    }
    return {name: values[name]() for name in (binding.first, *binding.names) if name is not None}


def _output_of(run: Execution, node: Any, due: Due) -> StepOutput:
    if due.cut_off:
        partial_output = (run.partials or {}).get(due.path)
        return partial_output or node.output(None, success=False, error="Cancelled during execution")
    record = run.journal.get(due.path)
    assert record is not None
    assert record.output is not None
    return run.kept.as_kept(record.output) if run.kept is not None else record.output


def _name(run: Execution, undo: Undo, due: Due) -> str:
    node = undo.node_at(run.definition.plan, due.path)
    return node.name if node is not None else due.path.rpartition("/")[2].partition(".")[2]


def _frame_at(outer: Frame, path: str) -> Frame:
    """The place of the step at ``path``, with the session state of ``outer``."""
    run = outer.run
    frame = root_frame(run)
    place = ""
    for part in path.split("/")[:-1]:
        place = f"{place}/{part}" if place else part
        node: Any = run.definition.plan.static.get(static_path(place))
        if getattr(node, "executor_type", None) == "workflow":
            frame = frame.nested(place, node.declared.workflow.definition())
        else:
            frame = frame.below(place, place.partition("#")[0] if "#" in part else None)
    return Frame(run, frame.definition, frame.prefix, frame.parent, frame.depth, outer.branch, outer.mixed)


def _state_of(frame: Frame) -> dict[str, Frozen | None] | None:
    try:
        return frame.working()
    except UnserializableError:  # by what the step that failed has put there
        return None


STEPS.add(_called.__code__)
