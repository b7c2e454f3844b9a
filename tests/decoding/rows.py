"""The payloads of a database, read and written beside the library: what somebody else might have put there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from servers import TestServer

from workflow_runtime import BaseDb, InMemoryDb
from workflow_runtime.backends import SqliteDb

__all__ = ["MemoryRows", "PostgresRows", "Rows", "SqliteRows", "nodes", "replaced"]

Place = tuple[str, ...]  # table, column, then the key

_KEYS = {
    "runs": ("run_id",),
    "steps": ("run_id", "path"),
    "events": ("run_id", "seq"),
    "requirements": ("run_id", "requirement_id"),
    "session_values": ("session_id", "name"),
    "session_history": ("session_id", "version", "name"),
    "sessions": ("session_id",),
}
_COLUMNS = [
    ("runs", "data"), ("runs", "state"), ("session_history", "data"), ("steps", "data"), ("steps", "state"),
    ("events", "data"), ("requirements", "data"),
    ("session_values", "value"), ("sessions", "metadata"), ("sessions", "workflow_data"),
]  # fmt: skip


class Rows:
    """``read()`` gives the bytes at every place; ``write(values)`` replaces some."""

    db: BaseDb

    def read(self) -> dict[Place, bytes]:
        raise NotImplementedError

    def write(self, values: dict[Place, bytes]) -> None:
        raise NotImplementedError


class MemoryRows(Rows):
    def __init__(self) -> None:
        self.db: InMemoryDb = InMemoryDb()

    def _slots(self) -> Iterator[tuple[Place, Any, Any]]:
        for run_id, run in self.db._runs.by_id.items():
            yield ("runs", "data", run_id), run.row, "data"
            yield ("runs", "state", run_id), run.row, "state"
            for path, step in run.steps.items():
                yield ("steps", "data", run_id, path), step, "data"
                yield ("steps", "state", run_id, path), step, "state"
            for number, event in enumerate(run.events):
                yield ("events", "data", run_id, str(event.seq)), run.events, number
            for key, requirement in run.requirements.items():
                yield ("requirements", "data", run_id, key), requirement, "data"
        for session_id, changes in self.db._history.items():
            for number, change in enumerate(changes):
                yield ("session_history", "data", session_id, str(change.version), change.name), changes, number
        for session_id, session in self.db._sessions.items():
            yield ("sessions", "metadata", session_id), session, "metadata"
            yield ("sessions", "workflow_data", session_id), session, "workflow_data"
            for name in session.state:
                yield ("session_values", "value", session_id, name), session.state, name

    def read(self) -> dict[Place, bytes]:
        found: dict[Place, bytes] = {}
        for place, holder, slot in self._slots():
            value = getattr(holder, slot) if isinstance(slot, str) and not isinstance(holder, dict) else holder[slot]
            value = value.data if place[0] in ("events", "session_history") else value
            if value is not None:
                found[place] = value
        return found

    def write(self, values: dict[Place, bytes]) -> None:
        for place, holder, slot in list(self._slots()):
            if place not in values:
                continue
            if place[0] in ("events", "session_history"):
                holder[slot] = type(holder[slot])(**{**_fields(holder[slot]), "data": values[place]})
            elif isinstance(holder, dict):
                holder[slot] = values[place]
            else:
                setattr(holder, slot, values[place])


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


class SqliteRows(Rows):
    def __init__(self, path: Any) -> None:
        self.path = path
        self.db = SqliteDb(path)

    def read(self) -> dict[Place, bytes]:
        found: dict[Place, bytes] = {}
        with closing(sqlite3.connect(self.path)) as connection:
            for table, column in _COLUMNS:
                if table == "sessions":
                    continue  # here they are session_values
                keys = ", ".join(_KEYS[table])
                for *key, value in connection.execute(f"SELECT {keys}, {column} FROM workflow_{table}"):
                    if value is not None:
                        found[table, column, *map(str, key)] = bytes(value)
        return found

    def write(self, values: dict[Place, bytes]) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for (table, column, *key), value in values.items():
                where = " AND ".join(f"{name} = ?" for name in _KEYS[table])
                connection.execute(f"UPDATE workflow_{table} SET {column} = ? WHERE {where}", (value, *key))


class PostgresRows(Rows):
    def __init__(self, server: TestServer, url: str) -> None:
        from workflow_runtime.backends import PostgresDb

        self.server, self.url = server, url
        self.db = PostgresDb(url, schema="workflow_runtime")

    def read(self) -> dict[Place, bytes]:
        found: dict[Place, bytes] = {}
        for table, column in _COLUMNS:
            keys = ", ".join(_KEYS[table])
            for *key, value in self.server.execute(f"SELECT {keys}, {column} FROM workflow_runtime.{table}", self.url):
                if value is not None:
                    found[table, column, *map(str, key)] = value
        return found

    def write(self, values: dict[Place, bytes]) -> None:
        statements = []
        for (table, column, *key), value in values.items():
            quoted = ["'" + part.replace("'", "''") + "'" for part in key]
            where = " AND ".join(f"{name}::text = {part}" for name, part in zip(_KEYS[table], quoted, strict=True))
            statements.append(
                f"UPDATE workflow_runtime.{table} SET {column} = '\\x{value.hex()}'::bytea WHERE {where};"
            )
        self.server.execute(f"DO $rows$ BEGIN {''.join(statements)} END $rows$", self.url)


def nodes(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every node of a JSON value."""
    yield way
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from nodes(item, (*way, key))


def replaced(value: Any, way: tuple[Any, ...], by: Any) -> Any:
    """``value`` with another node at ``way``."""
    if not way:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = replaced(value[way[0]], way[1:], by)
    return copy
