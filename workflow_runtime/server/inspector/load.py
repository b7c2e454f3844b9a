"""What the pages show, read through the Service. Large runs are put together in a thread: nobody waits for them."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import anyio.to_thread
from starlette.requests import Request

from ... import Event, HistoryEntry, Workflow, WorkflowRunOutput
from ...storage.base import RunRow
from ...view.recall import recall
from ...view.tree import View
from ..auth import User
from ..service import Service
from .words import Links

__all__ = ["LogPage", "Loaded", "Visit", "last_of", "load_log", "load_run", "searched"]

_MOST_EVENTS = 20_000  # of a longer log only the end is folded; the journal has what was before
_LAST_EVENTS = 2_000
_IN_THREAD = 300
LOG_ROWS = 50
_WINDOW = 40 * LOG_ROWS  # numbers in which a page of rows is looked for: a row of merged text has many
_PAGE = 1000


class Visit(NamedTuple):
    """One request: who asks for what, and what the answer's forms and links need."""

    service: Service
    user: User
    request: Request
    links: Links
    token: str
    versions: dict[str, str]


class Loaded(NamedTuple):
    """A run as it is now. ``now`` is the view's time (unix seconds), ``seq`` the number of the last event it knows."""

    workflow: Workflow
    output: WorkflowRunOutput
    view: View
    history: list[HistoryEntry]
    now: float
    seq: int

    @property
    def run_id(self) -> str:
        return str(self.output.run_id)


class LogPage(NamedTuple):
    """``events`` newest first; ``older`` is the seq to look before for the next page; ``found`` fit the query (None where
    there is none); ``total`` is the number of the newest event."""

    events: list[Event]
    older: int | None
    found: int | None
    total: int


async def load_run(visit: Visit, run_id: str) -> Loaded:
    """The run with its view; RunNotFound where this user has none of that id.

    Events first, then the status, then the journal: a run that ends meanwhile is seen as ended with all of its steps, or
    as going on, with its last events still to come.
    """
    service, user = visit.service, visit.user
    workflow_id = await service.workflow_of(user, run_id)
    workflow, row = await service.mine(user, workflow_id, run_id)
    newest = row.seq if isinstance(row, RunRow) else row.last_seq
    after = newest - _LAST_EVENTS if newest > _MOST_EVENTS else 0
    events: list[Event] = []
    while page := await service.events(user, workflow_id, run_id, after=after, limit=_PAGE):
        events.extend(page)
        after = last_of(page[-1])
        if len(page) < _PAGE:
            break
    output = await service.run(user, workflow_id, run_id)
    history = await service.history(user, workflow_id, run_id) if workflow.db is not None else []
    now = time.time()
    make = partial(_view, workflow, output, history, events, row.created_at if isinstance(row, RunRow) else None)
    view = await anyio.to_thread.run_sync(make) if len(events) + len(history) > _IN_THREAD else make()
    return Loaded(workflow, output, view, history, now, max(view.seq, after))


def _view(
    workflow: Workflow,
    output: WorkflowRunOutput,
    history: Sequence[HistoryEntry],
    events: Sequence[Event],
    created_at: float | None,
) -> View:
    view = View(output.workflow_name or workflow.name, workflow.outline())
    recall(view, output, history, events, created_at=created_at)
    return view


def last_of(event: Event) -> int:
    """The last number that an event stands for: merged text stands for several."""
    return int(getattr(event, "last_seq", None) or event.seq)


async def load_log(
    visit: Visit, workflow: Workflow, run_id: str, query: str, before: int | None, newest: int
) -> LogPage:
    """A page of the event log: the newest events before ``before`` in which ``query`` stands, any case.

    ``newest`` is a number that the run has reached; without a query only what is behind it, and the page, is read.
    """
    kept: deque[Event] = deque(maxlen=LOG_ROWS + 1)
    top = before if before is not None else 2**62
    after = 0 if query else max(0, min(top, newest + 1) - 1 - _WINDOW)
    found = total = 0
    while page := await visit.service.events(visit.user, workflow.id, run_id, after=after, limit=_PAGE):
        hits = await anyio.to_thread.run_sync(searched, page, query) if query else page
        found += len(hits)
        kept.extend(event for event in hits if event.seq < top)
        after = total = last_of(page[-1])
        if len(page) < _PAGE:
            break
    rows = list(kept)[-LOG_ROWS:]
    has_older = len(kept) > LOG_ROWS or (not query and bool(rows) and rows[0].seq > 1)
    return LogPage(rows[::-1], rows[0].seq if has_older else None, found if query else None, max(total, newest))


def searched(events: Sequence[Event], query: str) -> list[Event]:
    """Those in whose JSON every word of ``query`` stands, any case."""
    words = [word.casefold() for word in query.split()]
    return [event for event in events if _holds(event, words)]


def _holds(event: Any, words: list[str]) -> bool:
    text = json.dumps(event.to_dict(), ensure_ascii=False, default=str).casefold()
    return all(word in text for word in words)
