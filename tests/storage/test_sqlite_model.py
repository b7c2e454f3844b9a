"""SQLite answers random sequences of calls as the reference model does."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings

from workflow_runtime.testing import DbModel
from workflow_runtime_sqlite import SqliteDb


class InMemory(DbModel):
    def make(self) -> SqliteDb:
        return SqliteDb(":memory:")


class InFile(DbModel):
    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        super().__init__()

    def make(self) -> SqliteDb:
        return SqliteDb(Path(self.directory.name) / "runs.db", synchronous="NORMAL")

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


# A tenth of the profile's examples: each is a whole sequence of calls. HYPOTHESIS_PROFILE=explore looks for longer.
_EXAMPLES = max(10, settings().max_examples // 10)

TestSqliteInMemory = InMemory.TestCase
TestSqliteInMemory.settings = settings(max_examples=_EXAMPLES, stateful_step_count=25, deadline=None)

TestSqliteInFile = InFile.TestCase
TestSqliteInFile.settings = settings(max_examples=_EXAMPLES // 2, stateful_step_count=25, deadline=None)
