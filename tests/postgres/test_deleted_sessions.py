"""A session that is deleted while its first run is being stored is gone with that run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import anyio
import asyncpg
import pytest
from servers import TestServer

from workflow_runtime import RunStatus
from workflow_runtime.storage.base import Batch, RunFilter, RunRow, SessionPatch
from workflow_runtime_postgres import PostgresDb
from workflow_runtime_postgres import statements as sql
from workflow_runtime_postgres.commits import commit_values
from workflow_runtime_postgres.schema import qualify

from .conftest import SCHEMA

pytestmark = pytest.mark.anyio

_WAITS = """
    SELECT count(*) FROM pg_locks
    WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


def first_commit() -> Batch:
    now = time.time()
    return Batch(
        run=RunRow(run_id="r", session_id="s", status=RunStatus.running, created_at=now - 1, updated_at=now),
        create=True,
        session=SessionPatch(session_id="s", state={"k": b"1"}, expected={"k": None}, now=now),
    )


async def test_a_deletion_waits_for_a_first_run_that_is_being_stored(
    new_db: Callable[..., PostgresDb], url: str, postgres: TestServer
) -> None:
    db = new_db()
    await db.open()
    connection = await asyncpg.connect(url)
    deleted = anyio.Event()

    async def delete() -> None:
        await db.delete_session("s", now=time.time())
        deleted.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            transaction = connection.transaction()
            await transaction.start()
            values = (uuid.uuid4(), 1, *commit_values(first_commit()))
            assert not (await connection.fetchrow(qualify(sql.COMMIT, SCHEMA), *values))["refused"]
            group.start_soon(delete)
            while not deleted.is_set() and not await connection.fetchval(_WAITS):
                await anyio.sleep(0.001)
            await transaction.commit()
        assert await db.list_runs(RunFilter(session_id="s")) == []
        assert await db.load_session("s") is None
    await connection.close()
    await db.aclose()


async def test_a_first_run_that_comes_while_its_session_is_deleted_meets_the_mark(
    new_db: Callable[..., PostgresDb], url: str
) -> None:
    db = new_db()
    await db.open()
    connection = await asyncpg.connect(url)
    refused: list[Exception] = []

    async def store() -> None:
        try:
            await db.commit(first_commit())
        except Exception as error:
            refused.append(error)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            transaction = connection.transaction()
            await transaction.start()
            await connection.fetch(qualify(sql.SESSION_DELETE, SCHEMA), uuid.uuid4(), 1, "s", time.time(), 1000.0)
            group.start_soon(store)
            while not await connection.fetchval(_WAITS):
                await anyio.sleep(0.001)
            await transaction.commit()
        assert [type(error).__name__ for error in refused] == ["Fenced"]
        assert await db.list_runs(RunFilter(session_id="s")) == []
    await connection.close()
    await db.aclose()
