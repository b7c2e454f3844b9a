"""Brokers are for asyncio; the local one also for trio (its own module says so)."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from nats_servers import left_to_the_collector


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The client drops sockets of reconnections that failed halfway, in any test of this room."""
    for item in items:
        if "brokers" in item.path.parts:
            item.add_marker(left_to_the_collector)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """They are collected in the test that left them, not in a later one of another room."""
    yield
    gc.collect()


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"
