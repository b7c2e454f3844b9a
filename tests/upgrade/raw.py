"""The rows of a database below the contract, in the names of the first version, so that versions can be compared."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import Any

import asyncpg

from workflow_runtime import BaseDb
from workflow_runtime.engine.bus import states
from workflow_runtime.model import codec

__all__ = ["ADDED", "columns_of_version_1", "readable", "rows", "with_states"]

Rows = dict[str, dict[tuple[Any, ...], dict[str, Any]]]

# By table: what its rows are known by, and the columns that version 1 has under another name now.
_KEYS = {
    "runs": ("run_id",),
    "steps": ("run_id", "path"),
    "events": ("run_id", "seq"),
    "requirements": ("run_id", "requirement_id"),
    "sessions": ("session_id",),
    "session_values": ("session_id", "part", "name"),
    "locks": ("name",),
    "signals": ("run_id", "number"),
    "deletions": ("session_id",),
}
_RENAMED = {
    "runs": {"touched": ("touched_at",), "lease_until": ("leased_until",)},
    "sessions": {"version": ("writes",)},
    "locks": {"held_until": ("held_till", "held_to")},
}
_DECOYS = {"runs": "touched_seq", "sessions": "revision", "locks": "held_to"}  # for processes of version 2 alone
ADDED: dict[str, dict[str, Any]] = {
    "runs": {
        "deaths": 0,
        "reserved": False,
        "queue": None,
        "priority": 0,
        "not_before": None,
        "commit_id": None,
        "traceback": None,
        "pruned": 0,
        "lane": None,
        "state": None,
        "state_version": None,
        "state_from": None,
        "ended_at": None,  # ``updated_at`` of those that have ended
    },
    "steps": {"edits": None, "state_version": None},
    "requirements": {"used_at": None, "withdrawn_at": None},
    "sessions": {"commit_id": None, "history_begins": 0},
}
"""The columns of versions 2 and 3, with their defaults."""


def rows(url: str) -> Rows:
    """All rows by table and key, with the columns of version 1 under their old names and the later ones beside them."""
    found = _sqlite(url) if url.startswith("sqlite") else asyncio.run(_postgres(url))
    made: Rows = {}
    for table, keys in _KEYS.items():
        made[table] = {}
        for row in found.get(table, ()):
            for old, names in _RENAMED.get(table, {}).items():
                new = next((name for name in names if name in row), None)
                if new is not None:
                    row[old] = row.pop(new)
            row.pop(_DECOYS.get(table, ""), None)
            made[table][tuple(row[key] for key in keys if key in row)] = row
    return made


def columns_of_version_1(found: Rows) -> Rows:
    """``found`` without what versions 2 and 3 have added."""
    return {
        table: {
            key: {name: value for name, value in row.items() if name not in ADDED.get(table, {})}
            for key, row in by_key.items()
        }
        for table, by_key in found.items()
        if table not in ("signals", "deletions")
    }


async def with_states(db: BaseDb, found: Rows) -> None:
    """Put into ``found`` the session states that its runs and steps name by their versions, where version 1 had them."""
    for (run_id,), row in found["runs"].items():
        steps = await states.with_states(db, await db.load_steps(run_id), row["session_id"], done=True)
        for step in steps:
            found["steps"][run_id, step.path].update(state=step.state, data=step.data)
        stored = await db.load_run(run_id)
        assert stored is not None
        if stored.state is not None:
            output = await states.read_output(db, stored)
            state = {key: json.loads(codec.encode_value(value)) for key, value in (output.session_state or {}).items()}
            row["data"] = json.dumps({**json.loads(row["data"]), "session_state": state}).encode()


def readable(value: Any) -> Any:
    """JSON in a column, without what differs from run to run: how long things took."""
    if isinstance(value, bytes):
        try:
            return readable(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, list):
        return [readable(item) for item in value]
    if isinstance(value, dict):
        return {key: readable(item) for key, item in value.items() if key not in ("duration", "time_to_first_token")}
    return value


def _sqlite(url: str) -> dict[str, list[dict[str, Any]]]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.row_factory = sqlite3.Row
    try:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM workflow_{table}")]
            for table in _KEYS
            if f"workflow_{table}" in there
        }
    finally:
        connection.close()


async def _postgres(url: str) -> dict[str, list[dict[str, Any]]]:
    connection = await asyncpg.connect(url)
    try:
        there = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'workflow_runtime'")
        return {
            table: [dict(row) for row in await connection.fetch(f"SELECT * FROM workflow_runtime.{table}")]
            for table in _KEYS
            if table in {name for (name,) in there}
        }
    finally:
        await connection.close()
