"""One step of a run: what it got, what it gave, what it changed, how often it was tried; and a button to go on from here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import htpy as h

from ... import HistoryEntry, StepOutput
from ...view.clean import clean
from ...view.diff import GONE, differences
from ...view.gantt import spans
from ...view.node import Node
from ...view.rows import duration, where
from .load import Loaded, Visit
from .run import stream_id
from .safety import CSRF_FIELD
from .words import folded_traceback, mark, name_of, preview, value

__all__ = ["step_detail"]

_MOST_CHANGES = 100


def step_detail(visit: Visit, run: Loaded, path: str) -> Iterable[Any]:
    node = run.view.nodes.get(path)
    if node is None:
        return [
            h.h2("#detail-title")["Step"],
            h.p[f"Nothing was heard of {name_of(path)} in this run, or it is too long ago to be kept."],
        ]
    entries = {entry.path: entry for entry in run.history}
    only = _only(node)
    entry = entries.get(only.path) or entries.get(node.path)
    output = entry.output if entry is not None and entry.status != "failed" else None
    title = name_of(node.label if only is node else f"{node.label} {only.name}")
    return [
        h.div(".heading")[
            h.h2("#detail-title", data_state=node.state)[mark(node.state), " ", title],
            h.a(".close", href=visit.links.run(run.run_id), data_step="")["Close"],
        ],
        h.p(".dim")[f"{where(node)} · {node.kind} · {node.state}", _time(run, node)],
        h.p(".problem")[clean(f"{only.error_type}: {only.error}" if only.error_type else only.error)[:4000]]
        if only.error
        else None,
        folded_traceback(entry.traceback) if entry is not None else None,
        _attempts(run, only),
        _streamed(only) if node.is_live else None,
        [h.h3["Output"], value(output.content, "Output")] if output is not None and not only.children else None,
        _decision(entry),
        _received(run, only, entries),
        _changes(entry),
        _again(visit, run, entry),
    ]


def _only(node: Node) -> Node:
    """The single step of an iteration or item, which has one row with it."""
    children = list(node.children.values())
    if node.kind in ("iteration", "item") and len(children) == 1 and not children[0].children:
        return children[0]
    return node


def _time(run: Loaded, node: Node) -> str:
    seconds = node.elapsed(run.view.clock(run.now))
    return f" · {duration(seconds)}" if seconds is not None else ""


def _attempts(run: Loaded, node: Node) -> Any:
    found = list(spans(run.view, node, run.now))
    if len(found) < 2:
        return None
    return [
        h.h3["Attempts"],
        h.ol(".attempts")[
            [
                h.li(data_state=bar.state, value=str(bar.attempt))[
                    mark(bar.state),
                    f" {bar.state}, {duration(bar.seconds)} ",
                    h.span(".problem")[preview(bar.error, 200)],
                ]
                for bar in found
            ]
        ],
    ]


def _streamed(node: Node) -> Any:
    if node.tail is None:
        return None
    return h.p(".dim")[h.a(href=f"#{stream_id(node)}")[f"It has streamed {node.tail.size:,} characters"]]


def _decision(entry: HistoryEntry | None) -> Any:
    """What a router chose, a condition found, a loop decided."""
    if entry is None or entry.decision is None or isinstance(entry.decision, dict):
        return None
    return [h.h3["Decision"], value(entry.decision, "Decision", 2000)]


def _received(run: Loaded, node: Node, entries: dict[str, HistoryEntry]) -> Any:
    source, found = _before(run, node, entries)
    if source == "":
        return [h.h3["Input"], h.p(".dim")["the input of the run"], value(found, "Input", 8000)]
    if source is None:
        return None
    return [h.h3["Input"], h.p(".dim")[f"the output of {name_of(source)}"], value(found, "Input", 8000)]


def _before(run: Loaded, node: Node, entries: dict[str, HistoryEntry]) -> tuple[str | None, Any]:
    """(whose output came before the step, it); the name is empty for the run's own input, None where only the workflow
    knows: an item, a later iteration of a loop, the first step of a nested workflow."""
    at = node
    while at.parent is not None:
        around = at.parent
        if around.shape in ("sequence", "decision", "choice") or around.kind in ("Workflow", "iteration", "item"):
            siblings = list(around.children.values())
            for sibling in reversed(siblings[: siblings.index(at)]):
                entry = entries.get(sibling.path)
                if entry is not None and entry.output is not None and not entry.output.skipped:
                    return sibling.label, _passed_on(entry.output)
        if (
            around.shape == "items"
            or around.kind == "item"
            or (around.kind == "Workflow" and around.parent is not None)
        ):
            return None, None
        if around.shape == "rounds" and at.number != 1:
            return None, None
        at = around
    return "", run.output.input


def _passed_on(output: StepOutput) -> Any:
    """What the next step finds as the content before it: a container's is that of the last step that was not skipped."""
    while output.steps and output.step_type != "Workflow":
        output = next((step for step in reversed(output.steps) if not step.skipped), output.steps[-1])
    return output.content


def _changes(entry: HistoryEntry | None) -> Any:
    if entry is None or not entry.changes:
        return None
    found = [
        change
        for key, (before, after) in entry.changes.items()
        for change in differences(GONE if before is None else before, GONE if after is None else after, key)
    ]
    return [
        h.h3["Changes of the session state"],
        h.table(".changes")[
            h.thead[h.tr[[h.th(scope="col")[name] for name in ("Where", "Before", "After")]]],
            h.tbody[
                [
                    h.tr[
                        h.th(scope="row")[name_of(change.place)],
                        _side(change.before, "old"),
                        _side(change.after, "new"),
                    ]
                    for change in found[:_MOST_CHANGES]
                ]
            ],
        ],
        h.p(".dim")[f"{len(found) - _MOST_CHANGES:,} more"] if len(found) > _MOST_CHANGES else None,
    ]


def _side(found: Any, kind: str) -> h.Element:
    return h.td(".dim")["not there"] if found is GONE else h.td(class_=kind)[preview(found, 300) or '""']


def _again(visit: Visit, run: Loaded, entry: HistoryEntry | None) -> Any:
    if entry is None or run.workflow.db is None:
        return None
    address = visit.links.run(run.run_id, "fork")
    return h.form(method="post", action=address, hx_post=address, hx_swap="none")[
        h.input(type="hidden", name=CSRF_FIELD, value=visit.token),
        h.input(type="hidden", name="at", value=entry.path),
        h.details[
            h.summary["Change the session state first"],
            h.div(".field")[
                h.label(for_="fork-state")["Keys to set, as JSON"],
                h.textarea("#fork-state.code", name="session_state", rows="3", placeholder='{"key": "value"}'),
            ],
        ],
        h.div(".actions")[h.button(type="submit")["Run again from here"]],
    ]
