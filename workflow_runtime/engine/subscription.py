"""Following a run by its id: history from the log, then live, no gap or duplicate at the seam. spec: decisions 2."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from ..core.filters import Sieve
from ..model import checks, codec
from ..model.errors import InputError, RunNotFound, StorageError
from ..model.events import Event, StepContentEvent
from ..storage.base import BaseDb, EventRow
from .bus import Buffer, ReaderTooSlow
from .execution import Execution
from .host import find_finished, find_live
from .merging import content_after

__all__ = ["Subscription"]

_PAGE = 500
_POLL_SECONDS = 1.0  # the safety net under the database's own wake-up
_FINAL = ("WorkflowCompleted", "WorkflowCancelled", "WorkflowError")


class Subscription:
    """Async iterator over the events of one run with a ``seq`` larger than ``after``; ends after its final event.

    It owns nothing: leaving it does not touch the run, and a pause does not end it where there is a database. A reader that
    falls behind is served from the log; where no log is kept its buffer's ``policy`` decides.
    """

    def __init__(
        self, db: BaseDb | None, run_id: str, *, after: int | str, sieve: Sieve | None, policy: str, size: int
    ) -> None:
        self._buffer: Buffer | None = None  # first: a refused argument must leave something to finalise
        self._run: Execution | None = None
        self.run_id = checks.text(run_id, "run_id", error=InputError)
        Buffer(size, policy)  # refused now, not when the run is found to be live
        self._epoch, self.last_seq = parse_after(after)
        self._db = db
        self._sieve = sieve
        self._policy = policy
        self._size = size
        self._ready: deque[Event] = deque()
        self._known = False
        self._done = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._done:
                raise StopAsyncIteration
            await self._more()
        return self._ready.popleft()

    async def take_some(self) -> list[Event]:
        """All events that are ready, at least one; empty at the end."""
        while not self._ready and not self._done:
            await self._more()
        events = list(self._ready)
        self._ready.clear()
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

    def __del__(self) -> None:
        if self._run is not None and self._buffer is not None:
            self._run.from_anywhere(self._buffer, None)

    # -- sources -------------------------------------------------------------------------------------------------------

    async def _more(self) -> None:
        """Put something into ``_ready``, or wait, or find the end."""
        if self._epoch is not None and self._db is not None:
            epoch, self._epoch = self._epoch, None
            self.last_seq = await still_true(self._db, self.run_id, epoch, self.last_seq)
        if self._buffer is not None:
            await self._from_bus(self._buffer)
            return
        if self._db is not None and await self._from_log(self._db):
            return
        if self._done:
            return
        live = find_live(self.run_id)
        if live is not None and live.loop.is_here():
            await self._attach(live)
        elif self._db is not None:
            await self._wait_for_change(self._db)
        else:
            self._from_memory(live)

    async def _from_bus(self, buffer: Buffer) -> None:
        try:
            events = await buffer.take_some()
        except ReaderTooSlow:
            logged = self._run is not None and self._run.logged
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
        self._take(events)

    async def _from_log(self, db: BaseDb) -> bool:
        rows = await db.load_events(self.run_id, after=self.last_seq, limit=_PAGE)
        self._take(decode_rows(rows))
        if rows:  # whatever their data says: the next page begins behind them
            self.last_seq = max(self.last_seq, rows[-1].last_seq)
        return bool(rows)

    async def _attach(self, run: Execution) -> None:
        """Join the live events. What the bus has published before is in the log, or still with the recorder."""
        logged = run.logged
        self._known = True
        self._run = run
        self._buffer = run.bus.attach(Buffer(self._size, "disconnect" if logged else self._policy))
        waiting = run.recorder.pending() if run.recorder is not None else []
        if not logged:
            self._take(list(run.output.events or ()))
            return
        while await self._from_log(self._db) if self._db is not None else False:
            if self._done:
                self._detach()
                return
        self._take(decode_rows(waiting))

    async def _wait_for_change(self, db: BaseDb) -> None:
        row = await db.load_run(self.run_id)
        if row is None:
            if not self._known:
                raise RunNotFound(f"no run {self.run_id!r}; check the id and that this is the database it is stored in")
            self._done = True
            return
        self._known = True
        if row.status.is_final:
            # Once more, since the last events may have been committed between the two reads.
            if not await self._from_log(db):
                self._done = True
                if row.seq > self.last_seq and not await db.load_events(self.run_id, limit=1):
                    raise StorageError(
                        f"run {self.run_id!r} has ended and its events are not stored;"
                        " use store_events=True or background=True"
                    )
            return
        await db.changed(self.run_id, seen=self.last_seq, timeout=_POLL_SECONDS)

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
        """Accept what is new; the same event may come from the log and from the bus. Among ``events`` merged ones may
        overlap, so what is new is what lies behind all that was taken before them."""
        before = self.last_seq
        for event in events:
            last = getattr(event, "last_seq", None) or event.seq
            if last <= before:
                continue
            if isinstance(event, StepContentEvent) and event.seq <= before:
                event = content_after(event, before)
            self.last_seq = max(self.last_seq, last)
            if self._sieve is None or self._sieve(event):
                self._ready.append(event)
            if event.nested_depth == 0 and event.event in _FINAL:
                self._done = True
                self._detach()

    def _detach(self) -> None:
        if self._run is not None and self._buffer is not None:
            self._run.bus.detach(self._buffer)
        self._run = self._buffer = None


def parse_after(after: int | str) -> tuple[int | None, int]:
    """(epoch, seq) of an event's ``id``, or (None, seq) of a plain number. ValueError for anything else."""
    if not isinstance(after, str):
        checks.number(after, "after", least=0, whole=True, error=InputError)
        return None, after
    epoch, _, seq = after.rpartition("-")
    if not (seq.isdigit() and (epoch.isdigit() or not epoch)):
        raise ValueError(f"after={after!r} is neither a seq nor an event's id such as '1-42'")
    return (int(epoch) if epoch else None), int(seq)


async def still_true(db: BaseDb, run_id: str, epoch: int, seq: int) -> int:
    """How far a reader's knowledge up to ``epoch-seq`` still holds. What it saw live beyond the last commit of a process
    that died is superseded: the run went on from there under the same numbers, with a higher epoch."""
    row = next(iter(await db.load_events(run_id, after=seq - 1, limit=1)), None)
    if row is None or row.epoch <= epoch:
        return seq
    after = 0
    while page := await db.load_events(run_id, after=after, limit=_PAGE):
        for row in page:
            if row.epoch > epoch:
                return min(seq, row.seq - 1)
        after = page[-1].last_seq
    return seq


def decode_rows(rows: list[EventRow]) -> list[Event]:
    return [codec.decode_event(row.data, row) for row in rows]
