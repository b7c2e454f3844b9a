"""SQLite keeps the contract: in a file, seen through a second object, and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow_runtime.storage.base import BaseDb
from workflow_runtime.testing import DbContract
from workflow_runtime_sqlite import SqliteDb

from .conftest import ASYNCIO, TRIO, UVLOOP


@pytest.fixture(params=[ASYNCIO, UVLOOP, TRIO])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestSqliteFile(DbContract):
    def make(self, tmp_path: Path) -> SqliteDb:
        return SqliteDb(tmp_path / "runs.db", synchronous="NORMAL")

    def reopen(self, db: BaseDb) -> SqliteDb:
        assert isinstance(db, SqliteDb)
        return SqliteDb(db.location.path, synchronous="NORMAL")


class TestSqliteInMemory(DbContract):
    survives_close = False

    def make(self, tmp_path: Path) -> SqliteDb:
        return SqliteDb(":memory:")
