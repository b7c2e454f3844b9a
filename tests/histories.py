"""Random histories of a run with several attempts, what a reader makes of events, and a process that takes a run over.

A history is made of attempts. Each publishes events, stores them up to some number, and is followed by the next one: after
a crash, which loses what was not stored, or after a pause, which loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from workflow_runtime import (
    BaseDb,
    RunStatus,
    StepContentEvent,
    StepStartedEvent,
    WorkflowCompletedEvent,
    WorkflowPausedEvent,
    WorkflowResumedEvent,
    WorkflowRunOutput,
)
from workflow_runtime.core.position import last_number
from workflow_runtime.model.codec import encode_event, encode_run
from workflow_runtime.model.events import Event
from workflow_runtime.storage.base import Batch, EventRow, Fence, RunRow

FOREVER = 2.0**40  # unix seconds

__all__ = ["FOREVER", "Attempt", "Owner", "attempts", "folded", "log_of", "merged", "row_of"]


@dataclass(frozen=True)
class Attempt:
    """One attempt: the events that were seen live, one number each, and those that were stored, adjacent text merged."""

    live: Sequence[Event]
    stored: Sequence[Event]


def merged(parts: Sequence[StepContentEvent]) -> StepContentEvent:
    """Adjacent chunks as one event, as the log has them."""
    first, deltas = parts[0], [str(part.delta) for part in parts]
    if len(parts) == 1:
        return first
    return StepContentEvent(
        seq=first.seq,
        epoch=first.epoch,
        run_id=first.run_id,
        path=first.path,
        step_name=first.step_name,
        delta="".join(deltas),
        last_seq=parts[-1].seq,
        lengths=[len(delta) for delta in deltas],
    )


@st.composite
def attempts(draw: st.DrawFn, ends: bool = False) -> list[Attempt]:
    """Attempts one after the other, the last of which ends well (in a pause, or with ``ends`` for good); every chunk of
    text says in which attempt and under which number it was published."""
    found: list[Attempt] = []
    end, crashed = 0, False
    count = draw(st.integers(1, 4))
    for epoch in range(1, count + 1):
        live: list[Event] = []
        if epoch > 1 and crashed:
            live.append(WorkflowResumedEvent(seq=end + 1, epoch=epoch, attempt=epoch, after_seq=end))
        for is_text in draw(st.lists(st.booleans(), max_size=10)):
            seq = end + len(live) + 1
            said = f"{epoch}-{seq} "
            live.append(
                StepContentEvent(seq=seq, epoch=epoch, delta=said)
                if is_text
                else StepStartedEvent(seq=seq, epoch=epoch, path=said)
            )
        crashed = epoch < count and draw(st.booleans())
        if not crashed:
            kind = WorkflowCompletedEvent if ends and epoch == count else WorkflowPausedEvent
            live.append(kind(seq=end + len(live) + 1, epoch=epoch))
        kept = live[: draw(st.integers(0, len(live)))] if crashed else live
        stored: list[Event] = []
        text: list[StepContentEvent] = []
        for event in kept:
            if text and (not isinstance(event, StepContentEvent) or draw(st.booleans())):
                stored.append(merged(text))
                text = []
            if isinstance(event, StepContentEvent):
                text.append(event)
            else:
                stored.append(event)
        if text:
            stored.append(merged(text))
        found.append(Attempt(live, stored))
        end = last_number(stored[-1]) if stored else end
    return found


# -- what a reader has -------------------------------------------------------------------------------------------------


def _parts(event: Event) -> list[tuple[int, str]]:
    """(number, what was said under it), merged text taken apart."""
    place = f"{event.epoch} {event.event} {event.path}"
    if not isinstance(event, StepContentEvent):
        return [(event.seq, place)]
    if event.lengths is None:
        return [(event.seq, f"{place} {event.delta}")]
    found, start = [], 0
    for number, length in enumerate(event.lengths, start=event.seq):
        found.append((number, f"{place} {event.delta[start : start + length]}"))
        start += length
    return found


def folded(events: Iterable[Event]) -> list[tuple[int, str]]:
    """What a reader has in the end: an event of a later attempt replaces what it had from that number on. Fails where a
    number comes twice in one attempt, or an attempt after a later one."""
    kept: dict[int, str] = {}
    epoch = 0
    for event in events:
        assert event.epoch >= epoch, f"attempt {event.epoch} comes after attempt {epoch}"
        if event.epoch > epoch:
            epoch = event.epoch
            kept = {number: said for number, said in kept.items() if number < event.seq}
        for number, said in _parts(event):
            assert number not in kept, f"number {number} of attempt {epoch} came twice: {said!r} after {kept[number]!r}"
            kept[number] = said
    return sorted(kept.items())


async def log_of(db: BaseDb, run_id: str) -> list[Event]:
    """The log as the database has it."""
    from workflow_runtime.model.codec import decode_event

    found: list[Event] = []
    while rows := await db.load_events(run_id, after=last_number(found[-1]) if found else 0):
        found.extend(decode_event(row.data) for row in rows)
    return found


# -- another process ---------------------------------------------------------------------------------------------------


def row_of(run_id: str, event: Event) -> EventRow:
    return EventRow(
        run_id=run_id,
        seq=event.seq,
        last_seq=last_number(event),
        epoch=event.epoch,
        kind=event.event,
        path=event.path,
        data=encode_event(event),
    )


class Owner:
    """A process that owns a run, as its database sees it: it starts or takes over the run, and stores events."""

    def __init__(self, db: BaseDb, run_id: str, *, workflow_id: str = "w") -> None:
        self.db = db
        self.run_id = run_id
        self.epoch = 0
        self.seq = 0
        self.workflow_id = workflow_id
        self.session_id = "s"

    async def start(self, status: RunStatus = RunStatus.running, *, lease_until: float = 1.0) -> None:
        """Store a run that has said nothing yet. Its lease has run out, or lasts until ``lease_until``."""
        self.epoch = 1
        row = self._row(status, owner="dead", lease_until=lease_until)
        await self.db.commit(Batch(run=row, create=True))

    async def take_over(self) -> None:
        """Claim the run, whoever has it."""
        statuses = frozenset({RunStatus.running, RunStatus.paused})
        row = await self.db.claim(
            self.run_id, owner=f"other {id(self)}", now=1.0, lease=FOREVER, statuses=statuses, expired_only=False
        )
        assert row is not None
        rows = await log_of(self.db, self.run_id)
        self.epoch, self.workflow_id, self.session_id = row.attempt, row.workflow_id or "", row.session_id
        self.seq = max(row.seq, last_number(rows[-1]) if rows else 0)

    def resumed(self) -> WorkflowResumedEvent:
        """What the taken over run says first."""
        return WorkflowResumedEvent(
            seq=self.seq + 1, epoch=self.epoch, run_id=self.run_id, attempt=self.epoch, after_seq=self.seq
        )

    def said(self, *kinds: Any, **fields: Any) -> list[Any]:
        """Events of these kinds under the next numbers; each has those of ``fields`` that its kind has."""
        return [
            kind(
                seq=number,
                epoch=self.epoch,
                run_id=self.run_id,
                **{name: value for name, value in fields.items() if name in kind.__struct_fields__},
            )
            for number, kind in enumerate(kinds, start=self.seq + 1)
        ]

    async def store(self, *events: Event) -> None:
        """Append to the log; the run's row too where the last event ends a continuation."""
        last = events[-1]
        self.seq = last_number(last)
        status = {
            "WorkflowPaused": RunStatus.paused,
            "WorkflowCompleted": RunStatus.completed,
            "WorkflowError": RunStatus.error,
        }.get(last.event)
        await self.db.commit(
            Batch(
                fence=Fence(run_id=self.run_id, attempt=self.epoch),
                run=None if status is None else self._row(status),
                events=[row_of(self.run_id, event) for event in events],
            )
        )

    def _row(self, status: RunStatus, **fields: Any) -> RunRow:
        output = WorkflowRunOutput(
            run_id=self.run_id,
            session_id=self.session_id,
            workflow_id=self.workflow_id,
            status=status,
            content="done elsewhere",
        )
        output.epoch, output.last_seq = self.epoch, self.seq
        return RunRow(
            run_id=self.run_id,
            session_id=self.session_id,
            status=status,
            workflow_id=self.workflow_id,
            attempt=self.epoch,
            seq=self.seq,
            data=encode_run(output),
            **fields,
        )
