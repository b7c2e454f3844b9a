"""The event log of a run: newest first, with a search over all of it, each event in full on demand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import htpy as h

from ... import Event, RunStatus, WorkflowRunOutput
from ...view.clean import clean
from ...view.rows import counted
from .load import LogPage, Visit
from .words import name_of, preview, value

__all__ = ["event_body", "log"]

_COMMON = frozenset(
    ("event", "seq", "epoch", "created_at", "run_id", "session_id", "workflow_id", "workflow_name", "path", "step_id",
     "parent_step_id", "step_index", "step_name", "last_seq", "lengths")
)  # fmt: skip


def log(visit: Visit, output: WorkflowRunOutput, page: LogPage, query: str, before: int | None) -> Iterable[Any]:
    """The section's content."""
    links, run_id = visit.links, str(output.run_id)
    here = links.run(run_id, "log")
    final = RunStatus(output.status).is_final
    follow = {"hx-get": links.run(run_id, "log", q=query, near=str(page.total))} if before is None and not final else {}
    said = counted(page.total, "event")
    if page.found is not None:
        said = f"{page.found:,} of {said}"
    return [
        h.div(".heading")[
            h.h2("#log-title")["Events ", h.span(".count", role="status")[said]],
            h.form(
                ".filters", action=links.run(run_id), role="search", hx_get=here, hx_target="#log", hx_swap="innerMorph",
                hx_trigger="input delay:300ms, submit",
            )[
                h.label[
                    h.span(".hidden")["Search the events"],
                    h.input(
                        "#log-search", type="search", name="q", value=query, placeholder="Search: error, StepRetry, a word",
                        autocomplete="off",
                    ),
                ],
                h.button(type="submit")["Search"],
            ],
        ],
        h.div(
            "#log-rows", {"hx-trigger": "log from:#live throttle:1s", "hx-target": "#log", "hx-swap": "innerMorph", **follow}
        )[_rows(visit, run_id, page, query)],
        h.nav(".pages", aria_label="Pages of events")[
            _turn(visit, run_id, query, None, "Newest") if before else None,
            _turn(visit, run_id, query, str(page.older), "Older events") if page.older else None,
        ],
    ]  # fmt: skip


def _turn(visit: Visit, run_id: str, query: str, before: str | None, label: str) -> h.Element:
    address = visit.links.run(run_id, q=query, before=before) + "#log"
    part = visit.links.run(run_id, "log", q=query, before=before)
    return h.a(href=address, hx_get=part, hx_target="#log", hx_swap="innerMorph")[label]


def _rows(visit: Visit, run_id: str, page: LogPage, query: str) -> h.Element:
    if not page.events:
        if query:
            return h.p(".empty")["No event holds these words."]
        return h.p(".empty")[
            "No events yet."
            if not page.total
            else "Its events are not kept any more; the timeline comes from the journal."
        ]
    return h.ol(".events", data_base=visit.links.run(run_id, "events"))[[_row(visit, event) for event in page.events]]


def _row(visit: Visit, event: Event) -> h.Element:
    data = event.to_dict()
    rest = {key: found for key, found in data.items() if key not in _COMMON}
    at = datetime.fromtimestamp(event.created_at, UTC)
    return h.li(id=f"l-{event.seq}", hx_morph_skip=True)[  # what is open stays as it is: an event never changes
        h.span(".number")[f"{event.seq:,}"],
        h.time(datetime=at.isoformat().replace("+00:00", "Z"), data_clock="")[at.strftime("%H:%M:%S")],
        h.strong(class_="bad" if "Error" in event.event else None)[name_of(event.event)],
        h.a(href=visit.links.step(event.path), data_step=event.path)[name_of(event.path)] if event.path else h.span,
        h.details(data_event=str(event.seq))[h.summary[_said(rest) or "all fields"]],
    ]


def _said(rest: dict[str, Any]) -> str:
    """An event's own fields in a line."""
    for name in ("delta", "error", "content"):
        if isinstance(rest.get(name), str):
            return preview(rest[name], 160)
    return preview(json.dumps(rest, ensure_ascii=False, default=str), 160) if rest else ""


def event_body(event: Event) -> h.Element:
    return value(clean(json.dumps(event.to_dict(), ensure_ascii=False, indent=2, default=str)), f"Event {event.seq}")
