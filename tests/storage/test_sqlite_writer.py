"""The writing thread: groups, cancellation, loops that close, and threads that end."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import struct
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.model.errors import BuildError, StorageError
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.testing.contract_rows import event, fence, requirement, run, session, started, step
from workflow_runtime_sqlite import SqliteDb, commits, queries
from workflow_runtime_sqlite.calls import CallingConnection
from workflow_runtime_sqlite.connection import Settings, prepare
from workflow_runtime_sqlite.location import locate

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
async def db(path: Path) -> AsyncIterator[SqliteDb]:
    database = SqliteDb(path)
    yield database
    await database.aclose()


def connected(path: Path, synchronous: str) -> sqlite3.Connection:
    """A writing connection as the backend makes it, in this thread."""
    settings = Settings(locate(path), synchronous, 1.0, None)
    connection = sqlite3.connect(path, isolation_level=None, factory=CallingConnection)
    name = connection.thread.name
    prepare(connection, settings, False)
    connection.thread.name = name
    return connection


def commits_in_wal(path: Path) -> int:
    """Transactions in the write-ahead log: frames that carry a database size end one."""
    data = Path(f"{path}-wal").read_bytes()
    page_size, salt = struct.unpack(">I", data[8:12])[0], data[16:24]
    frames = (data[at : at + 24] for at in range(32, len(data), 24 + page_size))
    return sum(frame[8:16] == salt and frame[4:8] != bytes(4) for frame in frames)


async def test_commits_that_wait_together_share_transactions(path: Path, db: SqliteDb) -> None:
    await db.commit(started("first"))
    before, counted = commits_in_wal(path), db.transactions
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tasks = [asyncio.create_task(db.commit(started(f"r{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    other.execute("ROLLBACK")
    other.close()
    await asyncio.gather(*tasks)
    # One for those that were there when the thread looked, one for the rest.
    assert 1 <= commits_in_wal(path) - before <= 3
    assert db.transactions - counted == commits_in_wal(path) - before
    assert len(await db.list_runs(RunFilter(), limit=100)) == 51


async def test_listings_do_not_pass_through_the_writer(db: SqliteDb) -> None:
    await db.commit(started())
    await db.open()
    before = db.transactions
    await db.load_events("r1")
    await db.load_steps("r1")
    await db.list_runs(RunFilter())
    await db.list_sessions()
    await db.list_requirements()
    assert db.transactions == before
    await db.load_run("r1")
    assert db.transactions == before + 1


async def test_a_read_sees_the_writes_that_were_submitted_before_it(db: SqliteDb) -> None:
    for number in range(20):
        commit = asyncio.create_task(db.commit(started(f"r{number}")))
        await asyncio.sleep(0)
        assert await db.load_run(f"r{number}") is not None
        await commit


@pytest.mark.parametrize("bad", [None, 7, 0], ids=["all good", "one fails", "the first fails"])
async def test_what_is_submitted_in_one_burst_keeps_its_order(db: SqliteDb, bad: int | None) -> None:
    await db.open()
    numbers = range(300)  # more than fit into a transaction
    calls: list[Any] = []
    for number in numbers:
        batch = started(f"r{number}") if number != bad else Batch(steps=[step(run_id="bad", data=object())])
        calls += [db.commit(batch), db.load_run(f"r{number}"), db.load_run(f"r{number + 1}")]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(one, Exception) for one in found[::3]] == [number == bad for number in numbers]
    assert [one is None for one in found[1::3]] == [number == bad for number in numbers], "each sees what came before"
    assert set(found[2::3]) == {None}, "and nothing that came later"


async def test_a_read_that_goes_alone_lets_a_write_that_comes_meanwhile_follow(path: Path, db: SqliteDb) -> None:
    await db.commit(started("r1"))
    for number in range(2, 30):
        read = asyncio.create_task(db.load_run("r1"))
        await asyncio.sleep(0)
        await asyncio.gather(db.commit(started(f"r{number}")), db.load_run("r1"), db.load_run(f"r{number}"), read)
        assert await db.load_run(f"r{number}") is not None


async def test_a_cancelled_caller_leaves_no_unretrieved_exception(db: SqliteDb) -> None:
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    await db.commit(started())

    async def refused_and_cancelled(turns: int) -> None:
        task = asyncio.create_task(db.commit(started()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, StorageError)):
            await task

    for turns in range(6):
        await refused_and_cancelled(turns)
    await db.load_run("r1")
    gc.collect()
    assert noise == []


def test_the_object_outlives_the_loops_it_is_used_in(path: Path) -> None:
    db = SqliteDb(path)
    asyncio.run(db.commit(started("r1")))

    async def leave() -> None:
        asyncio.ensure_future(db.commit(started("r2")))  # noqa: RUF006  # its loop closes before it is answered
        await asyncio.sleep(0)

    asyncio.run(leave())
    asyncio.run(db.commit(started("r3")))

    async def ids() -> list[str]:
        return [row.run_id for row in await db.list_runs(RunFilter())]

    assert asyncio.run(ids()) == ["r3", "r2", "r1"]
    asyncio.run(db.aclose())
    assert asyncio.run(ids()) == ["r3", "r2", "r1"]
    asyncio.run(db.aclose())


def threads_of_sqlite() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("workflow_runtime_sqlite")]


async def test_closing_ends_the_threads_and_the_files_of_the_log(path: Path) -> None:
    before = set(threads_of_sqlite())
    db = SqliteDb(path)
    await db.commit(started())
    await db.list_runs(RunFilter())
    assert len(set(threads_of_sqlite()) - before) == 2
    assert Path(f"{path}-wal").exists()
    await db.aclose()
    assert set(threads_of_sqlite()) == before
    assert not Path(f"{path}-wal").exists()


def test_an_object_that_is_forgotten_ends_its_threads(path: Path) -> None:
    before = set(threads_of_sqlite())
    db = SqliteDb(path)
    asyncio.run(db.commit(started()))
    [thread] = set(threads_of_sqlite()) - before
    del db
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


def test_one_object_serves_trio_and_asyncio_and_what_a_loop_left_behind(path: Path) -> None:
    db = SqliteDb(path)

    async def leave() -> None:
        with trio.move_on_after(0):
            await db.commit(started("left"))

    trio.run(leave)
    asyncio.run(db.commit(started("asyncio")))
    trio.run(db.commit, started("trio"))
    with pytest.raises(StorageError, match="exists already"):
        trio.run(db.commit, started("asyncio"))

    async def ids() -> set[str]:
        return {row.run_id for row in await db.list_runs(RunFilter())}

    assert trio.run(ids) | {"left"} == asyncio.run(ids()) | {"left"} == {"left", "asyncio", "trio"}
    trio.run(db.aclose)


async def test_waiters_cost_nothing_once_they_are_gone(db: SqliteDb) -> None:
    await db.commit(started(seq=1))
    waiting = asyncio.create_task(db.changed("r1", seen=1, timeout=60))
    await db.load_run("r1")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert db._watch.runs() == []


def steps_of_sqlite(connection: sqlite3.Connection, call: Any, *arguments: Any) -> int:
    """How many instructions of its virtual machine SQLite ran for a call, in tens."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(tick, 10)
    call(connection, *arguments)
    connection.set_progress_handler(None, 0)
    return count


