"""``PostgresDb``: the contract on a PostgreSQL schema, for asyncio, from any number of loops, threads and machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio

from workflow_runtime.model.checks import number, seconds, text
from workflow_runtime.model.enums import RunStatus
from workflow_runtime.model.errors import BuildError, StorageError
from workflow_runtime.storage import rules
from workflow_runtime.storage.base import (
    CONTRACT,
    RECEIVES,
    BaseDb,
    Batch,
    Committed,
    DbReport,
    DeliveryRow,
    EventRow,
    Fence,
    LeaseState,
    MessageRow,
    Pruned,
    QueueRow,
    RequirementRow,
    RunFilter,
    RunRow,
    ScheduleRow,
    Sent,
    SessionRow,
    SignalRow,
    StepRow,
)
from workflow_runtime.storage.watch import Watch

from . import queries
from . import statements as sql
from .commits import answer_values, commit_values, lock_order, names, never
from .location import locate
from .loops import Loops
from .pool import LoopPool
from .rows import event_row, message_row, requirement_row, run_row, schedule_row, session_row, signal_row, step_row
from .schema import migrate, qualify

__all__ = ["PostgresDb"]

POLL = 5.0
"""Seconds between two checks of an awaited run, with notifications."""

POLL_DEAF = (0.005, 0.25)
"""The same without notifications: half of the first pause, and the longest."""

REFUSALS = 20
"""How often a commit is retried whose refusal no longer applied when its reason was read."""

_FINAL = names(rules.FINAL)
_ACTIVE = names(rules.ACTIVE)
_CANCELLABLE = names(rules.CANCELLABLE)


class PostgresDb(BaseDb):
    """A database in one schema of a PostgreSQL server (14 or newer).

    A ``commit`` is one round trip, and waiting commits share it, and its transaction. When ``commit`` returns, the data is
    on the server's disk (``synchronous_commit`` is the server's setting). Any number of processes may share the schema; the
    first one creates it, later versions migrate it forward. Each event loop has its own pool, which closes with the loop.
    Nothing is connected before first use.

    After a lost connection or a restart of the server, each call is retried for ``retry_for`` seconds, and takes effect
    once however often it was sent. After that it raises a StorageError; later calls work when the server is back.

    Behind a pooler that hands out connections per transaction (PgBouncer) pass ``statement_cache_size=0`` and
    ``listen=False``: prepared statements and LISTEN belong to a connection, and a client does not keep one. A call is then
    a transaction of four round trips, and watchers poll, soon after a change and in the end four times a second.

    Args:
        url: ``postgresql://user:password@host:port/database``; its query may name ``schema``, ``min_size`` and
            ``max_size``. None: the environment variables are used (PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD).
        db_url: The same.
        schema: The schema of the tables; "workflow_runtime" by default. Two schemas are two databases.
        db_schema: The same.
        min_size: Connections per event loop that are made immediately; by default they are made when needed.
        max_size: The maximum number of connections of an event loop, 10 by default; one more listens while a run is
            watched.
        retry_for: Seconds.
        command_timeout: Seconds after which a statement counts as lost.
        listen: Whether to receive notifications of other processes' commits.
        statement_cache_size: Prepared statements per connection; 0: none.
        options: Further arguments for ``asyncpg.connect``, such as ``ssl``.
        id: The name of the database in listings.

    Raises:
        BuildError: The URL is of another kind, a size is not valid, or an argument is given twice.
    """

    contract = CONTRACT

    def __init__(
        self,
        url: str | None = None,
        *,
        db_url: str | None = None,
        schema: str | None = None,
        db_schema: str | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        retry_for: float = 10.0,
        command_timeout: float = 60.0,
        listen: bool = True,
        statement_cache_size: int = 100,
        options: Mapping[str, Any] | None = None,
        id: str = "postgres",
    ) -> None:
        if None not in (url, db_url) or None not in (schema, db_schema):
            raise BuildError("PostgresDb takes url or db_url, and schema or db_schema, not both")
        where = "PostgresDb: "
        number(min_size, "min_size", where, least=0, whole=True, none="0")
        number(max_size, "max_size", where, least=1, whole=True, none="10")
        number(statement_cache_size, "statement_cache_size", where, least=0, whole=True)
        seconds(retry_for, "retry_for", where, zero=True, none=None)
        seconds(command_timeout, "command_timeout", where, none=None)
        self.id = text(id, "id", where)
        self.settings = locate(
            db_url if url is None else url,
            schema=db_schema if schema is None else schema,
            min_size=min_size,
            max_size=max_size,
            retry_for=retry_for,
            command_timeout=command_timeout,
            listen=listen,
            statement_cache_size=statement_cache_size,
            options=dict(options or {}),
        )
        self._watch = Watch()
        self._loops = Loops(self.settings, self._heard)
        self._texts: dict[str, str] = {}
        self._is_open = False

    @classmethod
    def from_url(cls, url: str) -> PostgresDb:
        """A database for ``postgresql://...``; nothing is connected yet."""
        return cls(url)

    def __repr__(self) -> str:
        return f"PostgresDb({self.settings.server!r}, schema={self.settings.schema!r})"

    async def open(self) -> None:
        """Connect, and bring the schema to this version. StorageError with the fix if that is not possible."""
        await self._ready()

    async def aclose(self) -> None:
        """Finish the submitted calls of every loop, and close all connections. The next call connects again."""
        self._is_open = False
        await self._loops.close()

    async def check(self) -> DbReport:
        """The server's version, and whether rows have lost their run. The server itself looks for damage of its files."""
        server, version, size = await self._fetchrow(sql.ABOUT, self.settings.schema)
        problems = [rules.orphaned(count, table) for table, count in await self._fetch(sql.ORPHANS) if count]
        place = f"{self.settings.server}, schema {self.settings.schema}"
        return DbReport(
            place=place, engine=f"PostgreSQL {server}", version=version, size=int(size or 0), problems=problems
        )

    async def vacuum(self) -> int | None:
        """VACUUM of the tables, which lets new rows use the space of deleted ones; other calls do not wait. Mostly little
        is returned to the disk."""
        before = (await self._fetchrow(sql.ABOUT, self.settings.schema))[2]
        pool = await self._ready()
        for table in sql.TABLES:
            await pool.run(partial(_execute, self._text(f"VACUUM (ANALYZE) @.{table}")))
        after = (await self._fetchrow(sql.ABOUT, self.settings.schema))[2]
        return max(0, int(before or 0) - int(after or 0))

    # -- calling -------------------------------------------------------------------------------------------------------

    async def _ready(self) -> LoopPool:
        pool = self._loops.here()
        if not self._is_open:
            settings = self.settings
            await pool.run(lambda connection: migrate(connection, settings.schema, settings.server))
            self._is_open = True
        return pool

    def _text(self, text: str) -> str:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = qualify(text, self.settings.schema)
        return found

    async def _fetch(self, text: str, *values: Any) -> list[Any]:
        return await (await self._ready()).fetch(self._text(text), *values)

    async def _fetchrow(self, text: str, *values: Any) -> Any:
        return await (await self._ready()).fetchrow(self._text(text), *values)

    async def _write(self, text: str, *values: Any) -> list[Any]:
        return await (await self._ready()).write(self._text(text), *values)

    def _heard(self, run_id: str | None) -> None:
        self._watch.wake(self._watch.runs() if run_id is None else (run_id,))

    # -- writing -------------------------------------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Committed:
        values, keys, order = commit_values(batch), frozenset(rules.run_ids(batch)), lock_order(batch)
        for _ in range(REFUSALS):
            if not never(batch):
                pool = await self._ready()
                if batch.create and batch.run is not None and rules.locked_keys(batch.run):
                    # In a transaction of its own: it begins with locks that others wait for.
                    [done] = await pool.write(self._text(sql.COMMIT), *values)
                else:
                    done = await pool.write_together(self._text(sql.COMMIT), values, keys, order)
                if not done["refused"]:
                    self._watch.wake(rules.wakes(batch))
                    version = 0 if batch.session is None else done["session_version"] or 0
                    return Committed(session_version=version, cancel_requested=done["cancel_requested"])
            await self._explain(batch)
        raise StorageError(f"{self.settings.server}: a commit of run {rules.subject(batch)!r} was refused; try again")

    async def _explain(self, batch: Batch) -> None:
        """Raise the refusal of the rules for ``batch`` and the stored rows; return if they now accept it."""
        run_id, fence, patch = rules.subject(batch), batch.fence, batch.session
        wanted = [name for name in (run_id, None if fence is None else fence.run_id) if name is not None]
        rows = {row.run_id: row for row in map(run_row, await self._fetch(sql.RUNS, wanted))}
        stored = None if run_id is None else rows.get(run_id)
        deleted_at = None
        if stored is None and batch.run is not None:
            found = await self._fetchrow(sql.DELETION, batch.run.session_id)
            deleted_at = None if found is None else found["deleted_at"]
        session: SessionRow | None = None
        session_id = rules.session_to_load(batch, stored)
        if session_id is not None:
            found = await self._fetchrow(sql.SESSION, session_id, [] if patch is None else list(patch.state))
            session = None if found is None else session_row(found)
        rules.decide(
            batch,
            run=stored,
            fenced=None if fence is None else rows.get(fence.run_id),
            session=session,
            state={} if session is None else session.state,
            answered=await self._answered(run_id, batch.waits_for),
            has_unseen=await self._has_unseen(run_id, batch.messages_seen),
            deleted_at=deleted_at,
            duplicate=await self._duplicate(batch),
            queued=await self._waiting(batch),
        )

    async def _answered(self, run_id: str | None, names: frozenset[str]) -> list[str]:
        if run_id is None or not names:
            return []
        found = await self._fetch(sql.ANSWERED_AT, [run_id] * len(names), sorted(names))
        return [row["requirement_id"] for row in found if row["answered_at"] is not None]

    async def _duplicate(self, batch: Batch) -> str | None:
        if not batch.create or batch.run is None or batch.run.unique is None:
            return None
        found = await self._fetchrow(sql.DUPLICATE, batch.run.unique)
        return None if found is None else str(found["run_id"])

    async def _waiting(self, batch: Batch) -> dict[str, int]:
        keys = [limit.key for limit in batch.run.limits] if batch.create and batch.run is not None else []
        return {row["key"]: row["count"] for row in await self._fetch(sql.QUEUED, keys)} if keys else {}

    async def _has_unseen(self, run_id: str | None, seen: int | None) -> bool:
        return seen is not None and bool(await self._fetch(sql.MESSAGES, run_id, seen))

    async def answer(self, rows: Sequence[RequirementRow]) -> None:
        if not rows:
            return
        for _ in range(REFUSALS):
            [(stored,)] = await self._write(sql.ANSWER, *answer_values(rows), _FINAL)
            if stored:
                self._watch.wake({row.run_id for row in rows})
                return
            await self._explain_answers(rows)
        raise StorageError(f"{self.settings.server}: an answer to run {rows[0].run_id!r} was refused; try again")

    async def _explain_answers(self, rows: Sequence[RequirementRow]) -> None:
        """Raise the refusal of the rules for these answers and the stored rows; return if they now accept them."""
        runs, ids, *_ = answer_values(rows)
        found = await self._fetch(sql.ANSWERED_AT, runs, ids)
        times = {(run_id, name): (at, withdrawn) for run_id, name, at, withdrawn, _ in found}
        statuses = {row["run_id"]: RunStatus(row["status"]) for row in found if row["status"] is not None}
        rules.check_answers(rows, times, statuses)

    async def send(self, row: MessageRow) -> Sent:
        wait = RECEIVES + row.topic
        values = (row.run_id, row.message_id, row.topic, float(row.created_at), row.data, wait, row.expires_at)
        for _ in range(REFUSALS):
            [(number, awaited)] = await self._write(
                sql.SEND, *values, row.only_if_awaited, _ACTIVE, RunStatus.PAUSED.value
            )
            if number is not None:
                return Sent(number=number, created_at=row.created_at, awaited=awaited)
            status, awaited = await self._fetchrow(sql.MESSAGE_FACTS, row.run_id, wait)
            found = await self._fetchrow(sql.MESSAGE, row.run_id, row.message_id)
            stored = None if found is None else message_row(found)
            known = None if status is None else RunStatus(status)
            if not rules.check_message(row, status=known, stored=stored, awaited=awaited):
                assert stored is not None
                return Sent(number=stored.number, created_at=stored.created_at, repeated=True)
        raise StorageError(f"{self.settings.server}: a message to run {row.run_id!r} was refused; try again")

    async def claim(
        self,
        run_id: str,
        *,
        owner: str,
        now: float,
        lease: float,
        statuses: frozenset[RunStatus],
        expired_only: bool,
        answers: Sequence[RequirementRow] = (),
    ) -> RunRow | None:
        values = (run_id, owner, now, lease, names(statuses), _FINAL, expired_only)
        answered = answer_values(answers) if answers else (None,) * 4
        for _ in range(REFUSALS):
            found = await self._write(sql.CLAIM, *values, *answered)
            if not found:
                return None
            if found[0]["run_id"] is not None:
                self._watch.wake((run_id,))
                return run_row(found[0])
            await self._explain_answers(answers)
        raise StorageError(f"{self.settings.server}: a claim of run {run_id!r} was refused; try again")

    async def claim_next(
        self, queues: Sequence[str], *, workflows: Sequence[str], owner: str, now: float, lease: float
    ) -> RunRow | None:
        found = await self._write(sql.CLAIM_NEXT, list(queues), list(workflows), owner, now, lease)
        if not found:
            return None
        row = run_row(found[0])
        self._watch.wake((row.run_id,))
        return row

    async def put_back(self, fence: Fence, *, not_before: float | None) -> bool:
        values = (fence.run_id, fence.attempt, fence.owner, not_before)
        [(queue,)] = await self._write(sql.PUT_BACK, *values)
        return self._queued(fence.run_id, queue)

    async def reschedule(self, run_id: str, *, not_before: float | None) -> bool:
        [(queue,)] = await self._write(sql.RESCHEDULE, run_id, not_before)
        return self._queued(run_id, queue)

    def _queued(self, run_id: str, queue: str | None) -> bool:
        if queue is None:
            return False
        self._watch.wake((run_id, rules.queue_key(queue)))
        return True

    async def list_queues(self, *, now: float) -> list[QueueRow]:
        return [QueueRow(**dict(row.items())) for row in await self._fetch(sql.QUEUES, now)]

    async def put_schedule(self, row: ScheduleRow) -> ScheduleRow:
        values = (row.workflow_id, row.name, float(row.next_at), float(row.created_at), row.data)
        return schedule_row(await self._fetchrow(sql.SCHEDULE_PUT, *values))

    async def move_schedule(self, row: ScheduleRow, *, next_at: float) -> bool:
        values = (row.workflow_id, row.name, float(row.next_at), row.data, float(next_at))
        return await self._fetchrow(sql.SCHEDULE_MOVE, *values) is not None

    async def delete_schedule(self, workflow_id: str, name: str) -> bool:
        return await self._fetchrow(sql.SCHEDULE_DELETE, workflow_id, name) is not None

    async def list_schedules(
        self, *, workflow_id: str | None = None, due_before: float | None = None
    ) -> list[ScheduleRow]:
        return [schedule_row(row) for row in await self._fetch(sql.SCHEDULES, workflow_id, due_before)]

    async def renew(self, leases: Sequence[tuple[Fence, float]]) -> list[LeaseState]:
        if not leases:
            return []
        fences = [fence for fence, _ in leases]
        found = await self._fetch(
            sql.RENEW,
            [fence.run_id for fence in fences],
            [fence.attempt for fence in fences],
            [fence.owner for fence in fences],
            [float(lease) for _, lease in leases],
            _ACTIVE,
        )
        return [
            LeaseState(held=held, cancel_requested=cancel, renewed=renewed or not held)
            for held, cancel, renewed in found
        ]

    async def request_cancel(self, run_id: str, *, now: float) -> RunStatus | None:
        [(status,)] = await self._write(sql.REQUEST_CANCEL, run_id, now, _CANCELLABLE)
        if status is None:
            return None
        self._watch.wake((run_id,))
        return RunStatus(status)

    async def take_signals(self, owner: str) -> list[SignalRow]:
        if await self._fetchrow(sql.HAS_SIGNALS, owner, _ACTIVE) is None:
            return []
        found = await self._write(sql.TAKE_SIGNALS, owner, _ACTIVE)
        return sorted(map(signal_row, found), key=lambda row: row.number)

    async def claim_deliveries(self, hooks: Sequence[str], *, lease: float, limit: int) -> list[DeliveryRow]:
        found = await self._fetch(sql.DELIVERIES_CLAIM, list(hooks), lease, limit)
        return sorted((DeliveryRow(**dict(row.items())) for row in found), key=lambda row: (row.created_at, row.seq))

    async def settle_delivery(self, row: DeliveryRow, *, error: str | None = None, delay: float | None = None) -> bool:
        key = (row.hook, row.run_id, row.seq, row.attempts)
        if error is None:
            return await self._fetchrow(sql.DELIVERY_DONE, *key) is not None
        return await self._fetchrow(sql.DELIVERY_FAILED, *key, error, delay) is not None

    async def list_deliveries(self, *, dead: bool | None = None, limit: int = 100) -> list[DeliveryRow]:
        return [DeliveryRow(**dict(row.items())) for row in await self._fetch(sql.DELIVERIES, dead, limit)]

    async def retry_deliveries(self, *, hook: str | None = None, run_id: str | None = None) -> int:
        return len(await self._fetch(sql.DELIVERIES_RETRY, hook, run_id))

    async def acquire(self, name: str, *, owner: str, lease: float) -> bool:
        return await self._fetchrow(sql.LOCK_TAKE, name, owner, lease) is not None

    async def release(self, name: str, *, owner: str) -> None:
        await self._fetch(sql.LOCK_DROP, name, owner)

    async def discard(self, run_id: str) -> bool:
        [(found,)] = await self._fetch(sql.DISCARD, run_id)
        if found:
            self._watch.wake((run_id,))
        return bool(found)

    async def delete_session(self, session_id: str, *, now: float | None = None) -> bool:
        [(gone, known)] = await self._write(sql.SESSION_DELETE, session_id, now, rules.REMEMBERED)
        self._watch.wake(gone)
        return bool(known)

    async def prune(
        self,
        *,
        kinds: frozenset[str] | None,
        before: float,
        limit: int,
        workflow_id: str | None = None,
        mark: int = 0,
    ) -> Pruned:
        values = (workflow_id, list(rules.levels(kinds, mark)), _FINAL, before, limit)
        if kinds is None:
            went, more = await self._fetchrow(sql.PRUNE_RUNS, *values)
        else:
            went, more = await self._fetchrow(sql.PRUNE_EVENTS, *values, _words(kinds), mark)
        return Pruned(rows=went, more=more)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def load_run(self, run_id: str) -> RunRow | None:
        found = await self._fetchrow(sql.RUN, run_id)
        return None if found is None else run_row(found)

    async def load_steps(self, run_id: str, *, path: str | None = None) -> list[StepRow]:
        found = self._fetch(sql.STEPS, run_id) if path is None else self._fetch(sql.STEP, run_id, path)
        return [step_row(values) for values in await found]

    async def load_messages(self, run_id: str, *, after: int = 0) -> list[MessageRow]:
        return [message_row(found) for found in await self._fetch(sql.MESSAGES, run_id, after)]

    async def load_events(self, run_id: str, *, after: int = 0, limit: int = 1000) -> list[EventRow]:
        return [event_row(found) for found in await self._fetch(sql.EVENTS, run_id, after, limit)]

    async def load_requirements(self, run_id: str) -> list[RequirementRow]:
        return [requirement_row(found) for found in await self._fetch(sql.REQUIREMENTS, run_id)]

    async def list_requirements(
        self,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        workflow_id: str | None = None,
        due_before: float | None = None,
        limit: int = 100,
        after: tuple[float, str] | None = None,
    ) -> list[RequirementRow]:
        text, values = queries.list_requirements(session_id, user_id, workflow_id, due_before, limit, after)
        return [requirement_row(found) for found in await self._fetch(text, *values)]

    async def load_session(self, session_id: str) -> SessionRow | None:
        found = await (await self._ready()).read_together(self._text(sql.SESSIONS), session_id)
        return None if found is None else session_row(found)

    async def list_runs(
        self, where: RunFilter, *, limit: int = 50, before: tuple[float, str] | None = None
    ) -> list[RunRow]:
        text, values = queries.list_runs(where, limit, before)
        return [run_row(found) for found in await self._fetch(text, *values)]

    async def list_sessions(
        self,
        *,
        user_id: str | None = None,
        workflow_id: str | None = None,
        limit: int = 50,
        before: tuple[float, str] | None = None,
    ) -> list[SessionRow]:
        text, values = queries.list_sessions(user_id, workflow_id, limit, before)
        return [session_row(found) for found in await self._fetch(text, *values)]

    # -- watching ------------------------------------------------------------------------------------------------------

    async def changed(self, run_id: str, *, seen: int, timeout: float) -> bool:
        pool = await self._ready()
        end = anyio.current_time() + timeout
        first, pause = True, POLL_DEAF[0]
        scope = anyio.CancelScope()
        queue = rules.queue_of(run_id)

        async def look() -> float | None:
            if queue is not None:
                waiting = await self._fetchrow(sql.QUEUE_WAITING, queue)
                after = None if waiting is None else rules.RECHECK
            else:
                seq, touched, tail = await self._fetchrow(sql.MOVED, run_id)
                after = rules.wake_after(seq=seq, touched=touched or 0, tail=tail or 0, seen=seen)
            if after is None:
                scope.deadline = anyio.current_time() + pause
            # If the first check found nothing, everything that is there now has happened since.
            return after if first or after is None else 0.0

        with pool.listener.waiting(run_id):
            while True:
                pause = POLL if await pool.listener.ensure(run_id) else min(2 * pause, POLL_DEAF[1])
                left = max(0.0, end - anyio.current_time())
                with anyio.CancelScope() as scope:
                    return await self._watch.wait(run_id, timeout=left, look=look)
                first = False


async def _execute(text: str, connection: Any) -> None:
    await connection.execute(text)


def _words(given: Iterable[str]) -> list[str]:
    return sorted(str(word) for word in given)
