"""The recorder: a run's journal, log, questions and session changes, committed together. (D6)

It only collects while the run publishes; one commit at a time is under way, and it takes all that is ready. What was taken
is dropped after the commit succeeded, so a refused commit loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import anyio
import msgspec

from ...core.filters import Sieve
from ...core.journal import DONE, INPUT, MEMO, OPEN, VOID, Record
from ...core.lifecycle import TERMINAL_EVENTS
from ...core.state import changes, patched, snapshot
from ...model import codec
from ...model.enums import RunStatus
from ...model.errors import (
    AnswersArrived,
    CancelRequested,
    ConcurrentWrite,
    DuplicateRun,
    Fenced,
    QueueFull,
    RunExists,
    RunNotPaused,
    SessionOwnerError,
    StorageError,
    UnserializableError,
)
from ...model.events import Event, StepContentEvent
from ...storage.base import BaseDb, Batch, DeliveryRow, EventRow, Fence, RequirementRow, RunRow, SessionPatch, StepRow
from ...storage.rules import ACTIVE
from ..loop.loops import soon, spawn
from ..loop.mutex import Mutex
from .commit_turn import CommitTurn
from .merging import LARGE, Text
from .state_versions import START, Made, Plan, StateVersions, encode_view
from .step_rows import EDIT, emptied, record_to_row
from .stored import stored_kind

if TYPE_CHECKING:
    from ..run.branch import Branch
    from ..run.execution import Execution
    from ..start.queued import Place
    from .pauses import Requirement

__all__ = ["Recorder"]


_REFUSALS = (
    ConcurrentWrite,
    DuplicateRun,
    Fenced,
    QueueFull,
    RunExists,
    RunNotPaused,
    SessionOwnerError,
    UnserializableError,
)
_TEXT_SECONDS = 0.03
MOST_ROWS = 4096  # of the log that wait for the database before the run waits, too


class Recorder:
    """Writes one run. ``created`` is True once the database knows the run."""

    def __init__(self, run: Execution, db: BaseDb, *, keep_log: bool, sieve: Sieve | None, created: bool) -> None:
        self.run = run
        self.db = db
        self.created = created
        self.durability = run.definition.durability
        self.keeps_log = keep_log
        self.place: Place | None = None  # the queue in which the run is stored, for another process to take
        self._stored: RunStatus | None = RunStatus.running if created else None
        self._sieve = sieve
        self._deaths = 0  # as stored
        self._working: list[str] = []
        self._introduced = created  # the session knows the workflow
        self._steps: dict[str, StepRow] = {}
        self._made: dict[str, dict[str, Made]] = {}  # by path: the changes of the state that belong to these rows
        self._had: dict[str, dict[str, Made]] = {}  # the same of the values before an edit
        self._decided: dict[str, dict[str, Made]] = {}  # of open containers, whose rows will be replaced
        self._start: dict[str, Made] | None = None  # the changes of the state before the start, until they are stored
        self.versions = StateVersions()
        self._anchored = False  # the stored row has the version that the run began with
        self._start_at: int | None = None
        self._began_with: int | None = None
        self._events: list[EventRow] = []
        self._hooks = run.definition.hooks or {}
        self._text: Text | None = None
        self._after: dict[str, bytes] | None = None
        self._lock = Mutex()
        self.turn = CommitTurn(run, db)
        self._flushing = False
        self._sealed = False
        self.is_committing = False
        self._unsure: list[RunRow] = []  # of commits that failed or were cut off: one of them may be stored
        self._tried: dict[str, bytes | None] = {}  # of the session state, by commits that may be stored
        self._drained: anyio.Event | None = None

    # -- collecting (never awaits) -------------------------------------------------------------------------------------

    def accept(self, event: Event) -> None:
        """Take an event into the log; adjacent text of one step becomes one row."""
        kept = self.keeps_log and (self._sieve is None or self._sieve(event))
        if not kept and event.event not in self._hooks:  # what a webhook gets is stored, whatever else is not
            return
        if isinstance(event, StepContentEvent) and isinstance(event.delta, str):
            text = self._text
            if text is None or text.cost > LARGE or not text.add(event):
                self._close_text()
                self._text = Text(event)
            if not self._flushing and self.durability != "exit" and not self.run.finishing:
                self._flushing = True
                spawn(self._flush_soon, f"flush {self.run.id}")
            return
        self._close_text()
        self._put(event, event.seq)

    def _close_text(self) -> None:
        text, self._text = self._text, None
        if text is not None:
            event = text.merged()
            self._put(event, event.last_seq or event.seq)

    def _put(self, event: Event, last_seq: int) -> None:
        data = codec.encode_logged(event)
        limit = self.run.definition.max_payload
        if limit is not None and len(data) > limit:
            # The journal keeps the whole output; only the log, which readers replay, is spared the payload.
            data = codec.encode_event(codec.without_payload(event, len(data)))
        self._events.append(
            EventRow(
                run_id=self.run.id,
                seq=event.seq,
                last_seq=last_seq,
                epoch=event.epoch,
                kind=event.event,
                path=event.path,
                data=data,
            )
        )
        if len(self._events) >= MOST_ROWS:
            self.run.bus.behind = True

    def begin(self) -> None:
        """The run starts: its state now is what a fork of its first step starts with, and what stands until a step ends."""
        self._look()
        after = snapshot(self.run.state)
        made = changes(self.committed, after)
        self._after = after
        if made:
            self.versions.note(made)
        if after and not self.run.resumed:
            self._steps[START] = StepRow(run_id=self.run.id, path=START, position=-1, status=MEMO)
            self._start = self.versions.made(after)
            self._start_at = self.versions.at

    def _look(self) -> None:
        """Before the first change: the stored state is that which the run has read."""
        if self.versions.at is None:
            self.versions.see(self.run.session.version, self.run.state_base)
        if self._began_with is None:
            self._began_with = self.versions.at

    def anchored(self, state_from: int | None) -> None:
        """The row of the continued run has this."""
        self._anchored = state_from is not None

    def reopen(self) -> None:
        """The paused run goes on; whoever claimed it has set the stored status."""
        self._sealed, self._stored = False, RunStatus.running

    def pending(self) -> list[EventRow]:
        """What of the log is not committed yet, for a reader that joins now. An end is not shown before it is stored:
        it reaches the reader through the bus, like all others."""
        self._close_text()
        return [row for row in self._events if row.path or row.kind not in TERMINAL_EVENTS]

    def note(self, record: Record, branch: Branch | None = None) -> None:
        """Take a journal record and the session state as they are now, so that both are of the same moment; of the state
        what ``branch`` has changed, if the record is of one."""
        before = self._before(record)
        row = record_to_row(self.run.id, record, without=before)
        made: Mapping[str, Any] = (record.changed or {}) if record.status == MEMO else {}
        if record.status == DONE or (record.decision is not None and record.kind != "Step"):
            try:
                made = branch.merge(record.path) if branch else changes(self.committed, snapshot(self.run.state))
            except UnserializableError as error:
                raise UnserializableError(f"{record.path}: {error}", where=record.path) from error
            # A container's decision is an outcome of its own, and its row is replaced by that of its end.
            record.changed = {**(record.changed or {}), **made}
        if made:
            self._look()
            self.take(made)
        self._mark(record, self.versions.note(cast(Mapping[str, bytes | None], made)) if made else {}, before)
        self._steps[record.path] = row
        if self.run.deaths and record.status != OPEN and not record.path.endswith(INPUT):
            self.run.deaths = 0
            self._working.clear()

    def _before(self, record: Record) -> dict[str, Made]:
        """Of an edit of the state, the values before it that a version has."""
        if record.kind != EDIT or not isinstance(record.value, dict):
            return {}
        self._look()
        found = {key: self.versions.place(key, codec.encode_value(value)) for key, value in record.value.items()}
        return {key: made for key, made in found.items() if made.change is not None}

    def _mark(self, record: Record, made: Mapping[str, Made], before: dict[str, Made]) -> None:
        """The row of the record gets the changes that it has, by this record or by an earlier one of its path."""
        path, decided = record.path, self._decided.pop(record.path, {})
        self._made.pop(path, None)
        self._had.pop(path, None)
        if before:
            self._had[path] = before
        if not record.changed:
            return
        found: dict[str, Made] = {}
        for key, value in cast(Mapping[str, bytes | None], record.changed).items():
            known = made.get(key) or decided.get(key)
            found[key] = known if known is not None and known.value == value else self.versions.find(key, value)
        self._made[path] = found
        if record.status == OPEN:
            self._decided[path] = found

    def void(self, record: Record) -> None:
        """The record does not hold any more. The changes of the session state that were made with it do."""
        self._steps[record.path] = StepRow(
            run_id=self.run.id, path=record.path, position=record.position, status=VOID, attempt=self.run.epoch
        )
        self._mark(record, {}, {})

    def died(self, deaths: int) -> None:
        """The run was claimed after its process had died so often."""
        self.run.deaths = self._deaths = deaths

    def note_working(self, path: str) -> None:
        """The next commit says that the step at ``path`` is executing."""
        self._working.append(path)
        data = codec.encode_value(self._working)
        self._steps["!working"] = StepRow(run_id=self.run.id, path="!working", position=-1, status=MEMO, data=data)

    @property
    def committed(self) -> dict[str, bytes]:
        """The session state that is stored, or will be with the next commit: what has an outcome."""
        return self.run.state_base if self._after is None else self._after

    def take(self, patch: Mapping[str, Any]) -> None:
        """Let the next commit have these values (None removes a key)."""
        self._after = patched(self.committed, patch)

    # -- memory --------------------------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """True while so much of the log waits for the database that the run shall wait. Not in an edit of the session
        state, which no commit gets past, and not with "exit", which stores nothing before the end."""
        held = self._lock.locked() and not self.is_committing
        return len(self._events) >= MOST_ROWS and self.durability != "exit" and not held and not self.run.finishing

    async def drained(self) -> None:
        """Wait for the next commit."""
        if not self._flushing:
            self._flushing = True
            spawn(self._flush, f"flush {self.run.id}")
        if self._drained is None:
            self._drained = anyio.Event()
        await self._drained.wait()

    def _has_room(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set()

    # -- committing ----------------------------------------------------------------------------------------------------

    async def milestone(self) -> None:
        """A step has ended: commit now ("sync"), soon ("async") or not yet ("exit")."""
        if self.durability == "sync":
            await self.commit()
        elif self.durability == "async":
            self.flush_soon()

    def flush_soon(self) -> None:
        """A question was opened: others may see it before the run pauses. Not with "exit"."""
        if self.durability != "exit" and not self._flushing:
            self._flushing = True
            soon(self._begin_flush)

    def _begin_flush(self) -> None:
        if self.run.finishing:
            self._flushing = False  # a run that never waited: all of it goes with its end
        else:
            spawn(self._flush, f"flush {self.run.id}")

    async def _flush_soon(self) -> None:
        """Text comes in bursts: gather some of it, so that a stored row covers many chunks."""
        with anyio.move_on_after(_TEXT_SECONDS):
            await self.run.wait_ended()
        await self._flush()

    async def _flush(self) -> None:
        try:
            while self._dirty() and not (self.run.ended or self.run.finishing or self._sealed):
                await self.commit()
        except Exception as error:
            self.run.fail(error)
        finally:
            self._flushing = False
            self._has_room()

    def _dirty(self) -> bool:
        return bool(self._steps or self._events or self._text or not self.created or self.run.people.has_changes)

    def _state(self, status: RunStatus | None) -> dict[str, bytes]:
        """The session state to commit: what has an outcome while the run goes on (what an unfinished step has changed will
        be changed again if it is done over), as it is at an end."""
        if (status is None or not status.is_final) and self._after is not None:
            return self._after
        try:
            return snapshot(self.run.state)
        except UnserializableError:
            if status is RunStatus.error and self._after is not None:
                return self._after  # the run failed by this very value: what had been stored of the state stands
            raise

    def exclusive(self) -> Mutex:
        """Held while nothing of this run is being committed."""
        return self._lock

    async def commit(self, status: RunStatus | None = None, waits_for: frozenset[str] = frozenset()) -> None:
        """Write all that is ready; with ``status`` the run's row too, which then has that status.

        Raises:
            AnswersArrived: One of the questions ``waits_for`` was answered meanwhile.
            CancelRequested: The run may only be stored as CANCELLED.
            StorageError: Nothing was written; what was collected is kept.
        """
        async with self._lock, self.turn:
            if status is None and (self._sealed or self.run.finishing):
                return  # what is left goes with the end, in one commit: an end is never in the log before it is in the row
            while True:
                run = self.run
                self._close_text()
                after = self._state(status)
                current = status or (RunStatus.running if self.created else run.output.status)
                steps, events = dict(self._steps), len(self._events)
                asked = run.people.changes()
                self._look()
                plan = self.versions.plan(run.state_base, after)
                patch = self._patch(plan, status)
                deaths = run.deaths - run.is_idle
                stateful = bool(plan.changes or self._made) or self._start is not None
                moved = status is not None or self._stored is not current or self._deaths != deaths
                moved = moved or (stateful and not self._anchored)
                row = self._row(current, after, plan, stateful=stateful) if moved else None
                batch = Batch(
                    fence=Fence(run_id=run.id, attempt=run.epoch) if self.created else None,
                    run=row,
                    create=not self.created,
                    # An end that may be stored already is not stored, and counted, a second time.
                    statuses=frozenset({self._stored}) if self._unsure and self.created and self._stored else None,
                    steps=[self._step(step) for step in steps.values()],
                    events=self._events[:events],
                    requirements=[self._requirement(item) for item in asked],
                    session=patch,
                    waits_for=waits_for,
                    messages_seen=run.people.messages_taken if waits_for else None,
                    deliveries=self._deliveries(self._events[:events]) if self._hooks else (),
                )
                if batch.is_empty:
                    return
                version = 0
                try:
                    self.is_committing = True
                    version = (await self.db.commit(batch)).session_version
                except ConcurrentWrite as conflict:
                    self._ask_again(asked)
                    if status is not None:
                        raise  # the conflict is told before the end is numbered again
                    run.state_conflict(conflict.current, after)
                    await self.turn.refused()
                    continue
                except (AnswersArrived, CancelRequested):
                    self._ask_again(asked)
                    raise
                except BaseException as error:
                    self._ask_again(asked)
                    if not isinstance(error, _REFUSALS):  # cut off, or its answer was lost: it may be stored
                        self._unsure += [row] if row is not None else []
                        self._tried.update(patch.state if patch is not None else {})
                    if not isinstance(error, Exception):
                        raise
                    if not await self._is_stored():
                        raise
                    if self._stored is not status:
                        continue
                finally:
                    self.is_committing = False
                self._stored, self._sealed, self._deaths = current, status is not None, deaths
                self._is_committed(batch, steps, events)
                self.versions.committed(plan, version)
                return

    def _deliveries(self, events: Sequence[EventRow]) -> list[DeliveryRow]:
        """What webhooks get of these events. Of nested workflows, these are the events of their steps, not of their runs."""
        definition = self.run.definition
        return [
            DeliveryRow(
                hook=hook, run_id=row.run_id, seq=row.seq, workflow_id=definition.id, created_at=definition.clock.time()
            )
            for row in events
            if row.kind in self._hooks and not (row.path and row.kind.startswith("Workflow"))
            for hook in self._hooks[row.kind]
        ]

    def _is_committed(self, batch: Batch, steps: Mapping[str, StepRow], events: int) -> None:
        """What the batch holds, with these rows and that many of the collected events, is stored."""
        self._unsure.clear()
        self._tried.clear()
        self.created = True
        self._anchored = self._anchored or (batch.run is not None and batch.run.state_from is not None)
        for path, step in steps.items():
            if self._steps.get(path) is step:
                self._drop(path)
        del self._events[:events]
        if batch.session is not None:
            self._introduced = True
            self.run.state_base = patched(self.run.state_base, batch.session.state)
        self._has_room()

    def _drop(self, path: str) -> None:
        """The row at this path is stored."""
        del self._steps[path]
        self._made.pop(path, None)
        self._had.pop(path, None)
        if path == START:
            self._start = None

    async def reserve(self) -> None:
        """Store the run's id, and nothing else that it does. Raises RunExists."""
        async with self._lock:
            row = msgspec.structs.replace(self._row(RunStatus.running), reserved=True)
            await self.db.commit(Batch(run=row, create=True))
            self.created, self._stored = True, RunStatus.running

    def stored_itself(self, key: str, value: bytes | None) -> bool:
        """Whether the run has stored this value by a commit whose answer was lost: then nobody else was first."""
        return key in self._tried and self._tried[key] == value

    def _ask_again(self, asked: Sequence[Requirement]) -> None:
        for item in asked:
            self.run.pauses.changed.setdefault(item.id, item)

    async def _is_stored(self) -> bool:
        """After a commit that failed: whether one whose result is not known is stored."""
        if not self._unsure:
            return False
        found = await self.db.load_run(self.run.id)
        unsure = [(row.created_at, row.data) for row in self._unsure]
        self._unsure.clear()  # not where the database could not say: it is asked again
        if found is None or (found.created_at, found.data) not in unsure:
            return False
        self.created, self._stored = True, found.status
        return True

    def _step(self, row: StepRow) -> StepRow:
        """The row with the changes of the state that belong to it."""
        if row.path == START and self._start is not None:
            return msgspec.structs.replace(row, state=encode_view(self._start, self._start_at), state_version=0)
        made, before = self._made.get(row.path), self._had.get(row.path)
        if made is None and before is None:
            return row
        return msgspec.structs.replace(row, state=encode_view(made or {}, before=before or {}), state_version=0)

    def _row(
        self,
        status: RunStatus,
        after: Mapping[str, bytes] | None = None,
        plan: Plan | None = None,
        *,
        stateful: bool = False,
    ) -> RunRow:
        run = self.run
        output = run.output
        view = None
        if plan is not None and after and output.session_state is not None and status not in ACTIVE:
            view = encode_view(self.versions.made(after, plan.own), self.versions.at)
        now = run.clock.time()
        place = self.place
        return RunRow(
            run_id=run.id,
            session_id=run.request.session_id,
            status=status,
            user_id=run.request.user_id,
            workflow_id=run.definition.id,
            workflow_name=run.definition.name,
            parent_run_id=run.request.parent_run_id,
            attempt=run.epoch,
            seq=run.bus.seq,
            fingerprint=run.definition.plan.fingerprint,
            created_at=run.created_at,
            updated_at=now,
            data=codec.encode_run(output if view is None else msgspec.structs.replace(output, session_state=None)),
            state=view,
            state_from=self._began_with if stateful or view is not None else None,
            owner=run.owner if place is None else None,
            queue=place.queue if place is not None else None,
            priority=place.priority if place is not None else 0,
            not_before=place.not_before if place is not None else None,
            limits=place.limits if place is not None else (),
            unique=place.unique if place is not None else None,
            forked_from=run.forked_from,
            tags=output.tags or () if not self.created else (),
            deaths=run.deaths - run.is_idle,
            lease=run.definition.lease
            if place is None and not status.is_final and status is not RunStatus.paused
            else None,
        )

    def _patch(self, plan: Plan, status: RunStatus | None) -> SessionPatch | None:
        run = self.run
        if not plan.changes and self.created and status is None:
            return None
        definition = run.definition
        first = not self._introduced
        return SessionPatch(
            session_id=run.request.session_id,
            user_id=run.request.user_id,
            workflow_id=definition.id,
            workflow_name=definition.name,
            state=plan.state,
            expected=plan.expected,
            changes=[changed for _, changed in plan.changes],
            metadata=run.session_metadata if first else None,
            workflow_data=run.workflow_data if first else None,
            metrics=run.session_counters() if status is not None and status.is_final else None,
            now=run.clock.time(),
        )

    def _requirement(self, item: Any) -> RequirementRow:
        run = self.run
        return RequirementRow(
            run_id=run.id,
            requirement_id=item.id,
            session_id=run.request.session_id,
            user_id=run.request.user_id,
            workflow_id=run.definition.id,
            path=item.path,
            kind=stored_kind(item),
            created_at=item.created_at or run.clock.time(),
            timeout_at=item.timeout_at.timestamp() if item.timeout_at else None,
            answered_at=item.answered_at,
            used_at=item.used_at,
            withdrawn_at=item.withdrawn_at,
            data=codec.encode_requirement(item),
        )

    def lighten(self, most: int) -> bool:
        """Keep of what is not committed yet no more than ``most`` bytes each: events without their payload, a large outcome
        as that of a step that was begun. False when nothing was larger."""
        self._close_text()
        found = False
        for position, row in enumerate(self._events):
            if len(row.data) > most:
                found = True
                event = codec.without_payload(codec.decode_event(row.data), len(row.data))
                self._events[position] = msgspec.structs.replace(row, data=codec.encode_event(event))
        for path, step in self._steps.items():
            if len(step.data or b"") > most:
                found = True
                self._made.pop(path, None)
                self._steps[path] = emptied(step)
        return found

    def retract(self, seq: int) -> None:
        """Forget a collected event: its commit was refused and nobody saw it."""
        self._events = [row for row in self._events if row.seq != seq]


def storage_failure(error: BaseException) -> StorageError:
    """``error`` as a StorageError, itself if it is one."""
    if isinstance(error, StorageError):
        return error
    return StorageError(f"the run could not be stored: {error}")