def test_no_call_costs_more_in_a_session_with_many_runs(path: Path) -> None:
    connection = connected(path, "NORMAL")
    done, live = frozenset({RunStatus.COMPLETED}), frozenset({RunStatus.RUNNING, RunStatus.PENDING})

    def fill(first: int, last: int) -> None:
        connection.execute("BEGIN")
        for number in range(first, last):
            run_id = f"r{number:06}"
            row = run(run_id, RunStatus.COMPLETED, created_at=float(number), updated_at=float(number), user_id="u")
            row.workflow_id = "w"
            batch = Batch(run=row, steps=[step(run_id=run_id)], events=[event(1, run_id=run_id)])
            commits.commit(connection, batch, 1.0, set())
            other = run(f"x{number:06}", RunStatus.COMPLETED, session_id="s2", created_at=1e6 + number, user_id="v")
            asked = requirement("q", other.run_id, user_id="v", workflow_id="w", timeout_at=5e9, session_id="s2")
            commits.commit(connection, Batch(run=other, requirements=[asked]), 1.0, set())
        connection.execute("COMMIT")
        # All text is pruned, and nothing is old enough for more.
        runs = queries.old_runs(connection, "w", range(1), 9e9, -1)
        commits.prune_events(connection, runs, ["Text"], 9e9, 10, 1)

    def measure(name: str) -> list[int]:
        new, patch = run(name, owner="a"), session(user_id="u", state={"k": name.encode()}, metrics={"n": 1})
        patch.expected = {"k": last[0]}
        last[0] = name.encode()
        calls: list[tuple[Any, ...]] = [
            (commits.commit, Batch(create=True, run=new, session=patch), 1.0, set()),
            (commits.commit, Batch(fence=fence(name), run=run(name, seq=3), steps=[step(run_id=name)]), 1.0, set()),
            (commits.renew, [(fence(name), 50.0)], 1.0),
            (commits.request_cancel, name, 5.0),
            (queries.load_run, name, 1.0),
            (queries.load_session, "s1"),
            (queries.has_signals, "a"),
            (queries.list_requirements, "s1", None, None, None, 10, None),
            (queries.list_requirements, None, "u", None, None, 10, None),
            (queries.list_requirements, None, None, "idle", None, 10, None),
            (queries.list_requirements, None, None, "w", 4e9, 10, None),
            (queries.list_requirements, None, None, "idle", 9e9, 10, None),
            (queries.old_runs, "w", range(1), 9e9, 200),
            (queries.old_runs, "w", range(3), -1.0, 200),
            (queries.old_runs, None, range(3), -1.0, 200),
            (queries.old_runs, "w", range(3), 9e9, 10),
            (commits.commit, Batch(run=run(name, RunStatus.CANCELLED, created_at=9e9)), 1.0, set()),
        ]
        for where in (
            RunFilter(session_id="s1"),
            RunFilter(session_id="s1", statuses=done),
            RunFilter(session_id="s1", statuses=live),
            RunFilter(user_id="u"),
            RunFilter(user_id="u", statuses=live),
            RunFilter(workflow_id="w"),
            RunFilter(workflow_id="w", statuses=live),
            RunFilter(workflow_id="w", statuses=done),
            RunFilter(statuses=live),
            RunFilter(statuses=live, expired=True),
            RunFilter(),
        ):
            calls.append((queries.list_runs, where, 5, None, 1.0))
            calls.append((queries.list_runs, where, 5, (15.0, "r000015"), 1.0))
        return [steps_of_sqlite(connection, *call) for call in calls]

    last: list[bytes | None] = [None]
    fill(0, 20)
    few = measure("a")
    fill(20, 3000)
    many = measure("b")
    connection.close()
    # A deeper tree costs a little; a scan would cost a hundred times as much.
    assert [(a, b) for a, b in zip(few, many, strict=True) if b > 2 * a + 5] == []


