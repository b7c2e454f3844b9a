"""What can be wrong with a file: each says what, names the file and the fix, and passes when the cause goes away."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from workflow_runtime.model.errors import StorageError
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.testing.contract_rows import event, run, session, started, step
from workflow_runtime_sqlite import SqliteDb, schema
from workflow_runtime_sqlite.connection import Settings, close, connect
from workflow_runtime_sqlite.location import locate

from .processes import finish, start

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
async def db(path: Path) -> AsyncIterator[SqliteDb]:
    database = SqliteDb(path, busy_timeout=0.05)
    yield database
    await database.aclose()


async def test_a_missing_directory_is_named_and_may_be_made_later(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "missing" / "runs.db")
    with pytest.raises(StorageError, match=r"runs\.db.*there is no directory .*missing; create it") as caught:
        await db.commit(started())
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    (tmp_path / "missing").mkdir()
    await db.commit(started())
    await db.aclose()


async def test_a_directory_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path)
    with pytest.raises(StorageError, match="is a directory; name a file in it"):
        await db.open()
    await db.aclose()


async def test_a_file_that_is_no_database_is_named_and_left_alone(path: Path, db: SqliteDb) -> None:
    path.write_bytes(b"Dear diary, " * 500)
    with pytest.raises(StorageError, match=r"runs\.db: the file is not a SQLite database"):
        await db.load_run("r1")
    assert path.read_bytes() == b"Dear diary, " * 500
    path.unlink()
    await db.commit(started())


async def test_a_damaged_file_is_named(path: Path, db: SqliteDb) -> None:
    for number in range(200):
        await db.commit(started(f"r{number}", data=b"x" * 2000))
    await db.aclose()
    sound = path.read_bytes()
    path.write_bytes(sound[:131072] + b"\xff" * (len(sound) - 131072))

    async def read_all() -> None:
        for number in range(200):
            assert await db.load_run(f"r{number}") is not None

    with pytest.raises(StorageError, match=r"runs\.db: the file is damaged .*restore a backup"):
        await read_all()
    # Restored as one does: the damaged files away, the copy in their place.
    for file in path.parent.iterdir():
        file.unlink()
    path.write_bytes(sound)
    await read_all()


async def test_a_newer_schema_says_to_upgrade_and_is_left_alone(path: Path, db: SqliteDb) -> None:
    await db.commit(started())
    await db.aclose()
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    raw.close()
    with pytest.raises(StorageError, match=r"runs\.db: its schema is version \d+, .*knows \d+; upgrade the package"):
        await db.commit(started("r2"))
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version = {schema.VERSION}")
    raw.close()
    assert [row.run_id for row in await db.list_runs(RunFilter())] == ["r1"]


async def test_a_file_that_another_application_versions_is_refused(path: Path, db: SqliteDb) -> None:
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE theirs (x)")
    raw.execute("PRAGMA user_version = 1")
    raw.close()
    with pytest.raises(StorageError, match="belongs to another application"):
        await db.open()


async def test_a_table_of_another_application_with_a_name_of_ours_is_refused(path: Path, db: SqliteDb) -> None:
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE workflow_runs (x)")
    raw.close()
    with pytest.raises(StorageError, match=r"another application \(its table workflow_runs.*name another file"):
        await db.open()


async def test_tables_of_others_in_the_file_are_left_alone(path: Path, db: SqliteDb) -> None:
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE sessions (x)")
    raw.execute("INSERT INTO sessions VALUES (1)")
    raw.commit()
    raw.close()
    await db.commit(started())
    await db.delete_session("s1")
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT x FROM sessions").fetchall() == [(1,)]
    raw.close()


async def test_a_migration_goes_forward_in_one_transaction(
    path: Path, db: SqliteDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    await db.commit(started())
    await db.aclose()
    last, known = schema.VERSION, schema.MIGRATIONS
    for script, version in (
        ("CREATE TABLE more (x); CREATE TABLE more (x);", last),
        ("CREATE TABLE more (x); CREATE INDEX more_x ON more (x);", last + 1),
    ):
        monkeypatch.setattr(schema, "MIGRATIONS", (*known, script))
        monkeypatch.setattr(schema, "VERSION", last + 1)
        if version == last:
            with pytest.raises(StorageError, match="already exists"):
                await db.open()
        else:
            await db.open()
        raw = sqlite3.connect(path)
        found = raw.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'more%'").fetchone()[0]
        assert (raw.execute("PRAGMA user_version").fetchone()[0], found) == (version, 2 * (version - last))
        raw.close()
    assert await db.load_run("r1") is not None


async def test_a_lock_that_another_holds_too_long_is_reported_and_reading_goes_on(path: Path, db: SqliteDb) -> None:
    await db.commit(started())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    results = await asyncio.gather(
        *(db.commit(started(f"r{number}")) for number in range(2, 6)), db.load_run("r1"), return_exceptions=True
    )
    for result in results[:4]:
        assert isinstance(result, StorageError)
        assert "locked by another process for more than 0.05 s" in str(result)
    assert len(set(map(id, results[:4]))) == 4
    assert getattr(results[4], "run_id", None) == "r1"
    other.execute("COMMIT")
    other.close()
    await db.commit(started("r2"))


async def test_one_wait_for_the_lock_is_enough_for_all_who_wait_together(path: Path) -> None:
    db = SqliteDb(path, busy_timeout=0.3)
    await db.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with anyio.fail_after(60):
        commits = (db.commit(started(f"r{number}")) for number in range(20))
        assert all(isinstance(error, StorageError) for error in await asyncio.gather(*commits, return_exceptions=True))
    other.close()
    await db.aclose()


async def test_opening_waits_for_a_lock_as_long_as_busy_timeout_says(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE theirs (x)")
    other.execute("BEGIN IMMEDIATE")
    db = SqliteDb(path, busy_timeout=0.2)
    began = time.monotonic()
    with pytest.raises(StorageError, match=r"locked by another process for more than 0\.2 s"):
        await db.open()
    assert time.monotonic() - began >= 0.2
    other.close()
    await db.open()
    await db.aclose()


async def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(path: Path) -> None:
    db = SqliteDb(path, max_pages=64)
    await db.commit(started("first"))
    big = started("big", session_id="big", data=b"x" * 400_000)
    batches = [started("a"), started("b"), big, started("c"), Batch(session=session("kept", state={"k": b"1"}))]
    results = await asyncio.gather(*(db.commit(batch) for batch in batches), return_exceptions=True)
    assert [isinstance(result, StorageError) for result in results] == [False, False, True, False, False]
    assert "no space is left" in str(results[2])
    assert str(path) in str(results[2])
    assert {row.run_id for row in await db.list_runs(RunFilter())} == {"first", "a", "b", "c"}
    assert await db.load_session("big") is None
    await db.aclose()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


async def test_a_full_disk_is_usable_again_when_something_was_deleted(path: Path) -> None:
    db = SqliteDb(path, max_pages=128)
    stored = []

    async def fill() -> None:
        for number in range(100):
            await db.commit(started(f"r{number}", session_id=f"s{number}", data=b"x" * 20_000))
            stored.append(number)

    with pytest.raises(StorageError, match="no space is left"):
        await fill()
    assert 1 < len(stored) < 20
    for number in stored:
        assert await db.load_run(f"r{number}") is not None
    assert await db.delete_session("s0")
    await db.commit(started("after", data=b"x" * 10_000))
    await db.aclose()


async def test_a_database_that_is_opened_to_read_is_not_written(path: Path, db: SqliteDb) -> None:
    await db.commit(started())
    reader = SqliteDb(f"sqlite:///{path}?mode=ro")
    assert [row.run_id for row in await reader.list_runs(RunFilter())] == ["r1"]
    with pytest.raises(StorageError, match=r"runs\.db: it can only be read"):
        await reader.commit(started("r2"))
    await db.commit(started("r2"))
    assert await reader.load_run("r2") is not None
    await reader.aclose()


async def test_a_missing_file_is_not_made_by_reading_it(path: Path) -> None:
    reader = SqliteDb(f"sqlite:///{path}?mode=ro")
    with pytest.raises(StorageError, match="mode=ro does not create one"):
        await reader.load_run("r1")
    assert not path.exists()
    await reader.aclose()


async def test_a_file_without_permission_is_named_and_usable_once_it_is_given(path: Path, db: SqliteDb) -> None:
    await db.commit(started())
    await db.aclose()
    # root may write everything, so the process becomes nobody once it has imported what it needs
    script = """
        from pathlib import Path
        user = os.geteuid()
        Path(path).chmod(0o444)
        Path(path).parent.chmod(0o555)
        for parent in list(Path(path).parents)[1:-2]:
            if user == 0: parent.chmod(parent.stat().st_mode | 0o055)
        async def main():
            db = SqliteDb(path)
            if user == 0: os.seteuid(65534)
            try:
                await db.commit(started("r2"))
            except StorageError as error:
                print(error)
            if user == 0: os.seteuid(0)
            Path(path).parent.chmod(0o755)
            Path(path).chmod(0o644)
            await db.commit(started("r2"))
            await db.aclose()
        asyncio.run(main())
    """
    said = await anyio.to_thread.run_sync(lambda: finish(start(script, path)))
    assert str(path) in said
    assert "can only be read" in said or "check the permissions" in said
    assert await db.load_run("r2") is not None


READS: dict[str, Callable[[SqliteDb], Awaitable[Any]]] = {
    "commit": lambda db: db.commit(started("r2")),
    "answer": lambda db: db.request_cancel("r1", now=1.0),
    "load": lambda db: db.load_run("r1"),
    "list": lambda db: db.list_runs(RunFilter()),
    "watch": lambda db: db.changed("r1", seen=9, timeout=60),
    "check": lambda db: db.check(),
}


def remove(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


@pytest.mark.parametrize("name", READS)
async def test_a_file_that_is_removed_under_the_process_is_reported(path: Path, db: SqliteDb, name: str) -> None:
    await db.commit(started())
    await db.list_runs(RunFilter())
    remove(path)
    for _ in range(3):
        with pytest.raises(StorageError, match=r"runs\.db: the file was removed while .*put the file back, or restart"):
            await READS[name](db)
    assert not path.exists()
    await db.aclose()
    await db.commit(started("new"))
    assert [row.run_id for row in await db.list_runs(RunFilter())] == ["new"]


async def test_all_who_commit_to_a_removed_file_are_told_and_a_restored_one_is_used(path: Path, db: SqliteDb) -> None:
    await db.commit(started())
    await db.aclose()
    copy = path.read_bytes()
    await db.load_run("r1")
    remove(path)
    results = await asyncio.gather(*(db.commit(started(f"r{n}")) for n in range(2, 9)), return_exceptions=True)
    assert {type(result) for result in results} == {StorageError}
    assert len(set(map(id, results))) == 7
    path.write_bytes(copy)
    await db.commit(started("r9"))
    assert {row.run_id for row in await db.list_runs(RunFilter())} == {"r1", "r9"}


@pytest.mark.parametrize("name", [name for name in READS if name != "watch"])
async def test_a_file_that_is_replaced_under_the_process_is_reported_and_then_used(
    path: Path, db: SqliteDb, name: str
) -> None:
    await db.commit(started())
    await db.list_runs(RunFilter())
    other = SqliteDb(path.with_name("other.db"))
    await other.commit(started("theirs"))
    await other.aclose()
    os.replace(other.location.path, path)
    Path(f"{path}-wal").unlink()
    with pytest.raises(StorageError, match=r"runs\.db: another file has taken the place .*the next call opens the new"):
        await READS[name](db)
    assert await db.load_run("theirs") is not None
    assert await db.load_run("r1") is None


async def test_a_file_in_memory_has_nothing_to_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    db = SqliteDb(":memory:")
    for name in ("r1", "r2"):
        await db.commit(started(name))
    assert len(await db.list_runs(RunFilter())) == 2
    assert list(tmp_path.iterdir()) == []
    await db.aclose()


async def test_a_value_that_sqlite_cannot_hold_fails_alone(db: SqliteDb) -> None:
    batches = [
        started("good"),
        Batch(run=run("number", seq=2**70)),
        Batch(run=run("text", fingerprint="\ud800")),
        Batch(steps=[step(run_id="type", data=object())], events=[event(1, run_id="type")]),
        started("good too"),
    ]
    results = await asyncio.gather(*(db.commit(batch) for batch in batches), return_exceptions=True)
    assert [isinstance(result, StorageError) for result in results] == [False, True, True, True, False]
    assert {row.run_id for row in await db.list_runs(RunFilter())} == {"good", "good too"}
    assert await db.load_events("type") == []


async def test_a_connection_that_fails_to_open_is_closed(path: Path) -> None:
    before = set(threading.enumerate())
    settings = Settings(locate(path), "FULL", 1.0, None)
    path.write_bytes(b"no database " * 100)
    with pytest.raises(sqlite3.DatabaseError):
        await connect(settings, reader=False, create=True)
    path.unlink()
    thread = await close(await connect(settings, reader=False, create=True), settings.location)
    await anyio.to_thread.run_sync(thread.join)
    assert path.exists()
    assert not [one for one in set(threading.enumerate()) - before if one.name.startswith("workflow_runtime_sqlite")]
