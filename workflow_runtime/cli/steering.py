"""Cancelling, skipping and retrying one step of a run from another terminal."""

from __future__ import annotations

import json
from functools import partial
from typing import Literal

import msgspec
from rich.console import Console
from rich.text import Text

from ..view.clean import one_line
from .codes import Code, Work
from .runs import load_run
from .source import database, stand_in

__all__ = ["steer"]

_DONE = {"cancel": "cancelled", "skip": "skipped", "retry": "retried"}


def steer(
    url: str | None,
    console: Console,
    run_id: str,
    *,
    action: Literal["cancel", "skip", "retry"],
    path: str,
    reason: str | None,
    as_json: bool,
) -> Work:
    """Store the order; the process that executes the run takes it."""
    return partial(_steer, url, console, run_id, action, path, reason, as_json)


async def _steer(
    url: str | None,
    console: Console,
    run_id: str,
    action: Literal["cancel", "skip", "retry"],
    path: str,
    reason: str | None,
    as_json: bool,
) -> Code:
    async with database(url) as db:
        output, _ = await load_run(db, run_id)
        assert output.run_id is not None
        workflow = stand_in(db, output.workflow_id, output.workflow_name)
        verbs = {"cancel": workflow.acancel_step, "skip": workflow.askip_step, "retry": workflow.aretry_step}
        receipt = await verbs[action](output.run_id, path, reason=reason)
    if as_json:
        console.out(json.dumps(msgspec.structs.asdict(receipt)), highlight=False)
        return Code.ok
    if receipt.taken:
        console.print(Text(f"{_DONE[action]}: {one_line(path)}"), soft_wrap=True)
    else:
        console.print(Text(f"stored: {one_line(path)} will be {_DONE[action]}"), soft_wrap=True)
        console.print(
            Text("the next Runtime or server of its workflow goes on with the run", style="dim"), soft_wrap=True
        )
    return Code.ok
