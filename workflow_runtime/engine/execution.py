"""One run while it lives, and ``execute_run``: the only place that says what a run does. (D1)"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import msgspec

from ..core.journal import Journal
from ..core.lifecycle import next_status
from ..core.state import snapshot
from ..core.unfinished import unfinished
from ..model import codec
from ..model import events as ev
from ..model.enums import RunStatus
from ..model.errors import ConcurrentWrite, RunCancelledError, StepTimeoutError
from ..model.events import Event, WorkflowEvent
from ..model.metrics import COUNTERS, StepMetrics, WorkflowMetrics
from ..model.run import WorkflowRunOutput
from ..model.session import WorkflowSession
from ..model.step_io import StepOutput
from ..steps.signals import Rejected, Suspended
from ..steps.step import content_type
from ..storage.base import Fence
from .bus import Buffer, Bus
from .clock import new_id
from .frame import Frame, root_frame
from .heartbeat import unwatch, watch
from .loops import Loop, current_loop, spawn
from .parking import Parking
from .pauses import Pauses
from .recorder import Recorder, storage_failure
from .request import RunRequest

if TYPE_CHECKING:
    from .sessions import Turn

__all__ = ["OWNER", "Execution", "execute_run", "refuse_run"]

logger = logging.getLogger("workflow_runtime")

OWNER = f"{socket.gethostname()}:{os.getpid()}:{new_id()[-8:]}"
_FINISH_SECONDS = 30.0


class Execution:
    """The state of a run under way. Made by ``prepare``, walked by ``execute_run``, gone when nobody reads it any more."""

    __slots__ = (
        "__weakref__",
        "_ended",
        "_unparked",
        "attempts",
        "bus",
        "cancel_reason",
        "cancelled",
        "clock",
        "created_at",
        "definition",
        "ended",
        "epoch",
        "evicted",
        "failure",
        "finishing",
        "forked_from",
        "id",
        "journal",
        "last_output",
        "lease_renewed",
        "loop",
        "loop_key",
        "opening",
        "output",
        "owner",
        "parked",
        "parking",
        "partials",
        "pauses",
        "raised",
        "recorder",
        "request",
        "resumed",
        "scope",
        "session",
        "session_metadata",
        "state",
        "state_base",
        "streams",
        "turn",
        "waiting",
        "waking",
        "workflow_data",
    )

    def __init__(
        self,
        request: RunRequest,
        *,
        output: WorkflowRunOutput,
        state: dict[str, Any],
        session: WorkflowSession,
        journal: Journal,
        pauses: Pauses,
        seq: int = 0,
        epoch: int = 1,
        created_at: float,
        state_base: dict[str, bytes] | None = None,
        created: bool = False,
    ) -> None:
        self.request = request
        self.definition = request.definition
        self.id = request.run_id
        self.clock = request.definition.clock
        self.output = output
        self.last_output = output
        self.state = state
        self.session = session
        self.journal = journal
        self.pauses = pauses
        self.epoch = epoch
        self.created_at = created_at
        self.state_base = state_base or {}
        self.owner = OWNER
        self.bus = Bus(seq)
        self.loop: Loop = current_loop()
        self.loop_key = threading.get_ident()
        self.scope = anyio.CancelScope()
        self.waiting: anyio.CancelScope | None = None  # for its turn in the session
        self.cancel_reason: str | None = None
        self.cancelled = False
        self.failure: BaseException | None = None
        self.raised: BaseException | None = None
        self.ended = False
        self.resumed = created
        self.streams: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self.partials: dict[str, StepOutput] = {}
        self.session_metadata: bytes | None = None
        self.workflow_data: bytes | None = None
        self._ended: anyio.Event | None = None
        self._unparked: anyio.Event | None = None
        self.parking = Parking(self)
        self.parked = False
        self.evicted = False
        self.finishing = False
        self.opening: Callable[[], None] | None = None
        self.forked_from: str | None = None
        self.lease_renewed = created_at
        self.waking: list[str] | None = None
        self.turn: Turn | None = None
        if request.store_events and output.events is None:
            output.events = []
        self.recorder: Recorder | None = None
        if self.definition.db is not None:
            self.recorder = Recorder(
                self,
                self.definition.db,
                keep_log=request.store_events or request.keep_log,
                sieve=request.skip,
                created=created,
            )
            self.bus.strict.append(self.recorder.accept)
            journal.changed = {}
        self.bus.strict.append(self._project)
        self.bus.on_broken = self._observer_broke

    # -- the projector: events folded into the output ------------------------------------------------------------------

    def _project(self, event: Event) -> None:
        output = self.output
        if event.nested_depth == 0:
            output.status = next_status(output.status, event.event)
        else:
            next_status(output.status, "")
        skip = self.request.skip
        if output.events is not None and self.request.store_events and (skip is None or skip(event)):
            output.events.append(event)

    def _observer_broke(self, observer: Any, error: Exception) -> None:
        logger.error("run %s: the observer %r failed and was detached", self.id, observer, exc_info=error)

    # -- publishing ----------------------------------------------------------------------------------------------------

    def common(self) -> dict[str, Any]:
        """The fields that every event of this run carries, with the next number."""
        return {
            "seq": self.bus.seq + 1,
            "epoch": self.epoch,
            "created_at": int(self.clock.time()),
            "run_id": self.id,
            "session_id": self.request.session_id,
            "workflow_id": self.definition.id,
            "workflow_name": self.definition.name,
        }

    def publish(self, kind: type[WorkflowEvent], **fields: Any) -> None:
        """Number and publish an event of the run itself."""
        self.bus.publish(kind(**self.common(), **fields))

    # -- control -------------------------------------------------------------------------------------------------------

    def cancel(self, reason: str | None = None) -> bool:
        """End the run as cancelled. Call on the run's own loop; False when it has ended already."""
        if self.ended:
            return False
        self.cancelled = True
        self.cancel_reason = self.cancel_reason or reason
        if self.waiting is not None:
            self.waiting.cancel()
        self.scope.cancel()
        return True

    def fail(self, error: BaseException) -> None:
        """End the run with ``error``, which came from beside the walk (a refused save)."""
        if not self.ended and self.failure is None:
            self.failure = error
            self.scope.cancel()

    def pause_parked(self) -> None:
        """Every strand waits for an answer inside a step: pause now, keep the task. Called by the last to stop."""
        self.parked = True
        spawn(self._pause_parked, f"pause {self.id}")

    async def _pause_parked(self) -> None:
        if self.ended or self.cancelled or self.parking.strands.busy > 0:
            self.parked = False
            return
        await finish(self, PAUSED)
        self.parked = self.output.is_paused
        if not self.parked:  # it could not be stored as paused: it is a failed run now
            self.evict()
        self.end()
        unwatch(self)
        if self.turn is not None:
            await self.turn.give_up()
        if self.parked and self.definition.db is not None:
            await self._evict_later(self.output.last_seq)

    async def _evict_later(self, seq: int) -> None:
        """Let go of the coroutines of a pause that nobody ended within ``evict_after`` seconds."""
        self._unparked = unparked = anyio.Event()
        with anyio.move_on_after(self.definition.evict_after):
            await unparked.wait()
        if self.parked and self.output.last_seq == seq:
            self.evict()

    def evict(self) -> None:
        """Let the task of a paused run go, without an event: the database, or another process, has the run."""
        self.evicted = True
        self.parked = False
        self._leave_park()
        self.scope.cancel()

    def _leave_park(self) -> None:
        if self._unparked is not None:
            self._unparked.set()

    async def release(self) -> None:
        """Stop working on the run without ending it, and give its lease up: another process goes on with it at once."""
        self.evict()
        await self.wait_ended()
        db = self.definition.db
        if db is not None and self.recorder is not None and self.recorder.created:
            fence = Fence(run_id=self.id, attempt=self.epoch, owner=self.owner)
            await db.renew(fence, lease_until=self.clock.time() - 1)

    def reopen(self, answered: list[str]) -> None:
        """A parked run begins a new continuation, with its own end; ``answered`` are the questions to wake."""
        self.ended = False
        self.parked = self.finishing = False
        self._leave_park()
        if self.recorder is not None:
            self.recorder.reopen()
        self.raised = None
        self._ended = None
        self.output.status = RunStatus.running
        self.waking = answered

    async def go_on(self, answered: list[str]) -> None:
        """Wake what was answered; with questions still open the run stays paused."""
        if self.turn is not None and not self.turn.held:
            await self.turn.take()
        if self.recorder is not None:
            watch(self)
        if self.cancel_reason is not None:
            self.cancel(self.cancel_reason)
        elif self.pauses.open:
            self.pause_parked()
        else:
            self.parking.wake(answered)

    def from_anywhere(self, buffer: Buffer, reason: str | None) -> None:
        """A reader is gone: detach it and, with a reason, cancel. From any thread, also from a finaliser."""

        def leave() -> None:
            self.bus.detach(buffer)
            if reason is not None:
                self.cancel(reason)

        self.loop.call(leave)

    async def wait_ended(self) -> None:
        """Until the terminal event is committed and delivered. On the run's loop."""
        if not self.ended:
            if self._ended is None:
                self._ended = anyio.Event()
            await self._ended.wait()

    async def result(self) -> WorkflowRunOutput:
        """The output once the run has ended; raises what it failed with."""
        await self.wait_ended()
        if self.raised is not None:
            raise self.raised
        return self.last_output

    def end(self) -> None:
        self.ended = True
        self.output.journal = self.journal if self.output.is_paused else None
        self.last_output = copy_output(self.output) if self.parked else self.output
        self.bus.close(self.raised if isinstance(self.raised, Exception) else None)
        if self._ended is not None:
            self._ended.set()

    # -- session -------------------------------------------------------------------------------------------------------

    def state_conflict(self, current: dict[str, bytes | None], ours: dict[str, bytes]) -> None:
        """Another run stored other values under our keys: say so, and take theirs as the base that ours replaces."""
        for key, stored in current.items():
            self.publish(
                ev.SessionStateConflictEvent,
                key=key,
                ours=codec.decode_value(ours[key]) if key in ours else None,
                theirs=codec.decode_value(stored) if stored is not None else None,
            )
            if stored is None:
                self.state_base.pop(key, None)
            else:
                self.state_base[key] = stored

    def session_counters(self) -> dict[str, float]:
        """What this run adds to its session's metrics."""
        total = self.output.metrics.total() if self.output.metrics else None
        counters: dict[str, float] = {"runs": 1}
        if total is not None:
            counters.update({name: value for name in COUNTERS if (value := getattr(total, name))})
            if total.duration:
                counters["duration"] = total.duration
            if total.cost:
                counters["cost"] = total.cost
        return counters


