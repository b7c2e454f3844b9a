"""``wfr queue``: what waits, and what to do about it."""

from __future__ import annotations

import json
import math
import time

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..storage.base import BaseDb, RunRow
from ..view.clean import clean
from .codes import Code, Stop
from .runs import find_run
from .source import database

__all__ = ["let_go_of_run", "park_run", "show_queues"]


async def show_queues(url: str | None, console: Console, *, as_json: bool) -> Code:
    """One line for each queue that has runs."""
    async with database(url) as db:
        now = time.time()
        rows = await db.list_queues(now=now)
    if as_json:
        console.out(json.dumps([msgspec.to_builtins(row) for row in rows]), highlight=False)
        return Code.ok
    if not rows:
        console.print(Text("no queued runs", style="dim"))
        return Code.ok
    table = Table(box=None, header_style="bold")
    table.add_column("queue")
    for name in ("waiting", "oldest", "delayed", "parked", "running"):
        table.add_column(name, justify="right")
    for row in rows:
        oldest = "" if row.oldest is None else f"{max(0.0, now - row.oldest):.0f} s"
        counts = (str(row.delayed), str(row.parked), str(row.running))
        table.add_row(Text(clean(row.queue)), str(row.waiting), oldest, *counts)
    console.print(table)
    return Code.ok


async def park_run(url: str | None, console: Console, run_id: str, *, as_json: bool) -> Code:
    """Let a queued run wait until somebody requeues it."""
    async with database(url) as db:
        row = await find_run(db, run_id)
        await _reschedule(db, row, math.inf)
    _tell(console, row, "parked", as_json)
    return Code.ok


async def let_go_of_run(url: str | None, console: Console, run_id: str, *, as_json: bool) -> Code:
    """Let a parked or delayed run be taken now."""
    async with database(url) as db:
        row = await find_run(db, run_id)
        await _reschedule(db, row, None)
    _tell(console, row, "requeued", as_json)
    return Code.ok


async def _reschedule(db: BaseDb, row: RunRow, not_before: float | None) -> None:
    if not await db.reschedule(row.run_id, not_before=not_before):
        raise Stop(Code.refused, f"run {row.run_id} does not wait in a queue; it is {row.status.value}")


def _tell(console: Console, row: RunRow, done: str, as_json: bool) -> None:
    if as_json:
        console.out(json.dumps({"run_id": row.run_id, done: True}), highlight=False)
    else:
        console.print(Text(f"run {row.run_id} {done}"))
