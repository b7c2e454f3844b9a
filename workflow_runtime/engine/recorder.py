"""The recorder: a run's journal, log, questions and session changes, committed together. (D6)

It only collects while the run publishes; one commit at a time is under way, and it takes all that is ready. What was taken
is dropped after the commit succeeded, so a refused commit loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from ..core.filters import Sieve
from ..core.journal import Record
from ..core.state import changes, snapshot
from ..model import codec
from ..model.enums import RunStatus
from ..model.errors import ConcurrentWrite, StorageError
from ..model.events import Event, StepContentEvent
from ..model.step_io import StepOutput
from ..storage.base import BaseDb, Batch, EventRow, Fence, RequirementRow, RunRow, SessionPatch, StepRow
from .bus import merge_content
from .loops import spawn

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["Recorder", "row_to_record"]


class _Outcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a StepRow's ``data`` holds: a Record without the columns of the row."""

    kind: str
    decision: Any = None
    output: StepOutput | None = None
    value: Any = None


def record_to_row(run_id: str, record: Record, attempt: int) -> StepRow:
    """The journal record as a row. UnserializableError names the step's path."""
    where = record.path
    outcome = _Outcome(
        kind=record.kind,
        decision=codec.seal(record.decision, f"{where}: decision"),
        output=codec.seal_output(record.output, where) if record.output is not None else None,
        value=codec.seal(record.value, f"{where}: value"),
    )
    return StepRow(
        run_id=run_id,
        path=where,
        position=record.position,
        status=record.status,
        attempt=record.attempt,
        started_at=record.started_at,
        finished_at=record.finished_at,
        data=codec.encode_plain(outcome, where),
    )


def row_to_record(row: StepRow) -> Record:
    outcome = codec.decode_typed(row.data or b"{}", _Outcome)
    return Record(
        path=row.path,
        position=row.position,
        kind=outcome.kind,
        status=row.status,
        attempt=row.attempt,
        started_at=row.started_at,
        finished_at=row.finished_at,
        decision=outcome.decision,
        output=outcome.output,
        value=outcome.value,
    )


