"""Several processes on one file, processes that are killed, that forget to close, and that fork."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import anyio
import pytest

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.testing.contract_rows import event, requirement, run, started
from workflow_runtime_sqlite import SqliteDb

from .processes import finish, start

pytestmark = pytest.mark.anyio


async def test_processes_that_make_and_write_one_file_at_once_lose_nothing(tmp_path: Path) -> None:
    script = """
        async def main():
            name = sys.argv[2]
            db = SqliteDb(path, synchronous="NORMAL", busy_timeout=30)
            async def append(number):
                value = None
                while True:
                    new = (value or b"") + f"{name}{number} ".encode()
                    try:
                        await db.commit(Batch(session=session(state={"log": new}, expected={"log": value})))
                        break
                    except ConcurrentWrite as conflict:
                        value = conflict.current["log"]
                await db.commit(started(f"{name}{number}"))
            for number in range(0, 40, 4):
                await asyncio.gather(*(append(number + offset) for offset in range(4)))
            await db.aclose()
        asyncio.run(main())
    """
    path = tmp_path / "runs.db"
    processes = [start(script, path, name) for name in "abc"]
    for process in processes:
        finish(process)
    db = SqliteDb(path)
    row = await db.load_session("s1")
    wanted = {f"{name}{number}" for name in "abc" for number in range(40)}
    assert row is not None
    assert sorted(row.state["log"].decode().split()) == sorted(wanted)
    assert {run.run_id for run in await db.list_runs(RunFilter(session_id="s1"), limit=500)} == wanted
    await db.aclose()


async def test_of_processes_that_answer_and_claim_at_once_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    db = SqliteDb(path)
    script = """
        async def main():
            db = SqliteDb(path)
            await db.open()
            print("ready", flush=True)
            sys.stdin.readline()
            try:
                await db.answer([requirement(answered_at=1.0, data=sys.argv[2].encode())])
                print("answered")
            except AlreadyAnswered:
                pass
            claimed = await db.claim("r1", owner=sys.argv[2], now=1.0, lease=9.0,
                                     statuses=frozenset({RunStatus.PAUSED}), expired_only=False)
            print("claimed" if claimed else "")
            await db.aclose()
        asyncio.run(main())
    """
    processes = [start(script, path, number) for number in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement()]))
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = "".join(finish(process) for process in processes)
    assert (said.count("answered"), said.count("claimed")) == (1, 1)
    await db.aclose()


async def test_a_watcher_is_woken_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    db = SqliteDb(path)
    await db.commit(started(seq=1))
    await db.commit(Batch(run=run(seq=2), events=[event(1)]))
    process = start(
        """
        async def main():
            db = SqliteDb(path)
            await db.open()
            print("ready", flush=True)
            sys.stdin.readline()
            await db.commit(Batch(events=[event(3)]))
            await db.aclose()
        asyncio.run(main())
        """,
        path,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with anyio.fail_after(60):
        waiting = asyncio.create_task(db.changed("r1", seen=2, timeout=60))
        await db.load_run("r1")  # behind the waiter's first look
        assert not waiting.done()
        process.stdin.write("go\n")
        process.stdin.flush()
        assert await waiting
    finish(process)
    await db.aclose()


async def test_a_process_that_is_killed_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    script = """
        async def main():
            db = SqliteDb(path)
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
    for _ in range(3):
        process = start(script, path)
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(200)]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        acknowledged += [line for line in rest.split("\n")[:-1] if line]
        assert len(acknowledged) >= 200
        db = SqliteDb(path)
        for run_id in acknowledged:
            assert await db.load_run(run_id) is not None
        stored = await db.list_runs(RunFilter(), limit=10**6)
        for row in stored:
            assert (len(await db.load_steps(row.run_id)), len(await db.load_events(row.run_id))) == (1, 1)
        for name in range(8):
            await db.delete_session(f"w{name}")
        await db.aclose()


async def test_a_process_may_end_without_closing(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    script = """
        db = SqliteDb(path)
        async def main():
            await db.commit(started("answered"))
            await db.list_runs(RunFilter())
            for number in range(50):
                asyncio.ensure_future(db.commit(started(f"submitted {number}")))
            await asyncio.sleep(0)
        asyncio.run(main())
        print("end")
    """
    assert finish(start(script, path)) == "end\n"
    db = SqliteDb(path)
    ids = {run.run_id for run in await db.list_runs(RunFilter(), limit=100)}
    assert ids == {"answered", *(f"submitted {number}" for number in range(50))}
    await db.aclose()


async def test_a_forked_child_is_told_and_the_parent_goes_on(tmp_path: Path) -> None:
    script = """
        def attempt(db, name):
            try:
                asyncio.run(db.commit(started(name)))
                asyncio.run(db.aclose())
                return "stored"
            except StorageError as error:
                assert "fork" in str(error), error
                return "refused"
        db = SqliteDb(path)
        closed = SqliteDb(path + ".closed")
        assert attempt(closed, "before") == "stored"
        memory = SqliteDb(":memory:")
        assert attempt(memory, "before") == "stored"
        asyncio.run(memory.open())
        asyncio.run(db.commit(started("parent before")))
        asyncio.run(db.list_runs(RunFilter()))
        child = os.fork()
        if child == 0:
            said = [attempt(db, "child"), attempt(SqliteDb(path), "child"), attempt(SqliteDb(path + ".own"), "child"),
                    attempt(SqliteDb(path + ".closed"), "child"), attempt(SqliteDb(":memory:"), "child")]
            print(*said, flush=True)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        asyncio.run(db.commit(started("parent after")))
        print(sorted(run.run_id for run in asyncio.run(db.list_runs(RunFilter()))))
        asyncio.run(db.aclose())
    """
    said = finish(start(script, tmp_path / "runs.db"))
    assert said.splitlines() == ["refused refused stored stored stored", "['parent after', 'parent before']"]
