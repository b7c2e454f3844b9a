"""The data that the first version wrote, on both databases: a copy per module of tests."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from servers import TestServer

from workflow_runtime import BaseDb, Workflow
from workflow_runtime.storage.registry import open_url

from . import flows

DATA = Path(__file__).parent / "data"
BACKENDS = ("sqlite", "postgres")


def unpack(target: Path) -> Path:
    """The SQLite file of version 1 as ``target``."""
    target.write_bytes(gzip.decompress((DATA / "schema-1.db.gz").read_bytes()))
    return target


@pytest.fixture(scope="session")
def template(postgres: TestServer) -> str:
    """The name of a PostgreSQL database with the data of version 1, which nobody is connected to."""
    url = postgres.new_database()

    async def load() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(gzip.decompress((DATA / "schema-1.sql.gz").read_bytes()).decode())
        await connection.close()

    asyncio.run(load())
    return url.rpartition("/")[2]


def copy_of_data(request: pytest.FixtureRequest, directory: Path) -> str:
    """The URL of a new copy of the data, on the database that the fixture's parameter names."""
    if request.param == "sqlite":
        return f"sqlite:///{unpack(directory / 'runs.db')}"
    postgres: TestServer = request.getfixturevalue("postgres")
    return postgres.new_database(request.getfixturevalue("template"))


@pytest.fixture(scope="module", params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the data that is this module's; its tests keep to runs of their own."""
    return copy_of_data(request, tmp_path_factory.mktemp("upgrade"))


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"


@pytest.fixture
def opened(url: str) -> BaseDb:
    """Not on the event loop: to find a backend by its URL reads files."""
    return open_url(url)


@pytest.fixture
async def db(opened: BaseDb) -> AsyncIterator[BaseDb]:
    yield opened
    await opened.aclose()


@pytest.fixture
def workflows(db: BaseDb) -> dict[str, Workflow]:
    return flows.build(db)


@pytest.fixture
def entered() -> Iterator[list[str]]:
    """The paths of the steps that ran in this test."""
    flows.entered.clear()
    yield flows.entered
    flows.entered.clear()
