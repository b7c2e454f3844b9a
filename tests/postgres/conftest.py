"""A database per module, and in it a schema per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest
from servers import TestServer

from workflow_runtime_postgres import PostgresDb

_numbers = count()


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"


@pytest.fixture(scope="module")
def url(postgres: TestServer) -> str:
    """The URL of a database that is this module's."""
    return postgres.new_database()


@pytest.fixture
def new_db(url: str) -> Callable[..., PostgresDb]:
    """``new_db(**options)``: an object over this test's schema, which is empty at first. Close it."""
    schema = f"test {next(_numbers)}"
    return lambda **options: PostgresDb(url, **{"schema": schema, **options})


@pytest.fixture
async def db(new_db: Callable[..., PostgresDb]) -> AsyncIterator[PostgresDb]:
    database = new_db()
    yield database
    await database.aclose()
