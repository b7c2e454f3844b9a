"""One run while it lives: its state, its bus with the subscribers, and the calls that cancel, pause and wake it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import msgspec

from ...core.journal import Journal
from ...core.kept import Kept as Outputs
from ...core.life import OVER, PAUSED, Cell, Happening, Life, next_life
from ...core.lifecycle import status_after
from ...core.state import merged, replace
from ...model import codec
from ...model import events as ev
from ...model.enums import RunStatus
from ...model.errors import Fenced
from ...model.events import Event, WorkflowEvent
from ...model.metrics import COUNTERS
from ...model.run import WorkflowRunOutput
from ...model.session import WorkflowSession
from ...model.step_io import StepOutput
from ...storage.base import Fence, MessageRow
from ..bus.buffer import Buffer
from ..bus.bus import Bus
from ..bus.completion import Completion
from ..bus.pauses import Pauses, Requirement
from ..bus.projector import Projector
from ..bus.recorder import Recorder
from ..bus.signals import Answered, Arrived, Cancel, Evict, Fail, Release
from ..loop.loops import Loop, current_loop
from ..loop.process import current
from ..people.parking import Parking
from . import pausing
from .canceller import Canceller
from .ending import copy_output
from .people import People
from .request import RunRequest
from .sessions import Turn
from .steering import Steering
from .undo import Undo

if TYPE_CHECKING:
    from ...core.branch_state import Merges
    from .branch import Kept
    from .heartbeat import Heart

__all__ = ["Execution"]

logger = logging.getLogger("workflow_runtime")


class Execution:
    """The state of a run under way. Made by ``prepare``, walked by ``execute_run``, gone when nobody reads it any more."""

    __slots__ = (
        "__weakref__",
        "_dependencies",
        "attempts",
        "before",
        "bus",
        "canceller",
        "clock",
        "completion",
        "created_at",
        "deaths",
        "definition",
        "end_is_lost",
        "epoch",
        "forked_from",
        "heart",
        "id",
        "is_idle",
        "journal",
        "kept",
        "lease_renewed",
        "life",
        "loop",
        "made_parking",
        "may_have_begun",
        "merges",
        "opening",
        "output",
        "owner",
        "partials",
        "people",
        "recorder",
        "request",
        "results_before",
        "resumed",
        "rewalking",
        "scope",
        "session",
        "session_metadata",
        "sleeping",
        "state",
        "state_base",
        "steering",
        "streams",
        "tried",
        "turn",
        "undo",
        "waking",
        "walk_scope",
        "was",
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
        pauses: Pauses | None = None,
        seq: int = 0,
        epoch: int = 1,
        created_at: float,
        state_base: dict[str, bytes] | None = None,
        created: bool = False,
        was: RunStatus | None = None,
    ) -> None:
        self.request = request
        self.definition = request.definition
        self.id = request.run_id
        self.clock = request.definition.clock
        self.output = output
        self.life = Life.WAITING
        self.completion = Completion(output)
        self.was = was  # the stored status before it was claimed
        self.results_before = len(output.step_results)  # when the run last began or went on
        self.state = state
        self.session = session
        self.journal = journal
        self.kept: Outputs | None = None  # made for the first content that can be changed
        self.epoch = epoch
        self.created_at = created_at
        self.state_base = state_base or {}
        self.owner = current().owner
        self.canceller = Canceller()
        self.people = People(pauses)
        self.steering = Steering()
        self.bus = Bus(seq)
        self.bus.told = (self.canceller, self.people)
        self.loop: Loop = current_loop()
        self.scope = anyio.CancelScope()
        self.resumed = created
        self.streams: dict[str, int] | None = None
        self.attempts: dict[str, int] = {}
        self.merges: Merges | None = None  # made for the first branch
        self.before: dict[str, Kept] | None = None  # the state as steps found it that may be tried again
        self.partials: dict[str, StepOutput] | None = None
        self.session_metadata: bytes | None = None
        self.workflow_data: bytes | None = None
        self.made_parking: Parking | None = None
        self.walk_scope: anyio.CancelScope | None = None
        self.rewalking = False
        self._dependencies: dict[str, Any] | None = None
        self.tried: frozenset[str] = frozenset()  # answers that the walk under way, or the last one, began with
        self.end_is_lost = False  # it could not be stored: its caller is told, readers go on with the log
        self.opening: Callable[[], None] | None = None
        self.may_have_begun = False  # in a process that died before it stored any of it; readers may have seen some
        self.forked_from: str | None = None
        self.deaths = 0  # of its processes, since its last outcome
        self.sleeping = 0  # how many of its branches sleep
        self.is_idle = False  # it does nothing now that could end its process
        self.lease_renewed = created_at
        self.heart: Heart | None = None
        self.waking = False
        self.turn: Turn | None = None
        # What of it is compensated if it fails; made for the first step that can be.
        self.undo: Undo | None = Undo.of(journal) if journal.replaying else None
        if request.store_events and output.events is None:
            output.events = []
        projector = Projector(output, request.store_events, request.skip)
        self.recorder: Recorder | None = None
        if self.definition.db is not None:
            self.recorder = Recorder(
                self,
                self.definition.db,
                keep_log=self.logged,
                sieve=request.skip,
                created=created,
            )
            self.bus.strict = (self.recorder.accept, projector.fold)
            self.bus.log = self.recorder
        else:
            self.bus.strict = (projector.fold,)

    @property
    def dependencies(self) -> dict[str, Any] | None:
        """What steps are given: the call's over the workflow's own, which may be what cannot be stored."""
        if self._dependencies is None:
            self._dependencies = merged(self.definition.dependencies or {}, self.request.input.dependencies)
        return self._dependencies or None

    @property
    def pauses(self) -> Pauses:
        return self.people.pauses

    @property
    def has_questions(self) -> bool:
        return self.people.has_questions

    @property
    def parking(self) -> Parking:
        """Its steps that wait for answers; made for the first branches, or the first question."""
        if self.made_parking is None:
            self.made_parking = Parking(partial(pausing.quiet, self))
        return self.made_parking

    @property
    def is_taken_over(self) -> bool:
        """Whether it ended here because another process has it."""
        return self.end_is_lost and isinstance(self.raised, Fenced)

    @property
    def is_being_created(self) -> bool:
        """Whether it is not stored yet, and is just being so."""
        recorder = self.recorder
        return recorder is not None and not recorder.created and (recorder.is_committing or self.life is Life.PAUSING)

    async def pause_over(self) -> None:
        """Until no pause is being stored, whatever cancels the task meanwhile."""
        if self.made_parking is not None:
            await self.made_parking.pause_over()

    async def going_on(self) -> None:
        """Wait while it is paused: what one part of a step does while another asks counts when the run goes on."""
        while self.life in PAUSED:
            await self.parking.pass_gate()

    def leave_parts(self, path: str) -> None:
        """The code at ``path`` has been left: what it left behind does not hold the run up."""
        if self.made_parking is not None:
            self.made_parking.leave(path)

    @property
    def logged(self) -> bool:
        """Whether its log is stored, for whoever reads it while it lives or later."""
        told = self.request.store_events or self.request.keep_log or self.definition.hooks is not None
        return self.definition.db is not None and told

    # -- its readers ---------------------------------------------------------------------------------------------------

    def attach(self, buffer: Buffer) -> None:
        """Show all further events to a reader."""
        self.bus.attach(buffer)

    @property
    def keeps_log(self) -> bool:
        """Whether its events can be read from the database."""
        return self.recorder is not None and self.recorder.keeps_log

    def goes_on(self, *, background: bool, keep_log: bool) -> None:
        """It is continued: in the background it is drained with its process, and readers come by its id to its log."""
        if self.recorder is not None:
            keep_log = keep_log or self.request.keep_log
            self.request = msgspec.structs.replace(self.request, background=background, keep_log=keep_log)
            self.recorder.keeps_log = self.recorder.keeps_log or keep_log

    def observe(self, observer: Callable[[Event], None]) -> None:
        """Show all further events to ``observer``; if it fails it is logged and detached."""
        self.bus.observers = (*self.bus.observers, observer)
        self.bus.on_broken = self._observer_broke

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

    # -- its life ------------------------------------------------------------------------------------------------------

    def happen(self, happening: Happening) -> Cell:
        """Apply the table of ``core/life.py``; what it says of ``happening``."""
        cell = next_life(self.life, happening)
        if isinstance(cell, Life):
            self.life = cell
        return cell

    @property
    def ended(self) -> bool:
        """True when nothing is done for the run here: it ended, it is parked, or it was given up."""
        return self.life in OVER

    @property
    def parked(self) -> bool:
        return self.life is Life.PARKED

    @property
    def evicted(self) -> bool:
        """True once its task was let go without an end: the database, or another process, has the run."""
        return self.life is Life.GONE

    @property
    def finishing(self) -> bool:
        """True while an end, or a pause, is being stored."""
        return self.life in (Life.ENDING, Life.PAUSING)

    @property
    def raised(self) -> BaseException | None:
        """What whoever waits for its end gets raised."""
        return self.completion.raised

    @raised.setter
    def raised(self, error: BaseException | None) -> None:
        self.completion.raised = error

    # -- signals -------------------------------------------------------------------------------------------------------

    @property
    def cancelled(self) -> bool:
        return self.canceller.called

    @property
    def cancel_reason(self) -> str | None:
        return self.canceller.reason

    @property
    def failure(self) -> BaseException | None:
        """What it is to end with, which came from beside the walk."""
        return self.canceller.failure

    def cancel(self, reason: str | None = None) -> bool:
        """End the run as cancelled. Call on the run's own loop; False when it has ended already, or its end is being
        stored: then only the database can say what comes first."""
        return self.bus.signal(self, Cancel(reason))

    def fail(self, error: BaseException) -> None:
        """End the run with ``error``, which came from beside the walk (a refused save)."""
        self.bus.signal(self, Fail(error))

    def answered(self, stored: list[Requirement]) -> None:
        """Answers are stored: take over those that are new here and go as far as they reach."""
        self.bus.signal(self, Answered(stored))

    def arrived(self, messages: list[MessageRow]) -> None:
        """Messages are stored: give those that are new here to the steps that wait for them."""
        self.bus.signal(self, Arrived(messages))

    def withdraw(self, path: str) -> None:
        """The branch at ``path`` ("" for the whole run) was given up: its open questions need no answer any more."""
        self.people.withdraw(self, path)

    # -- leaving without an end ----------------------------------------------------------------------------------------

    def evict(self) -> bool:
        """Let its task go, without an event: the database, or another process, has the run. False when it is over."""
        return self.bus.signal(self, Evict())

    async def release(self) -> None:
        """Stop working on the run without ending it, and give its lease up: another process goes on with it at once."""
        db, recorder = self.definition.db, self.recorder
        left = self.bus.signal(self, Release())
        await self.wait_ended()
        if left and db is not None and recorder is not None and recorder.created:
            fence = Fence(run_id=self.id, attempt=self.epoch, owner=self.owner)
            await db.renew([(fence, 0.0)])

    def detach(self, buffer: Buffer) -> None:
        self.bus.detach(buffer)

    def from_anywhere(self, buffer: Buffer, reason: str | None) -> None:
        """A reader is gone: detach it and, with a reason, cancel. From any thread, also from a finaliser."""

        def leave() -> None:
            self.bus.detach(buffer)
            if reason is not None:
                self.cancel(reason)

        self.loop.call(leave)

    # -- continuations -------------------------------------------------------------------------------------------------

    async def take_turn(self) -> None:
        """Wait for the session, unless the run is cancelled meanwhile."""
        if self.cancelled or self.failure is not None or self.life is Life.GONE:
            return
        turn = self.turn = self.turn or Turn.of(self)
        with self.canceller.waiting_for_turn():
            await self.idle(True)
            await turn.take()
            await self.idle(False)

    def reopen(self, epoch: int) -> None:
        """A parked run begins a new continuation, claimed for ``epoch``, with its own end."""
        self.canceller.unpark()
        self.epoch = self.output.epoch = epoch
        self.completion = Completion(self.output)
        self.canceller.forget()
        if self.recorder is not None:
            self.recorder.reopen()
        self.output.status = RunStatus.running
        self.was = RunStatus.paused
        self.waking = True
        self.results_before = len(self.output.step_results)

    async def wait_ended(self) -> None:
        """Until the terminal event is committed and delivered. On the run's loop."""
        await self.completion.wait()

    async def result(self) -> WorkflowRunOutput:
        """The output once the run has ended; raises what it failed with."""
        return await self.completion.result()

    def end(self) -> None:
        """Show those who wait how this continuation ended."""
        self.canceller.ended()
        self.output.journal = self.journal if self.output.is_paused else None
        self.completion.close(copy_output(self.output) if self.parked else self.output)
        self.bus.close(self.raised if isinstance(self.raised, Exception) else None)

    def let_go(self) -> None:
        """Nothing will happen to the run any more: drop what leads back to it, so that it goes with its last reader and
        not when the garbage collector comes to it. What is published now is still refused."""
        self.bus.strict = (partial(status_after, self.output.status),)
        if self.made_parking is not None:
            self.made_parking.let_go()
            self.made_parking.held.clear()
            self.made_parking.open_gate()
        self.bus.observers = ()
        self.bus.on_broken = self.bus.log = self.recorder = self.made_parking = None

    # -- deaths --------------------------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether each of its branches sleeps."""
        busy = self.made_parking.strands.busy if self.made_parking is not None else 1
        return 0 < busy <= self.sleeping

    async def idle(self, is_idle: bool) -> None:
        """It stops working, or goes on, after its process has died: a death in between is none of its own."""
        if self.deaths and self.is_idle is not is_idle and self.recorder is not None:
            self.is_idle = is_idle
            await self.recorder.commit()

    # -- session -------------------------------------------------------------------------------------------------------

    def reset_state(self) -> None:
        """The steps that wait were let go and are entered again: what they had changed is changed again."""
        if self.recorder is not None:
            self.before = self.merges = None
            if self.kept is not None:
                self.kept.restore()
            self.state.clear()
            replace(self.state, self.recorder.committed)

    def state_conflict(self, current: dict[str, bytes | None], ours: dict[str, bytes]) -> None:
        """Another run stored other values under our keys: say so, and take theirs as the base that ours replaces."""
        for key, stored in current.items():
            if self.recorder is None or not self.recorder.stored_itself(key, stored):
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
        counters: dict[str, float] = {"runs": 1}
        metrics = self.output.metrics
        if metrics is None:
            return counters
        if metrics.duration:
            counters["duration"] = metrics.duration
        if metrics.steps:
            total = metrics.total()
            counters.update({name: value for name in COUNTERS if (value := getattr(total, name))})
            if total.cost:
                counters["cost"] = total.cost
        return counters
