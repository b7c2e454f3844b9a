"""Sessions: whose they are, what state a run starts with, and who may run when."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from ...core.state import changes, copied, merged, patched, replace, snapshot
from ...model import codec
from ...model.enums import RunStatus
from ...model.errors import SessionBusy, SessionOwnerError, StorageError
from ...model.metrics import SessionMetrics
from ...model.run import WorkflowRunOutput
from ...model.session import WorkflowSession
from ...storage.base import BaseDb, RunFilter, RunRow, SessionRow
from ..bus.commit_turn import release_lock
from ..bus.states import load_outputs
from ..loop.loops import loop_key
from ..loop.process import current
from .request import Definition, RunRequest

if TYPE_CHECKING:
    from .execution import Execution

__all__ = [
    "Turn",
    "acquire_lock",
    "decode_session",
    "load_runs",
    "open_session",
    "pending_over",
    "refresh",
    "refuse_other_user",
    "turn_after_claim",
    "turn_before_claim",
]

logger = logging.getLogger("workflow_runtime")

MORE_DATA = "session_data"


def refuse_other_user(row: SessionRow | RunRow, user_id: str | None) -> None:
    """SessionOwnerError when both the session (or one of its runs) and the caller name a user and they differ."""
    if user_id is not None and row.user_id is not None and row.user_id != user_id:
        raise SessionOwnerError(
            f"session {row.session_id!r} belongs to another user; use a session of user {user_id!r}"
        )


def decode_session(row: SessionRow) -> WorkflowSession:
    """The stored session as users see it, without its runs."""
    workflow_data = codec.decode_value(row.workflow_data, "workflow_data") if row.workflow_data else {}
    more_data = workflow_data.pop(MORE_DATA, {}) if type(workflow_data) is dict else {}
    session = WorkflowSession(
        session_id=row.session_id,
        user_id=row.user_id,
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        session_name=row.name or None,
        session_state={key: decode_state(row, key) for key in row.state},
        session_metrics=codec.decode_typed(row.metrics, SessionMetrics, "metrics") if row.metrics else None,
        workflow_data=(workflow_data or None) if type(workflow_data) is dict else workflow_data,
        more_data=more_data if type(more_data) is dict else {},
        metadata=codec.decode_value(row.metadata, "metadata") if row.metadata else None,
        created_at=int(row.created_at),
        updated_at=int(row.updated_at),
        version=row.version,
        loaded_state=row.state,
    )
    session.loaded = (codec.encode_value(session.session_metrics), (session.created_at, session.updated_at), [])
    return session


def encode_workflow_data(session: WorkflowSession, outline: bytes | None) -> bytes | None:
    """What is stored as the session's ``workflow_data``: the workflow's outline (``outline`` where the session has none
    yet), and beside it what the user keeps in ``session_data``."""
    known = session.workflow_data
    if known is None and outline is not None:
        known = codec.decode_value(outline)
    if known is not None and type(known) is not dict:
        return codec.encode_value(known, "workflow_data")  # it cannot be read, and stays as it is
    more = {MORE_DATA: session.more_data} if session.more_data else {}
    return codec.encode_value({**known, **more}, "session_data") if known else None


def decode_state(row: SessionRow, key: str) -> Any:
    """The value of a key of the stored state."""
    return codec.decode_value(row.state[key], f"session {row.session_id}: session_state[{key!r}]")


async def open_session(
    definition: Definition, session_id: str, user_id: str | None, state: dict[str, Any] | None
) -> tuple[WorkflowSession, dict[str, Any], dict[str, bytes]]:
    """(session, the state a run starts with, the stored state's bytes). Writes nothing.

    The caller's ``state`` is merged over the stored one, or over the workflow's default where the session is new. The
    session has its completed runs if a step may want the history.
    """
    if definition.loads_runs and definition.db is None:
        logger.warning("workflow %s: its steps want the history, but without a db there is none", definition.id)
    row = await _load(definition, session_id)
    if row is None:
        start = merged(definition.session_state or {}, state)
        return WorkflowSession(session_id=session_id, user_id=user_id, session_state=start), start, {}
    refuse_other_user(row, user_id)
    session = decode_session(row)
    if definition.loads_runs and definition.db is not None:
        session.runs = await load_runs(definition.db, session_id, definition.history_limit, completed=True)
    stored = session.session_state
    if definition.overwrite_session_state and state is not None:
        start = copied(state)
    else:
        start = merged(stored, state) if state else stored
    session.session_state = start
    return session, start, dict(row.state)


async def _load(definition: Definition, session_id: str) -> SessionRow | None:
    cache = definition.cache
    if cache is not None and session_id in cache:
        row: SessionRow = cache[session_id]
        return row
    if definition.db is None:
        return None
    return await definition.db.load_session(session_id)


def remember_session(run: Execution) -> None:
    """Keep the session of the run that ended for the next one (``cache_session``). It is the last one only."""
    cache = run.definition.cache
    if cache is None:
        return
    cache.clear()
    known = run.session
    version = run.recorder.versions.known(run.state_base) if run.recorder is not None else 0
    if version is None:
        return  # others have written as well: it is read again
    cache[known.session_id] = SessionRow(
        session_id=known.session_id,
        user_id=known.user_id or run.request.user_id,
        workflow_id=run.definition.id,
        workflow_name=run.definition.name,
        name=known.session_name,
        version=version,
        metadata=codec.encode_value(known.metadata) if known.metadata is not None else None,
        workflow_data=encode_workflow_data(known, None),
        state=dict(run.state_base) if run.recorder is not None else snapshot(run.state),
        created_at=float(known.created_at or run.created_at),
        updated_at=run.clock.time(),
    )


async def load_runs(
    db: BaseDb, session_id: str, limit: int | None, *, completed: bool = False
) -> list[WorkflowRunOutput]:
    """The last ``limit`` runs of a session (None: all), oldest first."""
    statuses = frozenset({RunStatus.completed}) if completed else None
    where = RunFilter(session_id=session_id, statuses=statuses)
    found: list[WorkflowRunOutput] = []
    before: tuple[float, str] | None = None
    while limit is None or len(found) < limit:
        page = 200 if limit is None else min(200, limit - len(found))
        rows = await db.list_runs(where, limit=page, before=before)
        found.extend(map(_without_events, await load_outputs(db, rows)))
        if len(rows) < page:
            break
        before = (rows[-1].created_at, rows[-1].run_id)
    return found[::-1]


def _without_events(output: WorkflowRunOutput) -> WorkflowRunOutput:
    output.events = None  # they are read run by run
    return output


# -- locks --------------------------------------------------------------------------------------------------------------


async def acquire_lock(run: Execution, db: BaseDb, name: str, owner: str, *, interrupt: bool = False) -> None:
    """Wait for the lock of the database; another process holds it for no longer than its lease, and with ``interrupt``
    until it has cancelled its run."""
    pause = 0.002
    while True:
        if await db.acquire(name, owner=owner, lease=run.definition.lease):
            return
        if interrupt:
            where = RunFilter(session_id=run.request.session_id, statuses=frozenset({RunStatus.running}))
            for row in await db.list_runs(where, limit=10):
                await db.request_cancel(row.run_id, now=run.clock.time())
        await anyio.sleep(pause)
        pause = min(pause * 2, 0.1)


async def _catch_up(run: Execution) -> None:
    """It is this run's turn: what it read of the session before may be old."""
    if run.forked_from is not None:
        return  # it starts with the state of the place that it was forked at
    if run.bus.seq == 0:
        request = run.request
        run.session, run.state, run.state_base = await open_session(
            run.definition, request.session_id, request.user_id, request.state
        )
        if run.recorder is not None:
            run.recorder.versions.see(run.session.version, run.state_base)
    elif run.recorder is not None:
        async with run.recorder.exclusive():
            await refresh(run, run.recorder.db)


async def refresh(run: Execution, db: BaseDb) -> dict[str, bytes]:
    """Take over what others have stored under keys that this run has not changed; the stored state."""
    recorder = run.recorder
    assert recorder is not None
    row = await db.load_session(run.request.session_id)
    if row is None:
        return {}
    refuse_other_user(row, run.request.user_id)
    recorder.versions.see(row.version, row.state)
    committed = recorder.committed
    mine = changes(committed, snapshot(run.state))
    taken: dict[str, bytes | None] = {}
    for key in dict.fromkeys((*row.state, *run.state_base)):
        stored, base = row.state.get(key), run.state_base.get(key)
        if stored != base and committed.get(key) == base and key not in mine:
            taken[key] = stored
    if taken:
        recorder.take(taken)
        run.state_base = patched(run.state_base, taken)
        replace(run.state, taken)
    return row.state


def pending_over(run: Execution, stored: dict[str, bytes]) -> dict[str, bytes]:
    """The ``stored`` state with what this run has still to store."""
    assert run.recorder is not None
    return patched(stored, changes(run.state_base, run.recorder.committed))


# -- whose turn it is ----------------------------------------------------------------------------------------------------


class Line:
    """The runs of one session in this process, in the order they came. The session is the first one's."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []


def turn_lock(session_id: str, process: str, run_id: str) -> tuple[str, str]:
    """The name of the lock that whoever has the session's turn holds, and the run as its owner."""
    return f"turn:{session_id}", f"{process}:{run_id}"


@asynccontextmanager
async def turn_before_claim(
    definition: Definition, session_id: str, process: str, run_id: str, *, is_new: bool = False
) -> AsyncIterator[None]:
    """With policy "reject" the session is taken before a paused run is: refused, it keeps its questions open. Before a new
    run as well: refused, its id is free. What raises in the block gives the session back; else the run's own turn goes on
    with it.

    Raises:
        SessionBusy: Another run of the session is under way.
    """
    db = definition.db
    if definition.session_policy != "reject" or db is None:
        yield
        return
    name, owner = turn_lock(session_id, process, run_id)
    if not await db.acquire(name, owner=owner, lease=definition.lease):
        what = "wait for its run, cancel it" if is_new else "the run waits as it did: continue it later"
        raise SessionBusy(f"session {session_id!r} is busy; {what}, or use session_policy='queue'")
    try:
        yield
    except BaseException:
        with anyio.CancelScope(shield=True):
            try:
                found = await db.load_run(run_id)
            except StorageError:  # the lock runs out by itself
                logger.warning("the lock %s could not be released and will run out", name)
            else:
                if found is None or found.owner != process:  # else another call of this process goes on with the run
                    await release_lock(db, name, owner)
        raise


class Turn:
    """A run's hold on its session, as ``session_policy`` says; given up when the run ends or pauses."""

    def __init__(self, request: RunRequest, owner: str) -> None:
        self.run_id = request.run_id
        self._request = request
        self._run: Execution | None = None
        self._interrupted: str | None = None  # by a run that came before this one was ready
        self._line: Line | None = None
        self._moved: anyio.Event | None = None
        self.held = False
        self.lock_name, self.owner = turn_lock(request.session_id, owner, request.run_id)

    @classmethod
    def of(cls, run: Execution) -> Turn:
        """The turn of a run that stands in no line yet."""
        turn = cls(run.request, run.owner)
        turn.belongs_to(run)
        return turn

    def belongs_to(self, run: Execution) -> None:
        """The run that stands here is ready."""
        self._run = run
        if self._interrupted is not None:
            run.cancel(self._interrupted)

    def interrupt(self, reason: str) -> None:
        """End the run that stands here."""
        if self._run is not None:
            self._run.cancel(reason)
        else:
            self._interrupted = reason

    def join(self) -> None:
        """Stand in line, unless it does already. A plain call, so that runs stand there as they were started."""
        if self._line is not None:
            return
        definition = self._request.definition
        db = definition.db
        # The loop itself, not its thread: a run that a loop left behind must not stand before those of the next one.
        key = (id(db) if db is not None else id(definition.workflow), self._request.session_id, loop_key())
        lines = current().session_lines
        line = lines.get(key)
        if line is None:
            line = lines[key] = Line()
        line.turns.append(self)
        self._line = line

    def refuse_busy(self) -> None:
        """SessionBusy where another run of this process stands before this one."""
        if self._line is not None and self._line.turns[0] is not self:
            raise SessionBusy(
                f"session {self._request.session_id!r} is busy with run {self._line.turns[0].run_id}; wait for it, cancel"
                " it, or use session_policy='queue'"
            )

    async def take(self) -> None:
        """Wait for the session, or refuse, or interrupt whoever stands before.

        Raises:
            SessionBusy: Policy "reject" and another run of the session is under way.
        """
        self.join()
        run = self._run
        assert self._line is not None
        assert run is not None
        policy = run.definition.session_policy
        db = run.definition.db
        try:
            await self._come_first(self._line, policy, run)
            if db is not None:
                await self._among_processes(run, db, policy)
        except BaseException:
            await self._release()  # a cancelled acquire may have got it
            raise
        self.held = True
        await _catch_up(run)

    async def _come_first(self, line: Line, policy: str, run: Execution) -> None:
        before = line.turns[: line.turns.index(self)]
        # A continued run took the session before it was claimed: those before it are refused, and leave the line.
        has_session = run.was is RunStatus.paused and run.definition.db is not None
        if policy == "reject" and not has_session:
            self.refuse_busy()
        if policy == "interrupt":
            for other in before:
                other.interrupt(f"interrupted by run {self.run_id}")
        while line.turns[0] is not self:
            self._moved = anyio.Event()
            await self._moved.wait()

    async def _among_processes(self, run: Execution, db: BaseDb, policy: str) -> None:
        if policy != "reject":
            await acquire_lock(run, db, self.lock_name, self.owner, interrupt=policy == "interrupt")
            return
        if not await db.acquire(self.lock_name, owner=self.owner, lease=run.definition.lease):
            raise SessionBusy(f"session {run.request.session_id!r} is busy in another process or event loop")

    async def give_up(self) -> None:
        """Let the next one have the session; nothing where the run does not stand in line."""
        if self._line is not None:
            self.held = False
            await self._release()

    async def _release(self) -> None:
        db = self._request.definition.db
        line, self._line = self._line, None
        if line is None:  # it is being given up already
            return
        try:
            if db is not None and line.turns[0] is self:  # the others never asked the database
                with anyio.CancelScope(shield=True):
                    await release_lock(db, self.lock_name, self.owner)
        finally:
            line.turns.remove(self)
            if line.turns and (moved := line.turns[0]._moved) is not None:
                moved.set()


@asynccontextmanager
async def turn_after_claim(definition: Definition, session_id: str, process: str, run_id: str) -> AsyncIterator[None]:
    """The run is claimed, and with policy "reject" has the session. What raises in the block, before the run's own turn goes
    on with it, gives the session back."""
    try:
        yield
    except BaseException:
        if definition.session_policy == "reject" and definition.db is not None:
            with anyio.CancelScope(shield=True):
                await release_lock(definition.db, *turn_lock(session_id, process, run_id))
        raise


def storage_needed(db: BaseDb | None, what: str) -> BaseDb:
    """``db``, or StorageError that says what needs one."""
    if db is None:
        raise StorageError(f"{what} needs a database: Workflow(db='sqlite:///runs.db')")
    return db
