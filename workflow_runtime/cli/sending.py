"""Sending a message to a run from another terminal."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from ..model.text import read_json
from ..view.clean import one_line
from .codes import Code, Work
from .runs import load_run
from .source import database, stand_in

__all__ = ["send"]


def send(
    url: str | None,
    console: Console,
    run_id: str,
    *,
    topic: str,
    value: str | None,
    message_id: str | None,
    only_if_awaited: bool,
    as_json: bool,
) -> Work:
    """Store the message; the process that has the workflow goes on with the run."""
    text = sys.stdin.read() if value == "-" else value
    return partial(_send, url, console, run_id, topic, _value_of(text), message_id, only_if_awaited, as_json)


def _value_of(text: str | None) -> Any:
    try:
        return None if text is None else read_json(text)
    except ValueError:
        return text


async def _send(
    url: str | None,
    console: Console,
    run_id: str,
    topic: str,
    value: Any,
    message_id: str | None,
    only_if_awaited: bool,
    as_json: bool,
) -> Code:
    async with database(url) as db:
        output, _ = await load_run(db, run_id)
        assert output.run_id is not None
        workflow = stand_in(db, output.workflow_id, output.workflow_name)
        receipt = await workflow.asend(
            output.run_id, topic, value, message_id=message_id, only_if_awaited=only_if_awaited
        )
    if as_json:
        console.out(json.dumps(msgspec.structs.asdict(receipt)), highlight=False)
        return Code.ok
    console.print(
        Text(f"{'sent before' if receipt.repeated else 'sent'}: {one_line(receipt.message_id)}"), soft_wrap=True
    )
    if not receipt.awaited and not receipt.repeated:
        console.print(
            Text(f"no step waits for {one_line(topic)} now; the message is kept for one that does", style="dim")
        )
    elif receipt.awaited and output.is_paused:
        console.print(
            Text("the next Runtime or server of its workflow goes on with the run", style="dim"), soft_wrap=True
        )
    return Code.ok