@pytest.mark.parametrize(("synchronous", "level"), [("NORMAL", 1), ("FULL", 2), ("EXTRA", 3)])
def test_a_connection_flushes_to_the_disk_as_asked(path: Path, synchronous: str, level: int) -> None:
    connection = connected(path, synchronous)
    assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_every_commit_is_flushed_unless_one_chooses_otherwise() -> None:
    assert SqliteDb("a.db").synchronous == "FULL"
    with pytest.raises(BuildError):
        SqliteDb("a.db", synchronous="OFF")  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(
    ("place", "path", "read_only"),
    [
        ("sqlite:///rel.db", "{cwd}/rel.db", False),
        ("sqlite:///dir/rel.db", "{cwd}/dir/rel.db", False),
        ("sqlite:////abs/path.db", "/abs/path.db", False),
        ("sqlite:////abs/with%20space.db", "/abs/with space.db", False),
        ("sqlite:////abs/path.db?mode=ro", "/abs/path.db", True),
        ("sqlite://:memory:", ":memory:", False),
        ("sqlite:///:memory:", ":memory:", False),
        ("sqlite://", ":memory:", False),
        (":memory:", ":memory:", False),
        ("rel.db", "{cwd}/rel.db", False),
        (Path("/abs/odd #?%41.db"), "/abs/odd #?%41.db", False),
        (None, "{cwd}/workflow_runtime.db", False),
    ],
)
def test_a_place_is_a_path_or_a_url(place: Any, path: str, read_only: bool) -> None:
    location = SqliteDb(place).location
    assert (location.path, location.read_only) == (path.format(cwd=Path.cwd()), read_only)


def test_the_spellings_of_a_place_are_the_same() -> None:
    assert SqliteDb(db_file="a.db").location == SqliteDb(db_url="sqlite:///a.db").location == SqliteDb("a.db").location
    assert SqliteDb.from_url("sqlite:///a.db").location == SqliteDb("a.db").location


@pytest.mark.parametrize("place", ["postgres://host/db", "sqlite://host/db.db", "sqlite:///a.db?cache=shared"])
def test_a_url_of_another_kind_is_refused(place: str) -> None:
    with pytest.raises(BuildError):
        SqliteDb(place)


def test_two_places_are_refused() -> None:
    with pytest.raises(BuildError, match="one of"):
        SqliteDb("a.db", db_url="sqlite:///b.db")


async def test_a_file_name_with_odd_characters_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "odd #?%41 &.db"
    db = SqliteDb(path)
    await db.commit(started())
    assert len(await db.list_runs(RunFilter())) == 1
    await db.aclose()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


async def test_the_log_shrinks_again_when_its_commits_are_in_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflow_runtime_sqlite import connection as module

    monkeypatch.setattr(module, "WAL_LIMIT", 64 * 1024)
    db, log = SqliteDb(path), path.with_name(f"{path.name}-wal")
    await db.commit(started())
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM workflow_runs").fetchone()
    for number in range(20):  # which cannot be put into the file while somebody reads it as it was
        await db.commit(Batch(run=run(f"r{number}", data=bytes(300_000))))
    assert log.stat().st_size > 5_000_000
    reader.close()
    for number in range(3):
        await db.commit(Batch(run=run(f"s{number}", data=bytes(10))))
    assert log.stat().st_size <= 64 * 1024
    await db.aclose()


async def test_a_vacuum_gives_back_what_was_deleted(path: Path) -> None:
    db = SqliteDb(path)
    for number in range(20):
        row = run(f"r{number}", RunStatus.COMPLETED, updated_at=1.0, data=bytes(100_000))
        await db.commit(Batch(run=row))
    await db.commit(started("kept"))
    await db.prune(kinds=None, before=9.0, limit=100)
    before = path.stat().st_size
    freed = await db.vacuum()
    assert freed is not None
    assert freed > 1_500_000
    assert path.stat().st_size <= before - freed
    assert await db.load_run("kept") is not None
    await db.commit(Batch(run=run("kept", seq=3)))
    await db.aclose()
    assert await SqliteDb(":memory:").vacuum() is None
