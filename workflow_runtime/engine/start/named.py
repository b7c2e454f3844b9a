"""Runs whose caller named their id: one id is one run, over all processes that share a database.

Such a run is stored, by an insert, before anything of it begins; a database refuses the second insert of an id. With
durability "exit", which stores nothing of a run that dies, the insert reserves the id only, and who meets that row after its
lease has run out discards it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ...brokers.base import Broker
from ...core.lifecycle import is_end
from ...model import codec
from ...model.errors import RunExists, RunNotFound, StorageError, UnserializableError
from ...model.events import Event
from ...model.run import WorkflowRunOutput
from ...storage.base import BaseDb, RunRow
from ...storage.rules import ACTIVE
from ..bus.buffer import Buffer
from ..bus.states import read_output
from ..bus.stored_ends import end_event
from ..loop.loops import spawn, whole
from ..readers.subscription import Subscription
from ..run.execution import Execution
from ..run.host import build_new, find_finished, find_live, find_paused, leave_line, line_up, prepare_new, register
from ..run.joined import Joined
from ..run.request import RunRequest
from ..run.sessions import Turn, turn_before_claim
from .continuation import Continuation
from .resume import taken_over

__all__ = ["Whole", "join_existing", "joined_to", "prepare_named", "store_named"]

_SIZE = 256  # events


async def prepare_named(request: RunRequest, *, join: bool, session_chosen: bool) -> Execution | Joined:
    """The run of an id that its caller chose, stored; or, with ``join``, the one that has the id already. Then it must be
    of the same workflow, user and input, and of the same session where the caller named one (``session_chosen``).

    Raises:
        RunExists: There is a run of this id, and it is not to be joined, or is another one. Nothing was started.
        SessionBusy: With policy "reject", another run of the session is under way. The id is free.
    """
    db = request.definition.db
    turn = line_up(request) if db is not None else None
    try:
        while True:
            existing = await join_existing(request, db, join=join, session_chosen=session_chosen)
            if existing is not None:
                await leave_line(turn)
                return existing
            try:
                return await (prepare_new(request) if db is None else whole(partial(_stored, request, turn)))
            except RunExists:
                if not join:
                    raise
    except BaseException:
        await leave_line(turn)
        raise


async def join_existing(request: RunRequest, db: BaseDb | None, *, join: bool, session_chosen: bool) -> Joined | None:
    """The run that has this id, to be waited for; None where the id is free. RunExists as ``prepare_named`` says."""
    taken = await _find(request, db)
    if taken is None:
        return None
    _refuse_another(request, taken, join=join, session_chosen=session_chosen)
    return await joined_to(request, db, taken)


async def _stored(request: RunRequest, turn: Turn | None) -> Execution:
    run = await build_new(request, turn)
    await store_named(run)
    return register(run)


async def store_named(run: Execution) -> None:
    """Insert the run, so that no other process runs its id. Raises RunExists where another one was first."""
    recorder, request = run.recorder, run.request
    assert recorder is not None
    store = recorder.reserve if recorder.durability == "exit" and not request.background else recorder.commit
    if request.background or run.definition.session_policy != "reject":
        await store()
        return
    # A busy session refuses the run before its id is taken. One in the background is stored as failed.
    if run.turn is not None:
        run.turn.refuse_busy()
    async with turn_before_claim(run.definition, request.session_id, run.owner, run.id, is_new=True):
        await store()


# -- the run that has the id ---------------------------------------------------------------------------------------------

Taken = RunRow | WorkflowRunOutput


async def _find(request: RunRequest, db: BaseDb | None) -> Taken | None:
    """The run that has this id. A reservation whose process died is discarded: it is none."""
    if db is None:
        live = find_live(request.run_id)
        return live.output if live is not None else find_paused(request.run_id) or find_finished(request.run_id)
    row = await db.load_run(request.run_id)
    if row is not None and row.reserved and row.expired and await db.discard(row.run_id):
        return None
    return row


def _refuse_another(request: RunRequest, taken: Taken, *, join: bool, session_chosen: bool) -> None:
    where = f"run {request.run_id!r} exists already ({taken.status})"
    if not join:
        raise RunExists(f"{where}; leave run_id out to get a new one")
    differs = _difference(request, taken, session_chosen)
    if differs is not None:
        raise RunExists(f"{where} and cannot be joined: it is of another {differs}; use another run_id")


def _difference(request: RunRequest, taken: Taken, session_chosen: bool) -> str | None:
    """In what the run that has the id is not the one that is asked for."""
    if taken.workflow_id != request.definition.id:
        return "workflow"
    if taken.user_id != request.user_id:
        return "user"
    if session_chosen and taken.session_id != request.session_id:
        return "session"
    output = taken if isinstance(taken, WorkflowRunOutput) else codec.decode_run(taken.data, taken)
    given, had = request.input, output
    mine = (given.value, given.additional_data, given.images, given.videos, given.audio, given.files)
    other = (had.input, had.additional_data, had.images, had.videos, had.audio, had.files)
    return None if _bytes(mine) == _bytes(other) else "input"


def _bytes(values: tuple[Any, ...]) -> bytes:
    try:
        return codec.encode_value([value or None if isinstance(value, list) else value for value in values])
    except UnserializableError:  # held by a run that no database keeps
        return repr(values).encode()


async def joined_to(request: RunRequest, db: BaseDb | None, taken: Taken) -> Joined:
    """The run of the request's id, which is stored or live as ``taken``, to be waited for."""
    definition = request.definition
    live = find_live(request.run_id)
    if isinstance(taken, WorkflowRunOutput) or db is None:
        assert isinstance(taken, WorkflowRunOutput)
        return Whole(run=live if live is not None and live.loop.is_here() else None, output=taken)
    if live is not None and live.loop.is_here():
        return Whole(run=live, output=live.output, db=db, row=taken)
    asked = Continuation(
        definition=definition,
        run_id=taken.run_id,
        store_events=request.store_events,
        keep_log=request.keep_log,
        skip=request.skip,
        background=request.background,
    )
    output = await read_output(db, taken)
    output.status, output.epoch = taken.status, taken.attempt
    found = Whole(run=None, output=output, db=db, row=taken, take_over=taken_over(asked, db))
    found.broker = definition.broker
    return found


class Whole(Joined):
    """A run that another call has started, from its beginning: its log, and then what it does. Of a run without a log those
    who come late see the end. ``broker``: shows it before it is stored."""

    broker: Broker | None = None

    def attach(self, buffer: Buffer) -> None:
        spawn(partial(self._follow, buffer), f"follow {self.id}")

    def detach(self, buffer: Buffer) -> None:
        buffer.abandon()

    async def _read_log(self, buffer: Buffer) -> None:
        events = Subscription(
            self._db, self.id, after=0, sieve=None, policy="disconnect", size=_SIZE, broker=self.broker
        )
        try:
            async for event in events:
                buffer.offer(event)
                await buffer.drained()
                if buffer.closed or (is_end(event) and await self._is_over(event)):
                    return
        except (RunNotFound, StorageError):
            row = None if self._db is None else await self._db.load_run(self.id)
            if self._db is None or row is None or row.status in ACTIVE:
                raise
            buffer.offer(await end_event(self._db, row))
        finally:
            await events.aclose()

    async def _is_over(self, event: Event) -> bool:
        """Whether nothing follows ``event`` for now: a pause may be one that the run has long gone on from."""
        row = None if self._db is None else await self._db.load_run(self.id)
        return row is None or row.seq <= event.seq
