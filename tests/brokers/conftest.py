"""Brokers are for asyncio; the local one also for trio (its own module says so)."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"
