"""The schema is made once, goes forward only, and says so when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import anyio
import pytest
from servers import TestServer

from workflow_runtime.model.errors import StorageError
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.testing.contract_rows import session, started, step
from workflow_runtime_postgres import PostgresDb, schema

from .processes import finish, say, start, wait_for

pytestmark = pytest.mark.anyio

New = Callable[..., PostgresDb]


async def test_processes_that_make_the_schema_at_once_all_succeed(postgres: TestServer) -> None:
    url = await anyio.to_thread.run_sync(postgres.new_database)
    script = """
        async def main():
            print("ready", flush=True)
            sys.stdin.readline()
            await asyncio.gather(*(database().commit(started(f"{arguments[0]}-{n}")) for n in range(3)))
        asyncio.run(main())
    """
    processes = [start(script, url, number) for number in range(4)]
    for process in processes:
        wait_for(process, "ready")
    for process in processes:
        say(process, "go")
    for process in processes:
        finish(process)
    db = PostgresDb(url, schema='a "schema" of tests')
    assert len(await db.list_runs(RunFilter())) == 12
    await db.aclose()
    made = await anyio.to_thread.run_sync(
        postgres.execute, schema.qualify("SELECT version FROM @.versions", 'a "schema" of tests'), url
    )
    assert [tuple(row) for row in made] == [(number + 1,) for number in range(schema.VERSION)]


async def test_tasks_and_objects_that_make_the_schema_at_once_all_succeed(postgres: TestServer) -> None:
    url = await anyio.to_thread.run_sync(postgres.new_database)
    databases = [PostgresDb(url) for _ in range(4)]
    async with anyio.create_task_group() as group:
        for db in databases:
            for _ in range(3):
                group.start_soon(db.open)
    for db in databases:
        await db.aclose()


async def test_an_older_schema_is_brought_forward_and_keeps_its_rows(
    new_db: New, postgres: TestServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = new_db(schema="older")
    await old.commit(started())
    await old.aclose()
    following = (*schema.MIGRATIONS, ("ALTER TABLE @.runs ADD COLUMN later text DEFAULT 'new';",))
    monkeypatch.setattr(schema, "MIGRATIONS", following)
    monkeypatch.setattr(schema, "VERSION", len(following))
    new = new_db(schema="older")
    assert [row.run_id for row in await new.list_runs(RunFilter())] == ["r1"]
    await new.aclose()
    [(later,)] = await anyio.to_thread.run_sync(postgres.execute, "SELECT later FROM older.runs", url)
    assert later == "new"


async def test_a_newer_schema_is_refused_and_left_as_it_is(new_db: New, postgres: TestServer, url: str) -> None:
    db = new_db(schema="newer")
    await db.commit(started())
    await db.aclose()
    await anyio.to_thread.run_sync(postgres.execute, "INSERT INTO newer.versions VALUES (99, now())", url)
    with pytest.raises(StorageError, match=r"'newer' is version 99.*upgrade the package"):
        await db.load_run("r1")
    await db.aclose()


async def test_a_user_who_may_not_make_a_schema_is_told_and_can_use_one_that_is_there(
    new_db: New, postgres: TestServer, url: str
) -> None:
    def execute(statement: str) -> None:
        postgres.execute(statement, url)

    await anyio.to_thread.run_sync(execute, "DROP ROLE IF EXISTS workflow_runtime_test_user")
    await anyio.to_thread.run_sync(execute, "CREATE ROLE workflow_runtime_test_user LOGIN PASSWORD 'p'")
    parts = urlsplit(url)
    theirs = urlunsplit(parts._replace(netloc=f"workflow_runtime_test_user:p@{parts.netloc.rpartition('@')[2]}"))
    limited = PostgresDb(theirs, schema="limited")
    with pytest.raises(StorageError, match=r"the user lacks a right .*grant it") as caught:
        await limited.open()
    assert ":p@" not in str(caught.value)
    owner = new_db(schema="limited")
    await owner.open()
    await owner.aclose()
    grants = "GRANT {} limited TO workflow_runtime_test_user"
    for right in ("USAGE ON SCHEMA", "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA"):
        await anyio.to_thread.run_sync(execute, grants.format(right))
    await limited.commit(started())
    await limited.aclose()
    await anyio.to_thread.run_sync(execute, "DROP OWNED BY workflow_runtime_test_user")
    await anyio.to_thread.run_sync(execute, "DROP ROLE workflow_runtime_test_user")


async def test_a_database_that_is_not_utf8_is_refused(postgres: TestServer) -> None:
    def create() -> str:
        postgres.execute("DROP DATABASE IF EXISTS test_ascii")
        postgres.execute(
            "CREATE DATABASE test_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        return urlunsplit(urlsplit(postgres.url)._replace(path="/test_ascii"))

    db = PostgresDb(await anyio.to_thread.run_sync(create))
    with pytest.raises(StorageError, match="SQL_ASCII; create the database with ENCODING 'UTF8'"):
        await db.open()
    await db.aclose()
    await anyio.to_thread.run_sync(postgres.execute, "DROP DATABASE test_ascii")


async def test_two_schemas_are_two_databases(new_db: New) -> None:
    one, two = new_db(schema="one"), new_db(schema="two")
    await one.commit(Batch(session=session(state={"k": b"1"})))
    assert await two.load_session("s1") is None
    await one.aclose()
    await two.aclose()


async def test_what_writers_left_behind_is_removed_when_the_database_is_opened(
    new_db: New, postgres: TestServer, url: str
) -> None:
    db = new_db(schema="writers")
    await db.commit(started())
    await db.aclose()
    await anyio.to_thread.run_sync(
        postgres.execute, "UPDATE writers.writers SET used_at = now() - interval '2 hours'", url
    )
    await db.open()
    await db.aclose()
    assert await anyio.to_thread.run_sync(postgres.execute, "SELECT * FROM writers.writers", url) == []


async def test_a_check_describes_the_server_and_counts_rows_without_a_run(new_db: New) -> None:
    db = new_db()
    await db.commit(started("r1"))
    report = await db.check()
    assert report.engine.startswith("PostgreSQL ")
    assert report.version == schema.VERSION
    assert (report.size or 0) > 0
    assert report.problems == []
    await db.commit(Batch(steps=[step("a", run_id="nobody's")]))
    report = await db.check()
    assert [problem.split(" that ")[0] for problem in report.problems] == ["steps has rows of 1 run"]
    assert db.settings.schema in report.place
