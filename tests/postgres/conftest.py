"""A database per module, whose schema is emptied for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from servers import TestServer

from workflow_runtime_postgres import PostgresDb
from workflow_runtime_postgres.schema import qualify

SCHEMA = 'a "schema" of tests'
"""Needs quoting, so that it shows where that was forgotten."""

TABLES = (
    "runs",
    "steps",
    "events",
    "requirements",
    "signals",
    "deletions",
    "sessions",
    "messages",
    "deliveries",
    "tags",
    "keys",
    "limits",
    "lanes",
    "schedules",
    "session_values",
    "locks",
    "writers",
)
EMPTY = f"""
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_namespace WHERE nspname = '{SCHEMA}') THEN
            {qualify("".join(f"DELETE FROM @.{name};" for name in TABLES), SCHEMA)}
        END IF;
    END $$"""


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"


@pytest.fixture(scope="module")
def url(postgres: TestServer) -> str:
    """The URL of a database that is this module's."""
    return postgres.new_database()


@pytest.fixture(scope="module")
def empty(postgres: TestServer, url: str) -> Callable[[], Callable[..., PostgresDb]]:
    """``empty()`` empties the schema and gives a function that makes objects over it."""

    def make() -> Callable[..., PostgresDb]:
        postgres.execute(EMPTY, url)
        return lambda **options: PostgresDb(url, **{"schema": SCHEMA, **options})

    return make


@pytest.fixture
def new_db(empty: Callable[[], Callable[..., PostgresDb]]) -> Callable[..., PostgresDb]:
    """``new_db(**options)``: an object over the module's schema, which is empty at first. Close it."""
    return empty()


@pytest.fixture
async def db(new_db: Callable[..., PostgresDb]) -> AsyncIterator[PostgresDb]:
    database = new_db()
    yield database
    await database.aclose()
