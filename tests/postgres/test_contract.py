"""PostgreSQL keeps the contract, on both event loops, with notifications and by polling alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_runtime.storage.base import BaseDb
from workflow_runtime.testing import DbContract
from workflow_runtime_postgres import PostgresDb

New = Callable[..., PostgresDb]

ASYNCIO = pytest.param(("asyncio", {}), id="asyncio")
UVLOOP = pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")


class _Postgres(DbContract):
    options: dict[str, Any] = {}  # noqa: RUF012  # read only

    @pytest.fixture(autouse=True)
    def _schema(self, new_db: New) -> None:
        self.new_db = new_db

    def make(self, tmp_path: Path) -> PostgresDb:
        return self.new_db(**self.options)

    def reopen(self, db: BaseDb) -> PostgresDb:
        return self.new_db(**self.options)


class TestPostgres(_Postgres):
    @pytest.fixture(params=[ASYNCIO, UVLOOP])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        return request.param


class TestPostgresThroughAPooler(_Postgres):
    """As the documentation says to set it up for PgBouncer: nothing is left on a connection."""

    options = {"listen": False, "statement_cache_size": 0, "max_size": 3}  # noqa: RUF012  # read only
