"""``wfr schedule``: which schedules there are, a new one, one less."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import engine
from ..model.schedule import Schedule
from ..view.clean import clean
from .codes import Code, Stop
from .source import database, stand_in

__all__ = ["add_schedule", "remove_schedule", "show_schedules"]


async def show_schedules(url: str | None, console: Console, *, as_json: bool) -> Code:
    """One line for each schedule of the database."""
    async with database(url) as db:
        found = await engine.scheduling.list_schedules(db, None)
    if as_json:
        console.out(json.dumps([_plain(item) for item in found]), highlight=False)
        return Code.ok
    if not found:
        console.print(Text("no schedules", style="dim"))
        return Code.ok
    table = Table(box=None, header_style="bold")
    for name in ("workflow", "schedule", "when", "next", "queue"):
        table.add_column(name)
    for item in found:
        texts = (item.workflow_id, item.name, _when(item), f"{item.next_at:%Y-%m-%d %H:%M:%S} UTC", item.queue)
        table.add_row(*(Text(clean(text)) for text in texts))
    console.print(table)
    return Code.ok


async def add_schedule(
    url: str | None, console: Console, workflow_id: str, name: str, options: dict[str, Any], *, as_json: bool
) -> Code:
    """Store a schedule, or replace the one of that name."""
    async with database(url) as db:
        try:
            made = await stand_in(db, workflow_id).aschedule(name, **options)
        except ValueError as error:  # InputError, BuildError
            raise Stop(Code.usage, str(error)) from None
    if as_json:
        console.out(json.dumps(_plain(made)), highlight=False)
    else:
        console.print(
            Text(
                f"schedule {made.name} of workflow {made.workflow_id}: next run at {made.next_at:%Y-%m-%d %H:%M:%S} UTC"
            )
        )
    return Code.ok


async def remove_schedule(url: str | None, console: Console, workflow_id: str, name: str, *, as_json: bool) -> Code:
    """Delete a schedule; runs that it has queued stay."""
    async with database(url) as db:
        if not await engine.scheduling.delete_schedule(db, workflow_id, name):
            raise Stop(Code.not_found, f"workflow {workflow_id} has no schedule {name}; see: wfr schedule")
    if as_json:
        console.out(json.dumps({"workflow_id": workflow_id, "name": name, "removed": True}), highlight=False)
    else:
        console.print(Text(f"schedule {name} of workflow {workflow_id} removed"))
    return Code.ok


def _when(item: Schedule) -> str:
    return f"every {item.every:g} s" if item.every is not None else f"{item.cron} ({item.tz})"


def _plain(item: Schedule) -> Any:
    return msgspec.to_builtins(item, enc_hook=str)
