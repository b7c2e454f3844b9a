"""Databases and worker processes for the fault tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import TestServer

from .processes import ForkServer, fork_server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package")
def workers() -> Iterator[ForkServer]:
    with fork_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """A function that gives the URL of a new, empty database each time."""
    numbers = iter(range(10_000))
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path}/{next(numbers)}.db"
    server: TestServer = request.getfixturevalue("postgres")
    url = server.new_database()
    return lambda: f"{url}?schema=s{next(numbers)}&max_size=4"


@pytest.fixture(autouse=True)
def _no_blocked_loop() -> None:
    """These tests look at files that other processes leave, and nothing else runs on their loop."""