class Recorder:
    """Writes one run. ``created`` is True once the database knows the run."""

    def __init__(self, run: Execution, db: BaseDb, *, keep_log: bool, sieve: Sieve | None, created: bool) -> None:
        self.run = run
        self.db = db
        self.created = created
        self.durability = run.definition.durability
        self._keep_log = keep_log
        self._sieve = sieve
        self._steps: dict[str, StepRow] = {}
        self._events: list[EventRow] = []
        self._last: StepContentEvent | None = None
        self._lock = anyio.Lock()
        self._flushing = False

    # -- collecting (never awaits) -------------------------------------------------------------------------------------

    def accept(self, event: Event) -> None:
        """Take an event into the log; adjacent text of one step becomes one row."""
        if not self._keep_log or (self._sieve is not None and not self._sieve(event)):
            return
        last = self._last
        if isinstance(event, StepContentEvent) and isinstance(event.delta, str):
            if (
                last is not None
                and self._events
                and (last.last_seq or last.seq) + 1 == event.seq
                and (last.path, last.attempt) == (event.path, event.attempt)
            ):
                event = merge_content(last, event)
                self._events.pop()
            self._last = event
        else:
            self._last = None
        self._events.append(
            EventRow(
                run_id=self.run.id,
                seq=event.seq,
                last_seq=getattr(event, "last_seq", None) or event.seq,
                epoch=event.epoch,
                kind=event.event,
                path=event.path,
                data=codec.encode_event(event),
            )
        )

    def note(self, record: Record) -> None:
        """Take a journal record, encoded as it is now."""
        self._steps[record.path] = record_to_row(self.run.id, record, self.run.epoch)

    # -- committing ----------------------------------------------------------------------------------------------------

    async def milestone(self) -> None:
        """A step has ended: commit now ("sync"), soon ("async") or not yet ("exit")."""
        if self.durability == "sync":
            await self.commit()
        elif self.durability == "async" and not self._flushing:
            self._flushing = True
            spawn(self._flush, f"flush {self.run.id}")

    async def _flush(self) -> None:
        try:
            while self._dirty() and not self.run.ended:
                await self.commit()
        except Exception as error:
            self.run.fail(error)
        finally:
            self._flushing = False

    def _dirty(self) -> bool:
        return bool(self._steps or self._events or not self.created)

    def exclusive(self) -> anyio.Lock:
        """Held while nothing of this run is being committed."""
        return self._lock

    async def commit(self, status: RunStatus | None = None) -> None:
        """Write all that is ready; with ``status`` the run's row too, which then has that status.

        Raises:
            StorageError: Nothing was written; what was collected is kept.
        """
        async with self._lock:
            while True:
                run = self.run
                after = snapshot(run.state)
                steps, events = dict(self._steps), len(self._events)
                asked = run.pauses.take()
                patch = self._patch(after, status)
                batch = Batch(
                    fence=Fence(run_id=run.id, attempt=run.epoch) if self.created else None,
                    run=self._row(status) if status is not None or not self.created else None,
                    create=not self.created,
                    steps=list(steps.values()),
                    events=self._events[:events],
                    requirements=[self._requirement(item) for item in asked],
                    session=patch,
                )
                if batch.is_empty:
                    return
                try:
                    await self.db.commit(batch)
                except ConcurrentWrite as conflict:
                    for item in asked:
                        run.pauses.changed.setdefault(item.id, item)
                    run.state_conflict(conflict.current, after)
                    if status is not None:
                        raise  # the terminal event has to be numbered again, behind the conflicts
                    continue
                except BaseException:
                    for item in asked:
                        run.pauses.changed.setdefault(item.id, item)
                    raise
                self.created = True
                for path, row in steps.items():
                    if self._steps.get(path) is row:
                        del self._steps[path]
                del self._events[:events]
                if not self._events:
                    self._last = None
                run.state_base = after
                return

    def _row(self, status: RunStatus | None) -> RunRow:
        run = self.run
        output = run.output
        now = run.clock.time()
        return RunRow(
            run_id=run.id,
            session_id=run.request.session_id,
            status=status or RunStatus.running,
            user_id=run.request.user_id,
            workflow_id=run.definition.id,
            workflow_name=run.definition.name,
            parent_run_id=run.request.parent_run_id,
            attempt=run.epoch,
            seq=run.bus.seq if status is None else output.last_seq,
            fingerprint=run.definition.plan.fingerprint,
            created_at=run.created_at,
            updated_at=now,
            data=codec.encode_run(output),
            owner=run.owner,
            lease_until=now + run.definition.lease if status in (None, RunStatus.running) else None,
        )

    def _patch(self, after: dict[str, bytes], status: RunStatus | None) -> SessionPatch | None:
        run = self.run
        changed = changes(run.state_base, after)
        if not changed and self.created and status is None:
            return None
        definition = run.definition
        first = not self.created
        return SessionPatch(
            session_id=run.request.session_id,
            user_id=run.request.user_id,
            workflow_id=definition.id,
            workflow_name=definition.name,
            state=changed,
            expected={key: run.state_base.get(key) for key in changed},
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
            kind=item.kind,
            created_at=item.created_at or run.clock.time(),
            timeout_at=item.timeout_at.timestamp() if item.timeout_at else None,
            answered_at=item.answered_at,
            data=codec.encode_requirement(item),
        )

    def retract(self, seq: int) -> None:
        """Forget a collected event: its commit was refused and nobody saw it."""
        self._events = [row for row in self._events if row.seq != seq]
        self._last = None


def storage_failure(error: BaseException) -> StorageError:
    """``error`` as a StorageError, itself if it is one."""
    if isinstance(error, StorageError):
        return error
    return StorageError(f"the run could not be stored: {error}")
