"""Commits and reads that wait go to the server together, and each comes to what it would have come to alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import asyncpg
import msgspec
import pytest

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.model.errors import (
    ConcurrentWrite,
    Fenced,
    RunExists,
    RunNotPaused,
    SessionOwnerError,
    StorageError,
)
from workflow_runtime.storage.base import Batch, Committed, RunFilter
from workflow_runtime.testing.contract_rows import event, fence, run, session, started
from workflow_runtime_postgres import PostgresDb
from workflow_runtime_postgres.schema import qualify

from .conftest import SCHEMA
from .proxy import When, proxy

pytestmark = pytest.mark.anyio

New = Callable[..., PostgresDb]
PAUSED = frozenset({RunStatus.PAUSED})
EVENT = "INSERT INTO @.events (run_id, seq, last_seq, epoch, kind, path, data) VALUES ('r1', 1, 1, 1, '', '', '')"


async def asked(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(qualify(query, SCHEMA))
    finally:
        await connection.close()


@asynccontextmanager
async def locked(url: str, session_id: str) -> AsyncIterator[None]:
    """Nobody can write the session in this block."""
    blocker = await asyncpg.connect(url)
    try:
        await blocker.execute("BEGIN")
        await blocker.execute(qualify("UPDATE @.sessions SET name = 'x' WHERE session_id = $1", SCHEMA), session_id)
        yield
    finally:
        await blocker.close()


async def until_blocked(url: str, waiting: int = 1, unless: anyio.Event | None = None) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while await asked(url, query) < waiting and not (unless is not None and unless.is_set()):
        await anyio.lowlevel.checkpoint()


def new(number: int, **rest: Any) -> Batch:
    return started(f"r{number}", session_id=f"s{number}", **rest)


async def test_commits_that_wait_share_transactions(db: PostgresDb, url: str) -> None:
    await asyncio.gather(*(db.commit(new(number)) for number in range(40)))
    assert len(await db.list_runs(RunFilter(), limit=100)) == 40
    assert await asked(url, "SELECT count(DISTINCT xmin::text) FROM @.runs") <= 10  # how many is for the machine to say


@pytest.mark.parametrize("known", [False, True])
async def test_a_deletion_finds_the_run_that_is_being_stored(
    db: PostgresDb, url: str, new_db: New, known: bool
) -> None:
    await db.commit(Batch(session=session("s1" if known else "s2")))
    batch = msgspec.structs.replace(started("r1", created_at=1.0), events=[event(1)])
    other, deleted = new_db(), anyio.Event()

    async def store() -> None:
        with suppress(Fenced):
            await db.commit(batch)

    async def delete() -> None:
        await other.delete_session("s1", now=2.0)
        deleted.set()

    blocker = await asyncpg.connect(url)
    async with anyio.create_task_group() as group:
        await blocker.execute("BEGIN")
        await blocker.execute(qualify(EVENT, SCHEMA))
        group.start_soon(store)
        await until_blocked(url)
        group.start_soon(delete)
        await until_blocked(url, 2, deleted)
        await blocker.close()
    await other.aclose()
    assert await db.load_run("r1") is None
    assert await db.list_runs(RunFilter(session_id="s1")) == []


async def test_sessions_that_are_loaded_together_are_each_callers_own(db: PostgresDb) -> None:
    await asyncio.gather(
        *(db.commit(Batch(session=session(f"s{number}", state={"k": b"%d" % number}))) for number in range(9))
    )
    found = await asyncio.gather(*(db.load_session(f"s{number}") for number in [0, *range(12), 3]))
    states = [None if row is None else row.state["k"] for row in found]
    assert states == [b"0", *(b"%d" % number for number in range(9)), None, None, None, b"3"]


async def outcomes(db: PostgresDb, batches: list[Batch]) -> list[Any]:
    return await asyncio.gather(*(db.commit(batch) for batch in batches), return_exceptions=True)


async def refusals(db: PostgresDb) -> tuple[list[Batch], list[type | Committed]]:
    """Batches, one of each refusal among others, and what they must come to."""
    await db.commit(Batch(run=run("fenced", attempt=2)))
    await db.commit(Batch(run=run("running")))
    await db.commit(Batch(session=session("owned", user_id="u1")))
    await db.commit(Batch(session=session("kept", state={"k": b"0"})))
    batches = [
        new(1),
        Batch(fence=fence("fenced", attempt=1), events=[event(1, run_id="fenced")]),
        new(2),
        Batch(session=session("kept", state={"k": b"2"}, expected={"k": b"9"})),
        Batch(session=session("kept", state={"k": b"1"}, expected={"k": b"0"})),
        Batch(run=run("running"), statuses=PAUSED),
        Batch(session=session("owned", user_id="u2")),
        Batch(run=run("running"), create=True),
        new(3),
    ]
    one = Committed(session_version=1)
    two = Committed(session_version=2)
    return batches, [one, Fenced, one, ConcurrentWrite, two, RunNotPaused, SessionOwnerError, RunExists, one]


@pytest.mark.parametrize("options", [{}, {"listen": False, "statement_cache_size": 0}], ids=["direct", "pooler"])
async def test_each_of_a_group_is_refused_or_stored_on_its_own(
    db: PostgresDb, new_db: New, options: dict[str, Any]
) -> None:
    batches, expected = await refusals(db)
    grouping = new_db(**options)
    found = await outcomes(grouping, [Batch(session=session("first")), *batches])
    await grouping.aclose()
    assert [one if isinstance(one, Committed) else type(one) for one in found[1:]] == expected
    assert await db.load_events("fenced") == []


@pytest.mark.parametrize("cut", ["request", "reply"])
async def test_a_group_whose_wire_was_cut_happens_once_and_refuses_the_same(
    db: PostgresDb, url: str, cut: When
) -> None:
    batches, expected = await refusals(db)
    async with proxy(url) as wire:
        far = PostgresDb(wire.url, schema=SCHEMA, max_size=1)
        await far.commit(Batch(session=session("warm")))
        wire.skip, wire.cut = 1, cut
        found = await outcomes(far, [Batch(session=session("first", metrics={"n": 1})), *batches])
        assert wire.cuts == 1
        await far.aclose()
    assert [one if isinstance(one, Committed) else type(one) for one in found[1:]] == expected
    kept = await db.load_session("kept")
    assert kept is not None
    assert (kept.version, kept.state) == (2, {"k": b"1"})


@pytest.mark.parametrize("bad", ["a\0b", "\ud800", "x" * 300_000])
async def test_what_the_server_cannot_store_fails_alone(db: PostgresDb, bad: str) -> None:
    """A character that no text may have, one that is no text, and an id that is too long for an index."""
    broken = Batch(run=run("bad"), session=session(state={bad: b"1"}))
    found = await outcomes(db, [new(0), new(1), broken, new(2)])
    assert [type(one) for one in found] == [Committed, Committed, StorageError, Committed]
    assert await db.load_run("bad") is None
    assert len(await db.list_runs(RunFilter())) == 3


async def test_a_session_that_somebody_holds_holds_nobody_else_up(db: PostgresDb, url: str) -> None:
    await db.commit(new(1))
    with anyio.fail_after(60):
        async with locked(url, "s1"):
            held = asyncio.create_task(db.commit(Batch(session=session("s1", metrics={"n": 1}))))
            await until_blocked(url)
            await asyncio.gather(*(db.commit(new(number)) for number in range(2, 9)))
            assert not held.done()
        assert await held == Committed(session_version=2)


async def test_commits_of_a_run_keep_their_order_where_the_first_is_held_up(db: PostgresDb, url: str) -> None:
    await db.commit(new(1))
    with anyio.fail_after(60):
        async with locked(url, "s1"):
            first = asyncio.create_task(db.commit(Batch(run=run("r1", session_id="s1", seq=1), session=session("s1"))))
            await until_blocked(url)
            second = asyncio.create_task(db.commit(Batch(run=run("r1", session_id="s1", seq=2))))
            await db.commit(new(2))
            first.cancel()
            await asyncio.wait([first])
        await second
    row = await db.load_run("r1")
    assert row is not None
    assert row.seq == 2


async def test_who_is_cancelled_in_a_group_takes_nobody_along(new_db: New, url: str) -> None:
    db = new_db(max_size=1)
    await db.commit(new(0))
    with anyio.fail_after(60):
        async with locked(url, "s0"):
            first = asyncio.create_task(db.commit(Batch(session=session("s0"))))
            await until_blocked(url)
            # These wait for the only connection, and go together.
            waiting = [asyncio.create_task(db.commit(new(number))) for number in range(1, 6)]
            await anyio.wait_all_tasks_blocked()
            waiting[1].cancel()
            await asyncio.wait([waiting[1]])
        await first
        found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in found] == [Committed, asyncio.CancelledError, Committed, Committed, Committed]
    assert await db.load_run("r2") is None
    await db.aclose()


async def test_who_is_cancelled_when_the_group_is_sent_is_stored_wholly_or_not_at_all(new_db: New, url: str) -> None:
    db = new_db(max_size=1)
    await db.commit(Batch(session=session("s2")))
    with anyio.fail_after(60):
        async with locked(url, "s2"):
            group = [asyncio.create_task(db.commit(new(number))) for number in (9, 1, 2, 3)]
            await until_blocked(url)
            group[3].cancel()
            await asyncio.wait([group[3]])
        found = await asyncio.gather(*group, return_exceptions=True)
    assert [type(one) for one in found] == [Committed, Committed, Committed, asyncio.CancelledError]
    assert (await db.load_run("r3") is None) == (await db.load_session("s3") is None)
    await db.aclose()


async def test_closing_waits_for_commits_that_wait_for_others(new_db: New) -> None:
    db = new_db(max_size=1)
    await db.open()
    waiting = [asyncio.create_task(db.commit(new(number))) for number in range(200)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await db.aclose()
    assert all(one.done() and not one.exception() for one in waiting)
    await db.aclose()


async def test_a_run_that_somebody_writes_keeps_no_other_from_its_lease(new_db: New, url: str) -> None:
    db = new_db()
    for number in (1, 2):
        await db.commit(new(number, lease=-1.0))
    blocker = await asyncpg.connect(url)
    await blocker.execute("BEGIN")
    await blocker.execute(qualify("UPDATE @.runs SET seq = 5 WHERE run_id = 'r1'", SCHEMA))
    leases = [(fence("r1"), 100.0), (fence("r2"), 100.0), (fence("r1", attempt=7), 100.0)]
    with anyio.fail_after(20):
        assert [(state.held, state.renewed) for state in await db.renew(leases)] == [
            (True, False),
            (True, True),
            (False, True),
        ]
    await blocker.execute("COMMIT")
    await blocker.close()
    assert [state.renewed for state in await db.renew(leases[:2])] == [True, True]
    assert not any(row.expired for row in await db.list_runs(RunFilter()))
