"""Several processes on one schema: they wake each other, merge what they write, and may die or fork at any time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import anyio
import asyncpg
import pytest

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.testing.contract_rows import event, requirement, run, started
from workflow_runtime_postgres import PostgresDb, database

from .conftest import SCHEMA
from .processes import finish, say, start, wait_for

pytestmark = pytest.mark.anyio

New = Callable[..., PostgresDb]


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a run looks by itself in an hour only: what wakes it before is a notification."""
    monkeypatch.setattr(database, "POLL", 3600.0)


@pytest.mark.usefixtures("no_poll")
async def test_a_watcher_is_woken_by_a_commit_of_another_process(db: PostgresDb, url: str) -> None:
    await db.commit(started(seq=1))
    await db.commit(Batch(run=run(seq=2), events=[event(1, 2)]))
    process = start(
        """
        async def main():
            db = database()
            await db.open()
            print("ready", flush=True)
            sys.stdin.readline()
            await db.commit(Batch(events=[event(3)]))
        asyncio.run(main())
        """,
        url,
    )
    wait_for(process, "ready")
    with anyio.fail_after(60):
        waiting = asyncio.create_task(db.changed("r1", seen=2, timeout=60))
        await _until_listening(url)
        say(process, "go")
        assert await waiting
    finish(process)


async def _until_listening(url: str) -> None:
    """Return when somebody holds a bucket's lock and has read what is stored since."""
    connection = await asyncpg.connect(url)
    query = """
        SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    try:
        while not await connection.fetchval(query):
            await anyio.lowlevel.checkpoint()
    finally:
        await connection.close()
    await anyio.wait_all_tasks_blocked()


@pytest.mark.usefixtures("no_poll")
async def test_a_commit_notifies_only_when_somebody_waits_for_its_run(db: PostgresDb, new_db: New, url: str) -> None:
    heard: list[object] = []
    ear = await asyncpg.connect(url)
    await ear.add_listener(SCHEMA, lambda connection, pid, channel, payload: heard.append(payload))
    other = new_db()
    await other.commit(started())
    await ear.execute("SELECT 1")
    assert heard == []
    waiting = asyncio.create_task(db.changed("r2", seen=0, timeout=60))
    await _until_listening(url)
    await other.commit(Batch(events=[event(1)]))
    await other.commit(started("r2"))
    with anyio.fail_after(60):
        assert await waiting
    await ear.execute("SELECT 1")
    assert heard == ["r2"]
    await ear.close()
    await other.aclose()


async def test_of_processes_that_answer_and_claim_at_once_one_wins(db: PostgresDb, url: str) -> None:
    script = """
        async def main():
            db = database()
            await db.open()
            print("ready", flush=True)
            sys.stdin.readline()
            try:
                await db.answer([requirement(answered_at=1.0, data=arguments[0].encode())])
                print("answered")
            except AlreadyAnswered:
                pass
            claimed = await db.claim("r1", owner=arguments[0], now=1.0, lease=9.0,
                                     statuses=frozenset({RunStatus.PAUSED}), expired_only=False)
            print("claimed" if claimed else "")
        asyncio.run(main())
    """
    processes = [start(script, url, number) for number in range(4)]
    for process in processes:
        wait_for(process, "ready")
    await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement()]))
    for process in processes:
        say(process, "go")
    said = "".join(finish(process) for process in processes)
    assert (said.count("answered"), said.count("claimed")) == (1, 1)


async def test_200_runs_of_20_workers_that_each_add_a_key_to_one_session_leave_200_keys(
    db: PostgresDb, url: str
) -> None:
    """The workers are tasks of five processes, each with a database object of its own: 20 pools, 20 writers."""
    script = """
        async def work(name):
            db = database(max_size=1)
            def add(run_context):
                run_context.session_state[run_context.dependencies["key"]] = 1
            for number in range(10):
                workflow = Workflow(name="w", steps=[Step(name="add", executor=add)], db=db)
                await workflow.arun(input="x", session_id="shared", dependencies={"key": f"{name}.{number}"})
        async def main():
            await asyncio.gather(*(work(f"{arguments[0]}.{number}") for number in range(4)))
        asyncio.run(main())
    """
    await db.open()
    processes = [start(script, url, number) for number in range(5)]
    for process in processes:
        finish(process)
    row = await db.load_session("shared")
    assert row is not None
    wanted = {f"{process}.{worker}.{number}" for process in range(5) for worker in range(4) for number in range(10)}
    assert set(row.state) == wanted
    assert len(wanted) == 200
    runs = await db.list_runs(RunFilter(session_id="shared"), limit=300)
    assert [row.status for row in runs] == [RunStatus.COMPLETED] * 200


async def test_a_process_that_is_killed_loses_nothing_that_was_acknowledged(db: PostgresDb, url: str) -> None:
    script = """
        async def main():
            db = database()
            async def work(name):
                for number in range(10**6):
                    run_id = f"{name}-{number}"
                    batch = started(run_id, session_id=name)
                    batch.steps, batch.events = [step(run_id=run_id)], [event(1, run_id=run_id)]
                    await db.commit(batch)
                    print(run_id, flush=True)
            await asyncio.gather(*(work(f"w{n}") for n in range(8)))
        asyncio.run(main())
    """
    process = start(script, url)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    acknowledged += [line for line in rest.split("\n")[:-1] if line]
    assert len(acknowledged) >= 200
    stored = {row.run_id for row in await db.list_runs(RunFilter(), limit=10**6)}
    assert stored >= set(acknowledged)
    for run_id in stored:
        assert (len(await db.load_steps(run_id)), len(await db.load_events(run_id))) == (1, 1)


async def test_a_process_may_end_without_closing(db: PostgresDb, url: str) -> None:
    script = """
        db = database()
        async def main():
            await asyncio.gather(*(db.commit(started(f"answered {number}")) for number in range(50)))
            waiting = asyncio.create_task(db.changed("answered 1", seen=9, timeout=60))
            await db.list_runs(RunFilter())
            for number in range(50):
                asyncio.ensure_future(db.commit(started(f"submitted {number}")))
            await db.load_run("answered 1")
        asyncio.run(main())
        print("end")
    """
    assert finish(start(script, url)) == "end\n"
    stored = {run.run_id for run in await db.list_runs(RunFilter(), limit=100)}
    assert {f"answered {number}" for number in range(50)} <= stored


async def test_a_forked_child_has_connections_of_its_own(db: PostgresDb, url: str) -> None:
    script = """
        db = database()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(db.commit(started("parent before")))
        child = os.fork()
        if child == 0:
            asyncio.run(db.commit(started("child")))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        loop.run_until_complete(db.commit(started("parent after")))
        loop.run_until_complete(db.aclose())
        loop.close()
        print("end")
    """
    assert finish(start(script, url)) == "end\n"
    wanted = {"parent before", "child", "parent after"}
    assert {run.run_id for run in await db.list_runs(RunFilter(), limit=100)} == wanted