async def execute_run(run: Execution) -> None:
    """Walk the plan to its end, its pause, its failure or its cancellation, and record which.

    Raises only what cancelled it from outside (after the end is recorded); everything else is in ``run.raised``.
    """
    cancelled_outside: BaseException | None = None
    outcome: Any = None
    try:
        with run.scope:
            try:
                outcome = await _walk(run)
            except Suspended:
                outcome = PAUSED
            except Rejected as rejected:
                by_person = run.cancel_reason is None
                outcome = _Cancelled(rejected.reason, f"Workflow cancelled: {rejected.reason}" if by_person else None)
            except Exception as error:
                outcome = error
        if run.scope.cancelled_caught:
            outcome = run.failure or _Cancelled(run.cancel_reason)
        if run.evicted:
            run.end()
            return
    except BaseException as error:  # the caller's task was cancelled, or the interpreter is leaving
        cancelled_outside = error
        outcome = run.failure or _Cancelled(run.cancel_reason or "the caller was cancelled")
    with anyio.CancelScope(shield=True), anyio.move_on_after(_FINISH_SECONDS) as limit:
        await finish(run, outcome)
    if limit.cancelled_caught:
        run.raised = storage_failure(TimeoutError(f"the database did not answer for {_FINISH_SECONDS:g} s"))
    run.end()
    if cancelled_outside is not None:
        raise cancelled_outside


