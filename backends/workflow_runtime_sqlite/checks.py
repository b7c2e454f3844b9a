"""Looking for damage in the file, for ``wfr db check``."""

from __future__ import annotations

import sqlite3

from workflow_runtime.storage import rules
from workflow_runtime.storage.base import DbReport

from .calls import call
from .connection import Settings, close, connect
from .errors import DRIVER_ERRORS, translate
from .location import Location

__all__ = ["check", "vacuum"]

_MOST = 20
_TABLES = (
    "workflow_steps",
    "workflow_events",
    "workflow_requirements",
    "workflow_signals",
    "workflow_messages",
    "workflow_deliveries",
    "workflow_tags",
    "workflow_keys",
)
_ORPHANS = "SELECT count(DISTINCT run_id) FROM {table} WHERE run_id NOT IN (SELECT run_id FROM workflow_runs)"
_SWEPT = " AND run_id NOT IN (SELECT run_id FROM workflow_garbage)"


async def vacuum(settings: Settings) -> int:
    """``BaseDb.vacuum``, on a connection of its own: it cannot be part of a transaction."""
    try:
        connection = await connect(settings, reader=False, create=False)
        try:
            return await call(connection, _vacuum)
        finally:
            await close(connection, settings.location)
    except DRIVER_ERRORS as error:
        raise translate(error, settings.location, settings.busy_timeout, existed=True) from error


def _vacuum(connection: sqlite3.Connection) -> int:
    before = _bytes(connection)
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return max(0, before - _bytes(connection))


def _bytes(connection: sqlite3.Connection) -> int:
    count, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(count) * int(size)


def check(connection: sqlite3.Connection, location: Location) -> DbReport:
    """``BaseDb.check``; reads every page."""

    def number(text: str) -> int:
        found: int = connection.execute(text).fetchone()[0]
        return found

    found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_MOST})")]
    problems = [
        f"the file is damaged ({line}); restore a backup, or salvage it with: sqlite3 FILE .recover"
        for line in found
        if line != "ok"
    ]
    if not problems:
        counts = {table: number(_ORPHANS.format(table=table) + _SWEPT) for table in _TABLES}
        problems = [rules.orphaned(count, table) for table, count in counts.items() if count]
    return DbReport(
        place=location.path,
        engine=f"SQLite {sqlite3.sqlite_version}",
        version=number("PRAGMA user_version"),
        size=number("PRAGMA page_count") * number("PRAGMA page_size"),
        problems=problems,
    )
