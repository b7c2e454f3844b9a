"""The first page: what waits for a person, and the runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import htpy as h

from ... import RunStatus
from ..rows import Page, PendingItem, RunSummary
from .load import Visit
from .words import badge, key_of, mark, name_of, preview, took, when

__all__ = ["Filters", "asked", "home"]

Filters = dict[str, str]  # workflow, status, session, before: as in the page's address


def home(visit: Visit, pending: Sequence[PendingItem], runs: Page, filters: Filters) -> Iterable[Any]:
    links = visit.links
    here = links.runs(**filters)
    return [
        h.h1(".hidden")["Runs"],
        _workflows(visit),
        h.div(
            "#home",
            {"hx-get": here, "hx-select": "#home", "hx-swap": "outerMorph", "hx-trigger": "every 2s"},
        )[_inbox(visit, pending), _runs(visit, runs, filters)],
    ]


def _workflows(visit: Visit) -> h.Element:
    found = visit.service.workflows.values()
    return h.nav(".workflows", aria_label="Start a run")[
        h.span(".dim")["Start a run:"],
        [h.a(".button", href=visit.links.workflow(item.id))[name_of(item.name or item.id)] for item in found],
    ]


def _inbox(visit: Visit, pending: Sequence[PendingItem]) -> h.Element | None:
    if not pending:
        return None
    return h.section("#inbox", aria_labelledby="inbox-title")[
        h.h2("#inbox-title")["Waiting for you ", h.span(".count")[str(len(pending))]],
        h.ul(".cards")[[_question(visit, found) for found in pending]],
    ]


def _question(visit: Visit, found: PendingItem) -> h.Element:
    item = found.requirement
    workflow = visit.service.workflows.get(found.workflow_id or "")
    name = workflow.name if workflow is not None else found.workflow_id
    place = name_of(item.step_name or item.path)
    about = getattr(item, "step_input", None)
    return h.li(".card", id=f"ask-{key_of(item.id)}")[
        h.p(".ask")[preview(asked(item), 200)],
        h.p(".dim")[f"{name_of(name)}, {place} · ", when(item.created_at), " · ", h.code[found.run_id[-8:]]],
        h.p[preview(about.input, 90)] if about is not None and about.input is not None else None,
        h.a(".button.primary", href=visit.links.run(found.run_id) + "#waiting")[
            "Answer", h.span(".hidden")[f" {place} of run {found.run_id}"]
        ],
    ]


def asked(item: Any) -> str:
    """What a person is asked, in words."""
    if item.kind == "error":
        error = item.error_message or item.error_type
        return f"{item.step_name or item.path} failed: {error}. Try again, or continue without it?"
    for name in ("confirmation_message", "user_input_message", "output_review_message"):
        if said := getattr(item, name, None):
            return str(said)
    name = item.step_name or item.path
    return {
        "route": f"Which way should {name} go?",
        "user_input": f"{name} needs input",
        "ask": f"{name} needs input",
        "output_review": f"Is the output of {name} good?",
        "iteration_review": f"Should {name} continue?",
        "executor": f"{name} wants to use a tool",
    }.get(item.kind, f"May {name} run?")


def _runs(visit: Visit, runs: Page, filters: Filters) -> h.Element:
    rows: list[RunSummary] = runs.items
    shown = {name: value for name, value in filters.items() if name != "before"}
    return h.section("#runs", aria_labelledby="runs-title")[
        h.div(".heading")[h.h2("#runs-title")["Runs"], _filters(visit, filters)],
        _table(visit, rows) if rows else _empty(visit, bool(any(filters.values()))),
        h.nav(".pages", aria_label="Pages")[
            h.a(href=visit.links.runs(**shown), rel="first")["Newest"] if filters.get("before") else None,
            h.a(href=visit.links.runs(**shown, before=runs.next), rel="next")["Older runs"] if runs.next else None,
        ],
    ]


def _filters(visit: Visit, filters: Filters) -> h.Element:
    found = visit.service.workflows.values()
    chosen = filters.get("workflow", ""), filters.get("status", "")
    return h.form(
        ".filters",
        {"hx-get": visit.links.home, "hx-select": "#home", "hx-target": "#home", "hx-swap": "outerMorph"},
        action=visit.links.home,
        role="search",
        hx_trigger="input delay:300ms, submit",
        hx_push_url="true",
    )[
        h.label[
            h.span(".hidden")["Workflow"],
            h.select(name="workflow")[
                h.option(value="")["All workflows"],
                [
                    h.option(value=item.id, selected=item.id == chosen[0])[name_of(item.name or item.id)]
                    for item in found
                ],
            ],
        ],
        h.label[
            h.span(".hidden")["Status"],
            h.select(name="status")[
                h.option(value="")["Any status"],
                [
                    h.option(value=status.value, selected=status.value == chosen[1])[status.value.lower()]
                    for status in RunStatus
                ],
            ],
        ],
        h.label[
            h.span(".hidden")["Session"],
            h.input(
                type="search", name="session", value=filters.get("session", ""), placeholder="Session id", size="14"
            ),
        ],
        h.button(type="submit")["Filter"],
    ]


def _table(visit: Visit, rows: list[RunSummary]) -> h.Element:
    return h.table(".runs")[
        h.thead[h.tr[[h.th(scope="col")[name] for name in ("Status", "Run", "Started", "Took", "Session")]]],
        h.tbody[[_row(visit, row) for row in rows]],
    ]


def _row(visit: Visit, row: RunSummary) -> h.Element:
    over = row.status in (RunStatus.completed, RunStatus.cancelled, RunStatus.error)
    said = row.error if row.status == RunStatus.error else None
    return h.tr(id=f"r-{key_of(row.run_id)}")[
        h.td[badge(row.status.value)],
        h.td(".what")[
            h.a(href=visit.links.run(row.run_id))[
                h.strong[name_of(row.workflow_name or row.workflow_id)], " ", h.code[row.run_id[-8:]]
            ],
            h.span(".said")[preview(row.input, 90)],
            h.span(".said.problem")[preview(said, 120)] if said else None,
            h.span(".said.problem")[preview(f"cannot be read here: {row.unreadable}", 200)] if row.unreadable else None,
        ],
        h.td[when(row.created_at)],
        h.td(".number")[took(row.updated_at - row.created_at) if over else "…"],
        h.td[h.a(href=visit.links.runs(session=row.session_id))[preview(row.session_id, 18)]],
    ]


def _empty(visit: Visit, is_filtered: bool) -> h.Element:
    if is_filtered:
        return h.div(".empty")[
            h.p["No run fits these filters."], h.p[h.a(".button", href=visit.links.home)["Show all runs"]]
        ]
    stored = any(item.db is not None for item in visit.service.workflows.values())
    return h.div(".empty")[
        h.p(".large")[mark("pending"), " No runs yet."],
        h.p[
            "Start one above, or with your program: it appears here by itself."
            if stored
            else "These workflows have no database, so their runs are not kept: give the app one with db=."
        ],
    ]
