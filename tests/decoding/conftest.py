"""Databases whose rows a test may write beside the library."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from servers import TestServer

from .rows import MemoryRows, PostgresRows, Rows, SqliteRows


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rows]:
    if request.param == "memory":
        yield MemoryRows()
        return
    if request.param == "sqlite":
        found: Rows = SqliteRows(tmp_path / "runs.db")
    else:
        server: TestServer = request.getfixturevalue("postgres")
        found = PostgresRows(server, server.new_database())
    yield found
    anyio.run(found.db.aclose)


@pytest.fixture
def quiet() -> Iterator[None]:
    """What a fuzzer does is not worth thousands of lines in the log."""
    logger = logging.getLogger("workflow_runtime")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)