class _Cancelled:
    def __init__(self, reason: str | None, content: str | None = None) -> None:
        self.reason = reason
        self.content = content


PAUSED = object()


async def refuse_run(run: Execution, error: Exception) -> None:
    """The run could not get its turn. Nothing is stored, but for a background run, whose caller was told its id."""
    if run.recorder is not None and run.recorder.created:
        await finish(run, error)
    else:
        run.raised, run.output.status = error, RunStatus.error
    run.end()


async def _walk(run: Execution) -> Any:
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
    limit = run.definition.run_timeout
    if limit is None:
        return await _passes(run, frame)
    with anyio.move_on_after(limit) as scope:
        return await _passes(run, frame)
    if scope.cancelled_caught:
        raise StepTimeoutError(f"the run took longer than its run_timeout of {limit:g} s", path="", timeout=limit)
    return None


async def _passes(run: Execution, frame: Frame) -> Any:
    """Walk until nothing is left, or until a question is open. A branch that stopped at a gate while another was parked in
    a step may find its answer given when the other has gone on: then the tree is walked once more, over its journal."""
    from .walk import walk_workflow

    while True:
        try:
            return await walk_workflow(frame, run.definition, run.request.input, run.output.step_results)
        except Suspended:
            if run.pauses.open:
                raise
            run.journal.replaying = frame.replaying = True


