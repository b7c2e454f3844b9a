"""Deliveries to webhooks, as functions of a connection. The writer's are each executed in a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

import msgspec

from workflow_runtime.storage.base import DeliveryRow

from . import statements as sql

__all__ = ["claim", "has_due", "listed", "put", "retry", "settle"]


def put(connection: sqlite3.Connection, rows: Sequence[DeliveryRow], now: float) -> None:
    """The deliveries of a commit."""
    connection.executemany(
        sql.DELIVERY_PUT,
        [(row.hook, row.run_id, row.seq, row.workflow_id, row.created_at, 0, now, None) for row in rows],
    )


def claim(
    connection: sqlite3.Connection, hooks: Sequence[str], now: float, lease: float, limit: int
) -> list[DeliveryRow]:
    """``BaseDb.claim_deliveries``."""
    rows = [_row(values) for values in connection.execute(sql.DELIVERIES_DUE, (json.dumps(list(hooks)), now, limit))]
    connection.executemany(sql.DELIVERY_CLAIM, [(now + lease, *_key(row)) for row in rows])
    return [msgspec.structs.replace(row, attempts=row.attempts + 1, due_at=now + lease) for row in rows]


def has_due(connection: sqlite3.Connection, hooks: Sequence[str], now: float) -> bool:
    """Whether ``claim`` would give any."""
    return connection.execute(sql.DELIVERIES_DUE, (json.dumps(list(hooks)), now, 1)).fetchone() is not None


def settle(
    connection: sqlite3.Connection, row: DeliveryRow, now: float, error: str | None, delay: float | None
) -> bool:
    """``BaseDb.settle_delivery``."""
    if error is None:
        return connection.execute(sql.DELIVERY_DONE, _key(row)).rowcount > 0
    due_at = None if delay is None else now + delay
    return connection.execute(sql.DELIVERY_FAILED, (error, due_at, *_key(row))).rowcount > 0


def listed(connection: sqlite3.Connection, dead: bool | None, limit: int) -> list[DeliveryRow]:
    """``BaseDb.list_deliveries``."""
    return [_row(values) for values in connection.execute(sql.DELIVERIES, (dead, limit))]


def retry(connection: sqlite3.Connection, hook: str | None, run_id: str | None, now: float) -> int:
    """``BaseDb.retry_deliveries``."""
    return connection.execute(sql.DELIVERIES_RETRY, (hook, run_id, now)).rowcount


def _key(row: DeliveryRow) -> tuple[str, str, int, int]:
    return row.hook, row.run_id, row.seq, row.attempts


def _row(values: Sequence[object]) -> DeliveryRow:
    return DeliveryRow(**dict(zip(DeliveryRow.__struct_fields__, values, strict=True)))  # type: ignore[arg-type]
