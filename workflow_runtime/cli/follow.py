"""``wfr tail``: a run that another process executes, from its beginning or from now on, to its end."""

from __future__ import annotations

import json
import time
from typing import Any

from rich.console import Console
from rich.text import Text

from .. import BaseDb, RunStatus, WorkflowRunOutput
from ..console.follow import Elsewhere, Stream, follow
from ..console.response import end, is_live, surface_for
from ..console.signals import Interruptible, on_ctrl_c
from ..console.surface import Options, clock
from ..core.position import parse_position
from ..view.recall import recall
from ..view.tree import View
from .codes import Code, code_of
from .journaled import Journaled, ending
from .runs import load_run
from .source import database, stand_in

__all__ = ["source_of", "tail"]


async def tail(
    url: str | None, console: Console, run_id: str, *, after: str, markdown: bool, details: bool, as_json: bool
) -> Code:
    """Show the run to its end; Ctrl-C stops looking and touches nothing. ``after``: an event's id, or a seq."""
    parse_position(after)  # refused now, not when it is followed
    looking = Interruptible()
    output: WorkflowRunOutput | None = None
    async with database(url) as db:
        with on_ctrl_c(looking.interrupt), looking.work() as scope:
            found, history = await load_run(db, run_id)
            assert found.run_id is not None
            if as_json:
                output = await _as_lines(await source_of(db, found.run_id, after), console)
            else:
                options = Options(is_live(console), markdown, True, details, "Ctrl-C stops looking")
                view = View(found.workflow_name)
                surface = surface_for(console, view, options)
                events = found.events or []
                if events and is_live(console):  # what has been is shown as it stands, not played again
                    recall(view, found, history, events, offset=clock() - time.time())
                    after = events[-1].id
                if events and RunStatus(found.status).is_final and is_live(console):
                    output = found
                    await surface.close()
                else:
                    stream = await source_of(db, found.run_id, after)
                    output = await follow(stand_in(db), stream, view, surface, owns=False)
                if view.status != RunStatus(output.status).value:  # its last events were not stored
                    for event in ending(output):
                        view.fold(event, clock())
                await surface.say(*end(view, output, surface, options))
    if scope.cancelled_caught or output is None:
        console.print(Text("the run continues", style="dim"))
        return Code.interrupted
    return code_of(output.status)


async def source_of(db: BaseDb, run_id: str, after: str) -> Stream:
    """The run's stored and coming events; where none are stored, what its journal tells."""
    if await db.load_events(run_id, limit=1):
        return Elsewhere(stand_in(db), run_id, after, to_pause=False)
    return Journaled(db, run_id)


async def _as_lines(stream: Stream, console: Console) -> Any:
    """Each event as a line of JSON."""
    while events := await stream.take_some():
        for event in events:
            console.out(json.dumps(event.to_dict(), ensure_ascii=False), highlight=False)
    return await stream.result()
