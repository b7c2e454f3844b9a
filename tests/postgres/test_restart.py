"""The server goes away in the middle of everything and comes back, or does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import anyio
import pytest
from servers import PostgresServer, postgres_server

from workflow_runtime import RunStatus, Step, StepInput, Workflow
from workflow_runtime.model.errors import StorageError
from workflow_runtime.storage.base import Batch, SessionPatch
from workflow_runtime.testing.contract_rows import event, fence, run, started, step
from workflow_runtime_postgres import PostgresDb

pytestmark = pytest.mark.anyio
PATIENCE = 120.0  # a busy machine may take long to start a server


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that only this module kills, with commits flushed to the disk."""
    with postgres_server(own=True, fsync=True) as server:
        assert isinstance(server, PostgresServer)
        yield server


@pytest.fixture
async def db(own_server: PostgresServer) -> AsyncIterator[PostgresDb]:
    url = await anyio.to_thread.run_sync(own_server.new_database)
    database = PostgresDb(url, max_size=5, retry_for=PATIENCE)
    await database.open()
    yield database
    await database.aclose()


class Writer:
    """Commits one checkpoint after the other; each adds to counters, so that one too many would show."""

    def __init__(self, db: PostgresDb, name: str) -> None:
        self.db = db
        self.name = name
        self.acknowledged = 0
        self._progress = asyncio.Condition()

    async def work(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            number = self.acknowledged + 1
            patch = SessionPatch(
                session_id=self.name,
                state={"n": b"%d" % number},
                expected={"n": b"%d" % (number - 1) if number > 1 else None},
                metrics={"commits": 1},
            )
            batch = Batch(
                create=number == 1,
                fence=None if number == 1 else fence(self.name, owner="a"),
                run=run(self.name, session_id=self.name, seq=number, owner="a", lease_until=9e9),
                steps=[step(f"{number}.x", self.name, position=number)],
                events=[event(number, run_id=self.name)],
                session=patch,
            )
            done = await self.db.commit(batch)
            assert done.session_version == number
            async with self._progress:
                self.acknowledged = number
                self._progress.notify_all()

    async def reach(self, number: int) -> None:
        async with self._progress:
            await self._progress.wait_for(lambda: self.acknowledged >= number)

    async def check(self) -> None:
        row, stored = await self.db.load_session(self.name), await self.db.load_run(self.name)
        assert row is not None
        assert stored is not None
        number = self.acknowledged
        assert (row.version, row.state, row.metrics) == (number, {"n": b"%d" % number}, b'{"commits":%d}' % number)
        assert stored.seq == number
        events = await self.db.load_events(self.name, limit=10**6)
        assert [row.seq for row in events] == list(range(1, number + 1))
        assert len(await self.db.load_steps(self.name)) == number


@pytest.mark.parametrize("how", ["fast", "immediate", "kill"])
async def test_a_restart_in_the_middle_of_commits_loses_none_and_doubles_none(
    own_server: PostgresServer, db: PostgresDb, how: Literal["fast", "immediate", "kill"]
) -> None:
    writers = [Writer(db, f"w{number}") for number in range(16)]
    enough = asyncio.Event()
    with anyio.fail_after(2 * PATIENCE):
        async with anyio.create_task_group() as group:
            for writer in writers:
                group.start_soon(writer.work, enough)
            await _until(writers, 5)
            await anyio.to_thread.run_sync(own_server.restart, how)
            await _until(writers, 10)
            enough.set()
    for writer in writers:
        await writer.check()


async def _until(writers: list[Writer], target: int) -> None:
    for writer in writers:
        await writer.reach(target)


async def test_calls_wait_for_a_server_that_is_away_for_a_moment(own_server: PostgresServer, db: PostgresDb) -> None:
    await db.commit(started())
    await anyio.to_thread.run_sync(own_server.stop)
    async with anyio.create_task_group() as group:
        group.start_soon(db.commit, Batch(events=[event(1)]))
        group.start_soon(db.load_run, "r1")
        await anyio.wait_all_tasks_blocked()
        await anyio.to_thread.run_sync(own_server.start)
    assert [row.seq for row in await db.load_events("r1")] == [1]


async def test_a_server_that_stays_away_is_an_error_that_says_so_and_is_used_again_when_it_is_back(
    own_server: PostgresServer, db: PostgresDb
) -> None:
    impatient = PostgresDb(db.settings.dsn, retry_for=0.3)
    await impatient.commit(started())
    await anyio.to_thread.run_sync(own_server.stop)
    try:
        for call in (impatient.commit(Batch(events=[event(1)])), impatient.load_run("r1")):
            with pytest.raises(StorageError, match=rf"127\.0\.0\.1:{own_server.port}/.* not reachable for \d+\.\d s"):
                await call
        with pytest.raises(StorageError, match="not reachable"):
            await PostgresDb(db.settings.dsn, retry_for=0.1).open()
    finally:
        await anyio.to_thread.run_sync(own_server.start)
    await impatient.commit(Batch(events=[event(2)]))
    assert [row.seq for row in await impatient.load_events("r1")] == [2]
    await impatient.aclose()


async def test_who_waits_for_a_run_still_hears_of_it_after_a_restart(
    own_server: PostgresServer, db: PostgresDb
) -> None:
    await db.commit(started(seq=1))
    await db.commit(Batch(run=run(seq=2)))

    async def watch() -> None:
        # A restart may wake those who wait without a reason.
        while not await db.load_events("r1"):
            await db.changed("r1", seen=2, timeout=60)

    with anyio.fail_after(2 * PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(own_server.restart)
            other = PostgresDb(db.settings.dsn, retry_for=PATIENCE)
            await other.commit(Batch(events=[event(3)]))
            await other.aclose()


async def test_running_workflows_complete_over_a_restart(own_server: PostgresServer, db: PostgresDb) -> None:
    """Fifty runs are in the middle of their second step when the server is killed."""
    arrived, go_on = asyncio.Event(), asyncio.Event()
    count = 0

    async def wait(step_input: StepInput) -> str:
        nonlocal count
        count += 1
        if count == 50:
            arrived.set()
        await go_on.wait()
        return "waited"

    workflow = Workflow(
        name="w",
        steps=[
            Step(name="first", executor=lambda step_input: "first"),
            Step(name="wait", executor=wait),
            Step(name="last", executor=lambda step_input: "last"),
        ],
        db=db,
        durability="sync",
    )
    with anyio.fail_after(2 * PATIENCE):
        runs = [asyncio.create_task(workflow.arun(input="x", session_id=f"s{number}")) for number in range(50)]
        await arrived.wait()
        await anyio.to_thread.run_sync(own_server.kill)
        go_on.set()
        await anyio.to_thread.run_sync(own_server.start)
        outputs = await asyncio.gather(*runs)
    assert [output.status for output in outputs] == [RunStatus.completed] * 50
    for output in outputs:
        assert output.run_id is not None
        row = await db.load_run(output.run_id)
        assert row is not None
        assert row.status is RunStatus.completed
        assert len(await db.load_steps(output.run_id)) == 3
