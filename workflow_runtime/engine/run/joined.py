"""A run that goes on already, here or in another process, as a caller sees it that has only answered its questions.

A continue whose answers reach a RUNNING run joins it: it waits for the end of the continuation that is under way, or
streams it, and leaving it cancels nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...core.lifecycle import TERMINAL_EVENTS
from ...core.position import content_after
from ...model import codec
from ...model.enums import RunStatus
from ...model.errors import RunNotFound, StorageError
from ...model.events import StepContentEvent
from ...model.run import WorkflowRunOutput
from ...storage.base import BaseDb, RunRow
from ..bus.stored import output_of
from ..loop.loops import Loop, current_loop, spawn

if TYPE_CHECKING:
    from ..bus.buffer import Buffer
    from ..bus.completion import Completion
    from ..bus.pauses import Requirement
    from .execution import Execution

__all__ = ["Joined"]

_PAGE = 500
_POLL_SECONDS = 1.0  # the safety net under the database's own wake-up
_ACTIVE = (RunStatus.running, RunStatus.pending)


class Joined:
    """The continuation that was under way when the answers were stored.

    Args:
        run: It, where this event loop executes it; else None.
        db, row: The database that it is stored in, and its row as it was read last.
        take_over: Goes on with it here once its lease has run out; its output, None when another process was first.
        answers: What ``run`` is to be told; it need not wait for its heartbeat to read them.
    """

    def __init__(
        self,
        *,
        run: Execution | None,
        output: WorkflowRunOutput,
        db: BaseDb | None = None,
        row: RunRow | None = None,
        take_over: Callable[[RunRow], Awaitable[WorkflowRunOutput | None]] | None = None,
        answers: Sequence[Requirement] = (),
    ) -> None:
        self.id = output.run_id or ""
        self.output = output
        self.loop: Loop = current_loop()
        self._run = run
        self.completion: Completion | None = None  # not its caller's to end
        self._completion = run.completion if run is not None else None
        self._db = db
        self._row = row
        self._take_over = take_over
        self._answers = list(answers)
        self._followed: Buffer | None = None

    @property
    def end_is_lost(self) -> bool:
        return self._run is not None and self._run.end_is_lost

    @property
    def is_taken_over(self) -> bool:
        return self._run is not None and self._run.is_taken_over

    @property
    def epoch(self) -> int:
        return self.output.epoch

    @property
    def keeps_log(self) -> bool:
        """Whether its events can be read from the database."""
        return self._run is None or self._run.logged

    def begin(self) -> None:
        """Tell the run of its answers. A reader is attached before, so that it sees what follows from them."""
        answers, self._answers = self._answers, []
        if self._run is not None and answers:
            self._run.answered(answers)

    def cancel(self, reason: str | None = None) -> bool:
        """Who joined a run leaves it; the run goes on."""
        return False

    # -- its end -------------------------------------------------------------------------------------------------------

    async def result(self) -> WorkflowRunOutput:
        """The output once the continuation has ended; raises what it failed with, if that happened here."""
        if self._completion is not None:
            return await self._completion.result()
        if self._db is None:  # ended, or paused, and kept in memory
            return self.output
        assert self._row is not None
        db, row = self._db, self._row
        seen = row.seq
        while row.status in _ACTIVE:
            if self._take_over is not None and row.expired:
                output = await self._take_over(row)
                if output is not None:
                    return output
            if await db.changed(row.run_id, seen=seen, timeout=_POLL_SECONDS):
                log = await db.load_events(row.run_id, after=seen, limit=_PAGE)
                seen = log[-1].last_seq if log else seen
            found = await db.load_run(row.run_id)
            if found is None:
                raise RunNotFound(f"run {row.run_id!r} was deleted while it was waited for")
            row, seen = found, max(seen, found.seq)
        return await output_of(db, row)

    # -- its events ----------------------------------------------------------------------------------------------------

    def attach(self, buffer: Buffer) -> None:
        """Show its events from now on, to the end of the continuation."""
        if self._run is not None:
            self._run.attach(buffer)
            return
        self._followed = buffer
        spawn(partial(self._follow, buffer), f"follow {self.id}")

    def detach(self, buffer: Buffer) -> None:
        if self._run is not None:
            self._run.bus.detach(buffer)
        else:
            self._followed = None
            buffer.abandon()

    def from_anywhere(self, buffer: Buffer, reason: str | None) -> None:
        """A reader is gone. From any thread, also from a finaliser."""
        self.loop.call(partial(self.detach, buffer))

    async def _follow(self, buffer: Buffer) -> None:
        try:
            await self._read_log(buffer)
        except Exception as error:
            buffer.close(error)
        else:
            buffer.close()
        finally:
            self._followed = None

    async def _read_log(self, buffer: Buffer) -> None:
        """Put the events of the continuation into ``buffer``, to its end."""
        db, row = self._db, self._row
        assert db is not None
        assert row is not None
        after, seen = row.seq, 0
        while not buffer.closed:
            current = await db.load_run(self.id)
            for item in await db.load_events(self.id, after=after, limit=_PAGE):
                event = codec.decode_event(item.data)
                if isinstance(event, StepContentEvent) and event.seq <= after:
                    event = content_after(event, after)
                after, seen = item.last_seq, seen + 1
                buffer.offer(event)
                await buffer.drained()
                if event.nested_depth == 0 and event.event in TERMINAL_EVENTS:
                    return
            if current is None or (current.status not in _ACTIVE and after >= current.seq):
                return
            if current.status not in _ACTIVE and not seen:
                raise StorageError(
                    f"the answers are stored and run {self.id} has gone on in another process, but its events are not"
                    " stored, so they cannot be streamed here; use store_events=True, or wait for the output"
                )
            await db.changed(self.id, seen=after, timeout=_POLL_SECONDS)
