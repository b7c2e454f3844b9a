"""A call whose connection broke is made again, and happens once: whichever side of the wire it broke on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import asyncpg
import pytest

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.model.errors import AlreadyAnswered, StorageError
from workflow_runtime.storage.base import Batch, Committed
from workflow_runtime.testing.contract_rows import event, fence, requirement, run, session, started, step
from workflow_runtime_postgres import PostgresDb
from workflow_runtime_postgres.schema import qualify

from .conftest import SCHEMA
from .proxy import Proxy, When, proxy

pytestmark = pytest.mark.anyio

PAUSED = frozenset({RunStatus.PAUSED})


@pytest.fixture
async def wire(url: str) -> AsyncIterator[Proxy]:
    async with proxy(url) as made:
        yield made


@pytest.fixture
async def far(wire: Proxy, db: PostgresDb) -> AsyncIterator[PostgresDb]:
    """A database at the other end of the wire, with one connection that has been used for every kind of call."""
    await db.open()
    database = PostgresDb(wire.url, schema=SCHEMA, max_size=1)
    await _all_calls(database, "warm")
    yield database
    await database.aclose()


async def _all_calls(db: PostgresDb, run_id: str) -> None:
    """Each statement once: the first use of one takes a round trip more, to prepare it."""
    await db.commit(started(run_id, session_id=run_id))
    await db.claim(run_id, owner="b", now=1.0, lease=2.0, statuses=PAUSED, expired_only=False)
    await db.commit(Batch(requirements=[requirement("q", run_id)]))
    await db.answer([requirement("q", run_id, answered_at=1.0)])
    with pytest.raises(AlreadyAnswered):
        await db.answer([requirement("q", run_id, answered_at=1.0)])
    await db.delete_session("unknown")


@pytest.mark.parametrize("cut", ["request", "reply"])
class TestACutWire:
    async def test_does_not_double_a_commit(self, far: PostgresDb, wire: Proxy, db: PostgresDb, cut: When) -> None:
        batch = started(seq=3)
        batch.steps, batch.events = [step()], [event(1), event(2, 3)]
        assert batch.session is not None
        batch.session.metrics, batch.session.state = {"runs": 1, "cost": 0.1}, {"k": b"1"}
        wire.cut = cut
        assert await far.commit(batch) == Committed(session_version=1)
        assert wire.cuts == 1
        row = await db.load_session("s1")
        assert row is not None
        assert (row.version, row.metrics, row.state) == (1, b'{"runs":1,"cost":0.1}', {"k": b"1"})
        assert len(await db.load_events("r1")) == 2

    async def test_does_not_double_a_commit_that_asks_for_a_status(
        self, far: PostgresDb, wire: Proxy, db: PostgresDb, cut: When
    ) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), session=session()))
        wire.cut = cut
        await far.commit(Batch(run=run(status=RunStatus.CANCELLED), statuses=PAUSED, session=session(metrics={"n": 1})))
        stored, row = await db.load_run("r1"), await db.load_session("s1")
        assert stored is not None
        assert row is not None
        assert (wire.cuts, stored.status, row.metrics) == (1, RunStatus.CANCELLED, b'{"n":1}')

    async def test_does_not_turn_a_commit_into_a_conflict_with_itself(
        self, far: PostgresDb, wire: Proxy, db: PostgresDb, cut: When
    ) -> None:
        await db.commit(Batch(session=session(state={"k": b"0"})))
        wire.cut = cut
        await far.commit(Batch(session=session(state={"k": b"1"}, expected={"k": b"0"})))
        row = await db.load_session("s1")
        assert row is not None
        assert (wire.cuts, row.version, row.state) == (1, 2, {"k": b"1"})

    async def test_does_not_double_a_claim(self, far: PostgresDb, wire: Proxy, db: PostgresDb, cut: When) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED)))
        wire.cut = cut
        row = await far.claim("r1", owner="b", now=1.0, lease=9.0, statuses=PAUSED, expired_only=False)
        assert row is not None
        assert (wire.cuts, row.attempt, row.owner) == (1, 2, "b")
        assert await db.load_run("r1") == row

    async def test_does_not_refuse_an_answer_for_its_own_sake(
        self, far: PostgresDb, wire: Proxy, db: PostgresDb, cut: When
    ) -> None:
        await db.commit(Batch(requirements=[requirement()]))
        wire.cut = cut
        await far.answer([requirement(answered_at=5.0, data=b"yes")])
        [stored] = await db.load_requirements("r1")
        assert (wire.cuts, stored.answered_at, stored.data) == (1, 5.0, b"yes")

    async def test_does_not_forget_that_a_session_was_deleted(
        self, far: PostgresDb, wire: Proxy, db: PostgresDb, cut: When
    ) -> None:
        await db.commit(started())
        wire.cut = cut
        assert await far.delete_session("s1") is True
        assert wire.cuts == 1
        assert await db.load_run("r1") is None

    async def test_is_not_noticed_by_who_reads(self, far: PostgresDb, wire: Proxy, db: PostgresDb, cut: When) -> None:
        await db.commit(started())
        await far.load_run("r1")
        wire.cut = cut
        assert await far.load_run("r1") == await db.load_run("r1")
        assert wire.cuts == 1


@pytest.mark.parametrize("cut", ["request", "reply"])
@pytest.mark.parametrize("skip", range(4))
async def test_behind_a_pooler_a_wire_cut_at_any_message_does_not_double_a_commit(
    wire: Proxy, db: PostgresDb, cut: When, skip: int
) -> None:
    """Begin, prepare, execute, commit: each can be the one that breaks."""
    await db.open()
    far = PostgresDb(wire.url, schema=SCHEMA, max_size=1, listen=False, statement_cache_size=0)
    await far.commit(started())
    wire.cut, wire.skip = cut, skip
    assert await far.commit(Batch(session=session(metrics={"n": 1}))) == Committed(session_version=2)
    row = await db.load_session("s1")
    assert row is not None
    assert (wire.cuts, row.version, row.metrics) == (1, 2, b'{"n":1}')
    await far.aclose()


@asynccontextmanager
async def _locked_sessions(url: str) -> AsyncIterator[Any]:
    """Nobody can write a session in this block."""
    blocker = await asyncpg.connect(url)
    try:
        await blocker.execute("BEGIN; " + qualify("UPDATE @.sessions SET name = 'never committed'", SCHEMA))
        yield
    finally:
        await blocker.close()


async def _until_blocked(url: str, count: int) -> None:
    query = """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"""
    connection = await asyncpg.connect(url)
    try:
        while await connection.fetchval(query) < count:
            await anyio.lowlevel.checkpoint()
    finally:
        await connection.close()


async def test_a_repetition_waits_for_its_twin_that_the_server_still_works_on(
    far: PostgresDb, wire: Proxy, db: PostgresDb, url: str
) -> None:
    await db.commit(started())
    with anyio.fail_after(60):
        async with _locked_sessions(url):
            committing = asyncio.create_task(far.commit(Batch(session=session(metrics={"n": 1}))))
            await _until_blocked(url, 1)
            # The server does not notice that nobody listens to it any more until it has something to say.
            wire.sever()
            await _until_blocked(url, 2)
        assert await committing == Committed(session_version=2)
    row = await db.load_session("s1")
    assert row is not None
    assert (row.version, row.metrics) == (2, b'{"n":1}')


async def test_a_commit_that_was_given_up_does_not_come_after_the_next_one(
    far: PostgresDb, db: PostgresDb, url: str
) -> None:
    await db.commit(started())
    with anyio.fail_after(60):
        async with _locked_sessions(url):
            given_up = asyncio.create_task(far.commit(Batch(fence=fence(), session=session(name="first"))))
            await _until_blocked(url, 1)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
        await far.commit(Batch(fence=fence(), session=session(name="second")))
    row = await db.load_session("s1")
    assert row is not None
    assert row.name == "second"


@pytest.mark.parametrize("call", ["commit", "load_run"])
async def test_a_wire_that_stays_cut_is_an_error_after_the_limit(
    wire: Proxy, url: str, db: PostgresDb, call: str
) -> None:
    await db.open()
    far = PostgresDb(wire.url, schema=SCHEMA, retry_for=0.3)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "commit": lambda: far.commit(started()),
        "load_run": lambda: far.load_run("r1"),
    }
    await far.open()
    port, wire.parts = wire.parts, wire.parts._replace(netloc="127.0.0.1:1")
    wire.sever()
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:\d+/test_.*not reachable for 0\.\d s") as caught:
        await calls[call]()
    assert isinstance(caught.value.__cause__, (OSError, asyncpg.PostgresError))
    wire.parts = port
    await calls[call]()
    await far.aclose()