async def finish(run: Execution, outcome: Any) -> None:
    """Number, commit and deliver the terminal event; a save that fails makes the run a failed one. (D6, D11)"""
    run.finishing = True
    if isinstance(outcome, (_Cancelled, BaseException)):
        left = unfinished(run.definition.plan, run.journal.records.values(), run.partials)
        run.output.step_results = [*run.output.step_results, *left]
    for attempt in range(10):
        event, error = _terminal(run, outcome)
        try:
            await _seal(run, event)
        except ConcurrentWrite as conflict:
            run.state_conflict(conflict.current, snapshot(run.state))  # numbered before the end, which is tried again
            continue
        except Exception as failure:
            if attempt and isinstance(outcome, Exception):
                # The failure itself cannot be stored either: the caller is told, the database keeps what it has.
                _close_unsaved(run, event)
                run.raised = storage_failure(failure) if not isinstance(failure, type(outcome)) else outcome
                return
            outcome = failure
            continue
        run.raised = error
        return
    run.raised = storage_failure(RuntimeError("the session was written by others all the time"))
    _close_unsaved(run, event)  # pyright: ignore[reportPossiblyUnboundVariable]  # the loop ran


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
            await recorder.commit(output.status)
    except BaseException:
        run.bus.seq, output.status = seq, before
        if output.events is not None and stored is not None:
            del output.events[stored:]
        if recorder is not None:
            recorder.retract(event.seq)
        raise
    run.bus.deliver(event)


def _close_unsaved(run: Execution, event: WorkflowEvent) -> None:
    run.output.status = RunStatus.error
    run.output.last_seq = event.seq
    run.bus.deliver(event)


def _terminal(run: Execution, outcome: Any) -> tuple[WorkflowEvent, BaseException | None]:
    """The terminal event of ``outcome``, with the output filled to match it, and what the caller shall see raised."""
    output = run.output
    output.session_state = run.state
    output.metrics = _metrics(run)
    if outcome is PAUSED:
        return _paused(run), None
    if isinstance(outcome, _Cancelled):
        output.content = outcome.content or f"Run {run.id} was cancelled"
        return ev.WorkflowCancelledEvent(**run.common(), reason=outcome.reason, content=output.content), None
    if isinstance(outcome, BaseException):
        error = _unwrapped(outcome)
        output.error, output.error_type = str(error), type(error).__name__
        output.content = f"Workflow execution failed: {error}"
        _attach(error, output)
        return (
            ev.WorkflowErrorEvent(**run.common(), error=str(error), error_type=type(error).__name__),
            error,
        )
    output.content = outcome
    output.content_type = content_type(outcome)
    return (
        ev.WorkflowCompletedEvent(
            **run.common(),
            content=outcome,
            content_type=output.content_type,
            step_results=output.step_results,
            metadata=run.request.input.metadata,
            metrics=output.metrics,
        ),
        None,
    )


def _paused(run: Execution) -> WorkflowEvent:
    output = run.output
    requirements = list(run.pauses.by_id.values())
    output.step_requirements = [item for item in requirements if item.kind != "error"] or None  # type: ignore[misc]  # told apart by kind
    output.error_requirements = [item for item in requirements if item.kind == "error"] or None  # type: ignore[misc]  # told apart by kind
    first = run.pauses.open[0]
    output.paused_step_index, output.paused_step_name = first.step_index, first.step_name
    output.pause_kind = {"executor": "executor", "error": None}.get(first.kind, "step")
    output.content = f"Run {run.id} is paused at step '{first.step_name}'"
    return ev.WorkflowPausedEvent(
        **run.common(),
        paused_step_index=first.step_index,
        paused_step_name=first.step_name,
        pause_kind=output.pause_kind,
        step_requirements=output.step_requirements,
        error_requirements=output.error_requirements,
        step_results=output.step_results,
        content=output.content,
        metadata=run.request.input.metadata,
    )


def _metrics(run: Execution) -> WorkflowMetrics:
    metrics = WorkflowMetrics(duration=max(0.0, run.clock.time() - run.created_at))
    for top in run.output.step_results:
        for step in top.walk():
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


def _unwrapped(error: BaseException) -> BaseException:
    """The one failure inside a group of one; several failing branches stay a group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _attach(error: BaseException, output: WorkflowRunOutput) -> None:
    try:
        error.run_output = output  # type: ignore[attr-defined]  # promised by decisions 1
    except AttributeError:  # an exception with __slots__: the output is in the database and in the stream
        error.add_note(f"run {output.run_id}")


def cancelled_error(run: Execution) -> RunCancelledError:
    return RunCancelledError(f"run {run.id} was cancelled: {run.cancel_reason or 'no reason given'}")


def copy_output(output: WorkflowRunOutput) -> WorkflowRunOutput:
    """A copy that the run will not change any more."""
    copy: WorkflowRunOutput = msgspec.structs.replace(output, step_results=list(output.step_results))
    return copy
