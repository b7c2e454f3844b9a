"""Several processes open a SQLite file that does not exist yet."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from workflow_runtime_sqlite import schema
from workflow_runtime_sqlite.location import Location


class Watched(sqlite3.Connection):
    """Another process makes the tables between the first statement that reads and the second."""

    path = ""
    reads = 0

    def execute(self, sql: str, parameters: object = ()) -> sqlite3.Cursor:  # type: ignore[override]
        cursor = super().execute(sql, parameters)  # type: ignore[arg-type]
        if sql.startswith(("SELECT", "PRAGMA user_version")):
            self.reads += 1
            if self.reads == 1:
                other = sqlite3.connect(self.path, isolation_level=None)
                schema.migrate(other, Location(path=self.path))
                other.close()
        return cursor


def test_a_file_that_another_process_makes_at_the_same_moment_is_ours(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")
    plain = sqlite3.connect(path, isolation_level=None)
    plain.execute("PRAGMA journal_mode = WAL")
    plain.close()
    Watched.path = path
    connection = sqlite3.connect(path, isolation_level=None, factory=Watched)
    schema.migrate(connection, Location(path=path))
    assert schema.check(connection, Location(path=path)) == schema.VERSION
    connection.close()
