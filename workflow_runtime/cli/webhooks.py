"""Looking at deliveries to webhooks, and sending dead ones again."""

from __future__ import annotations

import json

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..view.clean import one_line
from .codes import Code
from .source import database

__all__ = ["list_deliveries", "retry_deliveries"]


async def list_deliveries(url: str | None, console: Console, *, dead: bool, limit: int, as_json: bool) -> Code:
    """Deliveries that are not done, oldest first; ``dead``: only those that failed too often."""
    async with database(url) as db:
        rows = await db.list_deliveries(dead=True if dead else None, limit=limit)
    if as_json:
        console.out(json.dumps([msgspec.to_builtins(row) for row in rows]), highlight=False)
        return Code.ok
    if not rows:
        console.print(Text("nothing waits to be sent" if not dead else "no delivery is dead", style="dim"))
        return Code.ok
    table = Table(box=None, header_style="bold")
    for name in ("webhook", "run", "event", "attempts", "state", "error"):
        table.add_column(name)
    for row in rows:
        state = "dead" if row.due_at is None else "waits"
        cells = (row.hook, row.run_id, str(row.seq), str(row.attempts), state, row.error or "")
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    console.print(table)
    return Code.ok


async def retry_deliveries(
    url: str | None, console: Console, *, hook: str | None, run_id: str | None, as_json: bool
) -> Code:
    """Let dead deliveries be sent again by the next Runtime or server of their workflow."""
    async with database(url) as db:
        count = await db.retry_deliveries(hook=hook, run_id=run_id)
    if as_json:
        console.out(json.dumps({"retried": count}), highlight=False)
    else:
        console.print(Text(f"{count} will be sent again"))
    return Code.ok
