"""The reference model keeps the contract, on asyncio, uvloop and trio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow_runtime.storage.memory import InMemoryDb
from workflow_runtime.testing import DbContract


@pytest.fixture(
    params=[("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})], ids=["asyncio", "uvloop", "trio"]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestInMemoryDb(DbContract):
    def make(self, tmp_path: Path) -> InMemoryDb:
        return InMemoryDb()
