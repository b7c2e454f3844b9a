"""The broker of workflows without one keeps the contract, over each database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow_runtime import InMemoryDb
from workflow_runtime.backends import SqliteDb
from workflow_runtime.brokers.base import Broker, Ticket
from workflow_runtime.brokers.local import LocalBroker
from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage.base import BaseDb, Batch, RunRow, SessionPatch
from workflow_runtime.testing import BrokerContract
from workflow_runtime_postgres import PostgresDb


class Local(LocalBroker):
    """Owns its database, which others do not."""

    def __init__(self, db: BaseDb) -> None:
        super().__init__(db)
        self.db = db

    async def aclose(self) -> None:
        await self.db.aclose()


class LocalContract(BrokerContract):
    def database(self, broker: Broker) -> BaseDb:
        assert isinstance(broker, Local)
        return broker.db

    async def queue(self, broker: Broker, given: Ticket) -> None:
        assert isinstance(broker, Local)
        row = RunRow(
            run_id=given.run_id,
            session_id="s",
            status=RunStatus.PENDING,
            workflow_id=given.workflow_id,
            queue=given.queue,
            attempt=0,
        )
        await broker.db.commit(Batch(create=True, run=row, session=SessionPatch(session_id="s")))
        await broker.offer(given)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestInMemory(LocalContract):
    def make(self, tmp_path: Path) -> Broker:
        return Local(InMemoryDb())

    def another(self, broker: Broker) -> Broker:
        assert isinstance(broker, Local)
        return Local(broker.db)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestSqlite(LocalContract):
    def make(self, tmp_path: Path) -> Broker:
        return Local(SqliteDb(tmp_path / "runs.db"))

    def another(self, broker: Broker) -> Broker:
        assert isinstance(broker, Local)
        assert isinstance(broker.db, SqliteDb)
        return Local(SqliteDb(broker.db.location.path))


class TestPostgres(LocalContract):
    @pytest.fixture(autouse=True)
    def _database(self, postgres: Any) -> None:
        self.url = postgres.new_database()

    def make(self, tmp_path: Path) -> Broker:
        return Local(PostgresDb(self.url))

    def another(self, broker: Broker) -> Broker:
        return Local(PostgresDb(self.url))
