"""Following a run by its id: history from the log, then live, no gap or duplicate at the seam.

Two sources have the events of a run: the log, and the bus of the process that executes it. The log is what counts. The bus
is ahead of it, and of a process that has lost the run it is wrong from some number on; then the reader goes back to where
the log parts from what it saw (``core.position``), and reads on from there.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from ...brokers.base import Broker
from ...core.filters import Sieve
from ...core.lifecycle import is_end
from ...core.position import Cursor, Position, parse_position, stored_end
from ...model import checks, codec
from ...model.enums import RunStatus
from ...model.errors import InputError, RunNotFound, StorageError
from ...model.events import Event
from ...storage.base import BaseDb, EventRow, RunRow
from ..bus.buffer import Buffer, ReaderTooSlow
from ..bus.relayed import Relayed
from ..bus.stored_ends import end_event
from ..run.execution import Execution
from ..run.host import find_finished, find_live

__all__ = ["Subscription"]

_PAGE = 500
_POLL_SECONDS = 1.0  # the safety net under the database's own wake-up
_FINAL = ("WorkflowCompleted", "WorkflowCancelled", "WorkflowError")


class Subscription:
    """Async iterator over the events of one run after a position; ends after its final event.

    It owns nothing: leaving it does not touch the run, and a pause does not end it where there is a database. A reader that
    falls behind is served from the log; where no log is kept its buffer's ``policy`` decides.

    What the reader has seen of a process that died, or lost the run, and what was not stored, is superseded when another
    process takes the run over: then WorkflowResumed comes, and everything after it, under numbers that were seen before.

    Raises:
        StorageError: The database cannot be reached. Reading may be tried again, and goes on where it was.
    """

    def __init__(
        self,
        db: BaseDb | None,
        run_id: str,
        *,
        after: int | str,
        sieve: Sieve | None,
        policy: str,
        size: int,
        ends_are_skipped: bool = False,  # by events_to_skip: of a run without any stored event the end comes all the same
        broker: Broker | None = None,
    ) -> None:
        self._buffer: Buffer | None = None  # first: a refused argument must leave something to finalise
        self._run: Execution | None = None
        self._relayed = Relayed(broker, run_id) if broker is not None and broker.relays and db is not None else None
        self.run_id = checks.identifier(run_id, "run_id", error=InputError)
        Buffer(size, policy)  # refused now, not when the run is found to be live
        self._after: Position | int | None = parse_position(after)  # None once the cursor stands there
        self._cursor = Cursor(Position(0, 0))
        self._db = db
        self._sieve = sieve
        self._policy = policy
        self._size = size
        self._ready: deque[Event] = deque()
        self._last: Event | str = str(self._after)
        self._known = False
        self._done = False
        self.ends_are_skipped = ends_are_skipped

    @property
    def last_event_id(self) -> str:
        """The ``id`` of the last event that was handed out, or where this reader began: another one goes on there."""
        return self._last if isinstance(self._last, str) else self._last.id

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._done:
                await self._leave_relay()
                raise StopAsyncIteration
            await self._more()
        self._last = event = self._ready.popleft()
        return event

    async def take_some(self) -> list[Event]:
        """All events that are ready, at least one; empty at the end."""
        while not self._ready and not self._done:
            await self._more()
        events = list(self._ready)
        self._ready.clear()
        self._last = events[-1] if events else self._last
        if self._done:
            await self._leave_relay()
        return events

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave. The run goes on."""
        self._done = True
        self._detach()
        await self._leave_relay()

    async def _leave_relay(self) -> None:
        relayed, self._relayed = self._relayed, None
        if relayed is not None:
            await relayed.aclose()

    def __del__(self) -> None:
        if self._run is not None and self._buffer is not None:
            self._run.from_anywhere(self._buffer, None)

    # -- sources -------------------------------------------------------------------------------------------------------

    async def _more(self) -> None:
        """Put something into ``_ready``, or wait, or find the end."""
        if self._after is not None:
            await self._begin(self._after)
        if self._buffer is not None:
            await self._from_bus(self._buffer)
            return
        if self._relayed is not None and self._relayed.leads:
            events = await self._relayed.next(self._cursor.position, _POLL_SECONDS)
            if events:
                self._take(events)
                return
        if self._db is not None and await self._from_log(self._db):
            return
        if self._done:
            return
        live = find_live(self.run_id)
        if live is not None and live.loop.is_here() and self._is_current(live):
            await self._attach(live)
        elif self._db is not None:
            await self._wait_for_change(self._db)
        else:
            self._from_memory(live)

    async def _begin(self, after: Position | int) -> None:
        """Stand where the reader was. A plain number counts in the attempt that the run is at now."""
        if isinstance(after, int):
            row = await self._db.load_run(self.run_id) if after and self._db is not None else None
            live = find_live(self.run_id)
            epoch = row.attempt if row is not None else live.epoch if live is not None else 0
            after = Position(epoch if after else 0, after)
        self._cursor.move(after)
        self._after = None

    def _is_current(self, run: Execution) -> bool:
        """False for a run that another process has taken over, as the log says, and that does not know it yet."""
        return self._db is None or run.epoch >= self._cursor.position.epoch

    async def _from_bus(self, buffer: Buffer) -> None:
        run = self._run
        assert run is not None
        try:
            events = await buffer.take_some()
        except ReaderTooSlow:
            logged = run.logged
            self._detach()
            if not logged:
                raise
            return  # the log has what the buffer could not hold
        except Exception:
            self._detach()  # what the run failed with is its caller's; a reader has seen WorkflowError
            return
        if not events:
            self._detach()
            if self._db is None:
                self._done = True
        if run.end_is_lost and events and is_end(events[-1]):
            # Nobody sees an end that is not stored (D6): how the run goes on, and where, the log will say.
            events.pop()
            self._detach()
        self._take(events)

    async def _from_log(self, db: BaseDb) -> bool:
        rows = await db.load_events(self.run_id, after=self._cursor.position.seq, limit=_PAGE)
        # Rows of the reader's attempt follow on from what it saw. In front of those of a later one there may be others.
        if rows and rows[0].epoch > self._cursor.position.epoch and await self._go_back(db, rows[0].epoch):
            rows = await db.load_events(self.run_id, after=self._cursor.position.seq, limit=_PAGE)
        self._take(decode_rows(rows))
        return bool(rows)

    async def _go_back(self, db: BaseDb, epoch: int) -> bool:
        """The run is at attempt ``epoch`` now: stand where the log parts from what was seen. True if that is a step back."""
        before = self._cursor.position
        end = await _stored_end(db, self.run_id, before)
        self._cursor.move(Position(epoch, end))
        return end < before.seq

    async def _attach(self, run: Execution) -> None:
        """Join the live events. What the bus has published before is in the log, or still with the recorder."""
        logged = run.logged
        self._known = True
        self._run = run
        self._buffer = run.bus.attach(Buffer(self._size, "disconnect" if logged else self._policy))
        waiting = run.recorder.pending() if run.recorder is not None else []
        if not logged or self._db is None:
            self._take(list(run.output.events or ()))
            return
        try:
            is_behind = await self._catch_up(self._db, run)
        except BaseException:  # what was missed until now would be missing behind the live events
            self._detach()
            raise
        if not is_behind and not self._done:
            self._take(decode_rows(waiting))
        else:
            self._detach()

    async def _catch_up(self, db: BaseDb, run: Execution) -> bool:
        """Read the log up to where the live events begin. True if they are those of an attempt that is over."""
        if run.epoch > self._cursor.position.epoch:
            await self._go_back(db, run.epoch)
        while not self._done and await self._from_log(db):
            pass
        return not self._is_current(run)

    async def _wait_for_change(self, db: BaseDb) -> None:
        row = await db.load_run(self.run_id)
        if row is None:
            if not self._known:
                raise RunNotFound(f"no run {self.run_id!r}; check the id and that this is the database it is stored in")
            self._done = True
            return
        self._known = True
        if row.attempt > self._cursor.position.epoch and await self._go_back(db, row.attempt):
            return
        is_missing = row.seq > self._cursor.position.seq
        if row.status.is_final or (row.status is RunStatus.paused and is_missing):
            # Once more, since the last events may have been committed between the two reads.
            if await self._from_log(db):
                return
            if is_missing and await self._take_end(db, row):
                return
            if row.status.is_final:
                self._done = True
                return
        if self._relayed is not None and await self._relayed.joins(self._cursor.position, row):
            return  # the log is read once more, for what came before the relay was joined
        await db.changed(self.run_id, seen=self._cursor.position.seq, timeout=_POLL_SECONDS)

    async def _take_end(self, db: BaseDb, row: RunRow) -> bool:
        """The log ends before the run does: ``events_to_skip`` named the last event. It comes all the same."""
        if self.ends_are_skipped or await db.load_events(self.run_id, limit=1):
            self._take([await end_event(db, row)])
            return True
        if row.status.is_final:
            self._done = True
            raise StorageError(
                f"run {self.run_id!r} has ended and its events are not stored; use store_events=True or background=True"
            )
        return False

    def _from_memory(self, live: Execution | None) -> None:
        if live is not None:
            raise StorageError(
                f"run {self.run_id!r} runs on another event loop; give the workflow a db to follow it from here"
            )
        finished = find_finished(self.run_id)
        if finished is None and not self._known:
            raise RunNotFound(f"no run {self.run_id!r} in this process, and the workflow has no db to look in")
        self._take(list(finished.events or ()) if finished is not None else [])
        self._done = True

    # -- taking --------------------------------------------------------------------------------------------------------

    def _take(self, events: list[Event]) -> None:
        """Accept what is new; the same event may come from the log and from the bus."""
        self._cursor.mark()
        for number, event in enumerate(events, 1):
            found = self._cursor.take(event)
            if found is None:
                continue
            if self._sieve is None or self._sieve(found):
                self._ready.append(found)
            # What follows an end is of a run that was put aside and requeued.
            if found.nested_depth == 0 and found.event in _FINAL and number == len(events):
                self._done = True
                self._detach()

    def _detach(self) -> None:
        if self._run is not None and self._buffer is not None:
            self._run.bus.detach(self._buffer)
        self._run = self._buffer = None


async def _stored_end(db: BaseDb, run_id: str, position: Position) -> int:
    """``core.position.stored_end`` of what the database has."""
    search = stored_end(position)
    try:
        after = next(search)
        while True:
            rows = await db.load_events(run_id, after=after, limit=1)
            after = search.send(rows[0] if rows else None)
    except StopIteration as end:
        found: int = end.value
        return found


def decode_rows(rows: list[EventRow]) -> list[Event]:
    return [codec.decode_event(row.data, row) for row in rows]
