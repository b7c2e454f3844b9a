"""Databases and worker processes for the fault tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .processes import ForkServer, fork_server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package")
def workers() -> Iterator[ForkServer]:
    with fork_server() as server:
        yield server


@pytest.fixture
def new_url(tmp_path: Path) -> Callable[[], str]:
    """A function that gives the URL of a new, empty database each time."""
    numbers = iter(range(10_000))
    return lambda: f"sqlite:///{tmp_path}/{next(numbers)}.db"


@pytest.fixture(autouse=True)
def _no_blocked_loop() -> None:
    """These tests look at files that other processes leave, and nothing else runs on their loop."""
