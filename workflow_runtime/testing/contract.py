"""What every database has to do, as tests that a backend's test module subclasses.

    class TestMyDb(DbContract):
        def make(self, tmp_path):
            return MyDb(tmp_path / "file")

        def reopen(self, db):
            return MyDb(db.path)

Tests run on the backends of the ``anyio_backend`` fixture; define that in the module or its conftest. Add
``testing.model.DbModel`` for random sequences of calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ..storage.base import BaseDb
from .contract_commits import CommitContract, SessionContract
from .contract_deliveries import DeliveryContract
from .contract_leases import AnswerContract, DeleteContract, LeaseContract
from .contract_limits import LimitContract
from .contract_lives import LifeContract
from .contract_messages import MessageContract
from .contract_queues import QueueContract
from .contract_reads import ListContract, LogContract
from .contract_schedules import ScheduleContract
from .contract_watch import ConcurrencyContract, WatchContract

__all__ = ["DbContract"]


class DbContract(
    CommitContract,
    SessionContract,
    LeaseContract,
    AnswerContract,
    DeleteContract,
    LifeContract,
    MessageContract,
    DeliveryContract,
    QueueContract,
    LimitContract,
    ScheduleContract,
    LogContract,
    ListContract,
    WatchContract,
    ConcurrencyContract,
):
    """One test per promise of ``storage.base``. Subclass it, say how to ``make`` and to ``reopen`` a database."""

    pytestmark = pytest.mark.anyio

    survives_close = True
    """Whether what was stored is there after ``aclose``."""

    def make(self, tmp_path: Path) -> BaseDb:
        """A new, empty database; ``tmp_path`` is a directory for this test alone."""
        raise NotImplementedError

    def reopen(self, db: BaseDb) -> BaseDb | None:
        """A second, independent object over the same data, or None where there can be none. What it reads was stored:
        with it a database cannot vouch for itself."""
        return None

    @pytest.fixture
    async def db(self, tmp_path: Path) -> AsyncIterator[BaseDb]:
        database = self.make(tmp_path)
        try:
            yield database
        finally:
            await database.aclose()

    @pytest.fixture
    async def other(self, db: BaseDb) -> AsyncIterator[BaseDb]:
        second = self.reopen(db)
        try:
            yield db if second is None else second
        finally:
            if second is not None:
                await second.aclose()
