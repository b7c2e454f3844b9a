"""Each promise of durable runs is shown on every database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from workflow_runtime import BaseDb, InMemoryDb
from workflow_runtime.storage.registry import open_url


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], BaseDb]]:
    """A function that opens the same database once more, as another process would."""
    if request.param == "memory":
        database = InMemoryDb()
        yield lambda: database
        return
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/runs.db"
    else:
        url = request.getfixturevalue("postgres").new_database()
    opened: list[BaseDb] = [open_url(url)]  # finds and imports the backend, which reads files, before a loop runs

    def reopen() -> BaseDb:
        opened.append(open_url(url))
        return opened[-1]

    yield reopen

    async def close() -> None:
        for database in opened:
            await database.aclose()

    anyio.run(close)
