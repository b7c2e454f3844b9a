"""One run while it lives: its state, its projector, and the calls that cancel, pause and wake it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from ..core.journal import Journal
from ..core.lifecycle import status_after
from ..model import codec
from ..model import events as ev
from ..model.enums import RunStatus
from ..model.events import Event, WorkflowEvent
from ..model.metrics import COUNTERS
from ..model.run import WorkflowRunOutput
from ..model.session import WorkflowSession
from ..model.step_io import StepOutput
from ..storage.base import Fence
from .bus import Buffer, Bus
from .clock import new_id
from .ending import PAUSED, copy_output, finish
from .heartbeat import Heart, unwatch, watch
from .loops import Loop, current_loop, spawn
from .parking import Parking
from .pauses import Pauses, Requirement
from .recorder import Recorder
from .request import RunRequest

if TYPE_CHECKING:
    from .sessions import Turn

__all__ = ["Execution", "owner_of_this_process"]

logger = logging.getLogger("workflow_runtime")


@cache
def _owner(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{new_id()[-8:]}"


def owner_of_this_process() -> str:
    """Who holds the leases that are taken here; a forked child is somebody else."""
    return _owner(os.getpid())


class Execution:
    """The state of a run under way. Made by ``prepare``, walked by ``execute_run``, gone when nobody reads it any more."""

    __slots__ = (
        "__weakref__",
        "_ended",
        "_groups",
        "_parking",
        "_pauses",
        "_unparked",
        "attempts",
        "bus",
        "cancel_reason",
        "cancelled",
        "clock",
        "created_at",
        "definition",
        "end_is_lost",
        "ended",
        "epoch",
        "evicted",
        "failure",
        "finishing",
        "forked_from",
        "heart",
        "id",
        "journal",
        "last_output",
        "lease_renewed",
        "loop",
        "opening",
        "output",
        "overdue",
        "owner",
        "parked",
        "partials",
        "raised",
        "recorder",
        "request",
        "results_before",
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
        pauses: Pauses | None = None,
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
        self.results_before = len(output.step_results)  # when the run last began or went on
        self.state = state
        self.session = session
        self.journal = journal
        self._pauses = pauses
        self.epoch = epoch
        self.created_at = created_at
        self.state_base = state_base or {}
        self.owner = owner_of_this_process()
        self.bus = Bus(seq)
        self.loop: Loop = current_loop()
        self.scope = anyio.CancelScope()
        self._groups: list[Callable[[], None]] | None = None
        self.waiting: anyio.CancelScope | None = None  # for its turn in the session
        self.cancel_reason: str | None = None
        self.cancelled = False
        self.overdue: Callable[[], None] | None = None
        self.failure: BaseException | None = None
        self.raised: BaseException | None = None
        self.ended = False
        self.resumed = created
        self.streams: dict[str, int] | None = None
        self.attempts: dict[str, int] = {}
        self.partials: dict[str, StepOutput] | None = None
        self.session_metadata: bytes | None = None
        self.workflow_data: bytes | None = None
        self._ended: anyio.Event | None = None
        self._unparked: anyio.Event | None = None
        self._parking: Parking | None = None
        self.parked = False
        self.evicted = False
        self.finishing = False
        self.end_is_lost = False  # it could not be stored: its caller is told, readers go on with the log
        self.opening: Callable[[], None] | None = None
        self.forked_from: str | None = None
        self.lease_renewed = created_at
        self.heart: Heart | None = None
        self.waking: list[str] | None = None
        self.turn: Turn | None = None
        if request.store_events and output.events is None:
            output.events = []
        self.recorder: Recorder | None = None
        if self.definition.db is not None:
            self.recorder = Recorder(
                self,
                self.definition.db,
                keep_log=self.logged,
                sieve=request.skip,
                created=created,
            )
            self.bus.strict = (self.recorder.accept, self._project)
            self.bus.log = self.recorder
        else:
            self.bus.strict = (self._project,)

    # Made when first used: a waiting run is mostly made of what it never needs.

    @property
    def groups(self) -> list[Callable[[], None]]:
        """What cancels the branches that run now."""
        if self._groups is None:
            self._groups = []
        return self._groups

    @property
    def pauses(self) -> Pauses:
        if self._pauses is None:
            self._pauses = Pauses()
        return self._pauses

    def asked(self) -> list[Requirement]:
        """The questions and answers that are not stored yet, handed out once."""
        return self._pauses.take() if self._pauses is not None else []

    @property
    def parking(self) -> Parking:
        """Its steps that wait for answers; made for the first branches, or the first question."""
        if self._parking is None:
            self._parking = Parking(self)
        return self._parking

    @property
    def logged(self) -> bool:
        """Whether its log is stored, for whoever reads it while it lives or later."""
        return self.definition.db is not None and (self.request.store_events or self.request.keep_log)

    # -- the projector: events folded into the output ------------------------------------------------------------------

    def _project(self, event: Event) -> None:
        output = self.output
        output.status = status_after(output.status, event)
        if output.events is not None and self.request.store_events:
            skip = self.request.skip
            if skip is None or skip(event):
                output.events.append(event)

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

    # -- control -------------------------------------------------------------------------------------------------------

    def cancel(self, reason: str | None = None) -> bool:
        """End the run as cancelled. Call on the run's own loop; False when it has ended already."""
        if self.ended:
            return False
        self.cancelled = True
        self.cancel_reason = self.cancel_reason or reason
        if self.waiting is not None:
            self.waiting.cancel()
        if not self.scope.cancel_called:
            from .stalls import expect_end  # what is slow to load is loaded by those who need it

            self.overdue = expect_end(self)
        self._stop()
        return True

    def fail(self, error: BaseException) -> None:
        """End the run with ``error``, which came from beside the walk (a refused save)."""
        if not self.ended and self.failure is None:
            self.failure = error
            self._stop()

    def _stop(self) -> None:
        self.scope.cancel()
        for cancel in self._groups or ():
            cancel()

    def pause_parked(self) -> None:
        """Every strand waits for an answer inside a step: pause now, keep the task. Called by the last to stop."""
        if self.parked:
            return
        self.parked = True
        self.parking.limits.stop()
        spawn(self._pause_parked, f"pause {self.id}")

    async def _pause_parked(self) -> None:
        if self.ended or self.cancelled or self.parking.strands.busy > 0:
            self.parked = False
            self.parking.limits.start()
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
        if not unparked.is_set() and self.parked and self.output.last_seq == seq:
            self.evict()

    def evict(self) -> None:
        """Let the task of a paused run go, without an event: the database, or another process, has the run."""
        self.evicted = True
        self.parked = False
        self._leave_park()
        self._stop()

    def _leave_park(self) -> None:
        if self._unparked is not None:
            self._unparked.set()

    async def release(self) -> None:
        """Stop working on the run without ending it, and give its lease up: another process goes on with it at once."""
        db, recorder = self.definition.db, self.recorder
        self.evict()
        await self.wait_ended()
        if db is not None and recorder is not None and recorder.created:
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
        self.results_before = len(self.output.step_results)

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
            self.parking.limits.start()
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
        if self.overdue is not None:
            self.overdue()
        self.output.journal = self.journal if self.output.is_paused else None
        self.last_output = copy_output(self.output) if self.parked else self.output
        self.bus.close(self.raised if isinstance(self.raised, Exception) else None)
        if self._ended is not None:
            self._ended.set()

    def let_go(self) -> None:
        """Nothing will happen to the run any more: drop what leads back to it, so that it goes with its last reader and
        not when the garbage collector comes to it. What is published now is still refused."""
        self.bus.strict = (partial(status_after, self.output.status),)
        if self._parking is not None:
            self._parking.strands.let_go()
        self.bus.observers = ()
        self.bus.on_broken = self.bus.log = self.recorder = self._parking = None

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
