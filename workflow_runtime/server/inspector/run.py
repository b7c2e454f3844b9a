"""The page of a run, in parts: each is a pure function of the run as it is now, and the live stream sends those that
changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import htpy as h
from markupsafe import Markup

from ...view.clean import clean
from ...view.drawing.svg import svg
from ...view.gantt import bounds, spans
from ...view.graph import graph
from ...view.node import Node
from ...view.rows import Row, counts, duration, rows, where
from .home import asked
from .load import Loaded, Visit
from .questions import question
from .safety import CSRF_FIELD
from .words import badge, folded_traceback, kept, key_of, mark, name_of, preview, took, value, when

__all__ = ["PARTS", "live_steps", "now_part", "run_detail", "run_page", "stream_id", "text_of_stream"]

_MOST_ROWS = 80
_LONGEST_STREAM = 16_000
_WIDE = 380  # pixels; a wider graph has a row of its own
Part = Callable[[Visit, Loaded], Any]


def run_page(visit: Visit, run: Loaded, step: str, detail: Any, log: Any) -> Iterable[Any]:
    """All of it. ``detail`` is of ``step``, or of the run where that is empty."""
    links, final = visit.links, _is_final(run)
    return [
        h.div("#head")[_head(visit, run)],
        h.div("#waiting")[_waiting(visit, run)],
        h.div(".overview")[
            h.section(".panel", aria_labelledby="timeline-title")[
                h.h2("#timeline-title")["Timeline"], h.div("#timeline")[_timeline(visit, run)]
            ],
            h.section(".panel", aria_labelledby="graph-title")[
                h.h2("#graph-title")["Graph"], h.div("#graph")[_graph(visit, run)]
            ],
            h.div(".right")[
                h.div("#now")[now_part(run)],
                h.section(
                    "#detail.panel",
                    aria_labelledby="detail-title",
                    tabindex="-1",
                    data_step=step,
                    data_base=links.run(run.run_id, "detail"),
                )[detail],
            ],
        ],
        h.section("#log.panel", aria_labelledby="log-title")[log],
        None
        if final
        else h.div(
            "#live", {"hx-sse:connect": links.run(run.run_id, "live"), "hx-sse:close": "end"}, hx_trigger="load, again"
        ),
    ]


def _is_final(run: Loaded) -> bool:
    return run.view.status in ("COMPLETED", "CANCELLED", "ERROR")


# -- the head ----------------------------------------------------------------------------------------------------------


def _head(visit: Visit, run: Loaded) -> Iterable[Any]:
    view, output, links = run.view, run.output, visit.links
    facts: list[tuple[str, Any]] = [
        ("Run", h.code[clean(run.run_id)]),
        ("Started", when(output.created_at)),
        ("Running for" if not _is_final(run) else "Took", took(view.elapsed(run.now)) or "not yet"),
        ("Session", h.a(href=links.runs(session=output.session_id))[preview(output.session_id, 40)]),
    ]
    if output.user_id:
        facts.append(("User", clean(output.user_id)))
    if output.epoch > 1:
        facts.append(("Attempt", str(output.epoch)))
    if said := counts(view):
        facts.append(("Done", said))
    return [
        h.div(".title")[
            h.h1[name_of(view.name or "run"), " ", h.span(role="status")[badge(view.status)]], _actions(visit, run)
        ],
        h.dl(".facts")[[h.div[h.dt[name], h.dd[said]] for name, said in facts]],
        _ended(visit, run),
    ]


def _actions(visit: Visit, run: Loaded) -> h.Element:
    found: list[Any] = []
    if not _is_final(run):
        found.append(
            button(visit, visit.links.run(run.run_id, "cancel"), "Cancel", confirm="Cancel this run?", kind="danger")
        )
    elif run.view.status != "COMPLETED" and run.workflow.db is not None:  # what is done stands, the rest runs again
        found.append(button(visit, visit.links.run(run.run_id, "fork"), "Try again", kind="primary"))
    if run.workflow.id in visit.service.workflows:
        found.append(h.a(".button", href=visit.links.workflow(run.workflow.id))["New run"])
    return h.div(".actions")[found]


def button(
    visit: Visit, address: str, label: str, *, values: dict[str, str] | None = None, confirm: str = "", kind: str = ""
) -> h.Element:
    """A form with one button: it works without scripts, and a script asks first."""
    return h.form(method="post", action=address, hx_post=address, hx_swap="none", hx_confirm=confirm or None)[
        h.input(type="hidden", name=CSRF_FIELD, value=visit.token),
        [h.input(type="hidden", name=name, value=value) for name, value in (values or {}).items()],
        h.button(type="submit", class_=kind or None)[label],
    ]


def _ended(visit: Visit, run: Loaded) -> h.Element | None:
    view = run.view
    if view.status == "ERROR":
        failed = view.failed
        place = (
            [" in ", h.a(href=visit.links.step(failed.path), data_step=failed.path)[where(failed)]]
            if failed is not None
            else None
        )
        return h.div(".notice.bad", role="status")[
            h.p[h.strong[name_of(view.error_type or "Error")], place], h.pre[clean(view.error or "")[:4000]]
        ]
    if view.status == "CANCELLED":
        return h.div(".notice", role="status")[h.p["Cancelled: ", preview(view.reason or "", 300)]]
    return None


# -- what waits for a person -------------------------------------------------------------------------------------------


def _waiting(visit: Visit, run: Loaded) -> h.Element | None:
    if not run.view.questions or _is_final(run):
        return None
    return h.section(aria_labelledby="waiting-title")[
        h.h2("#waiting-title")["Waiting for you"],
        [question(visit, run.run_id, item, asked(item)) for item in run.view.questions],
    ]


# -- what is streamed --------------------------------------------------------------------------------------------------


def stream_id(node: Node) -> str:
    return f"text-{key_of(node.path)}"


def live_steps(run: Loaded) -> list[Node]:
    """The steps that are streaming text now, or have done so and go on."""
    return [node for node in run.view.root.walk() if node.is_live and node.tail is not None and not node.children][:8]


def text_of_stream(node: Node) -> str:
    """The end of what the step has streamed."""
    return clean(node.tail.text()[-_LONGEST_STREAM:]) if node.tail is not None else ""


def now_part(run: Loaded) -> Iterable[Any]:
    return [
        h.section(".panel.now", aria_label=f"Text of {where(node)}")[
            h.h3(data_state=node.state)[mark(node.state), " ", where(node)],
            h.pre(f"#{stream_id(node)}.stream", tabindex="0", aria_label="Streamed text", role="log")[
                kept(text_of_stream(node))
            ],
        ]
        for node in live_steps(run)
    ]


# -- the timeline ------------------------------------------------------------------------------------------------------


def _timeline(visit: Visit, run: Loaded) -> h.Element:
    view, now = run.view, run.now
    found = rows(view, now, _MOST_ROWS)
    if not found:
        return h.p(".dim")["Its steps are known only as it runs."]
    _, length = bounds(view, now)
    return h.ol(".gantt")[
        h.li(".scale", aria_hidden="true")[
            h.span, h.span(".ticks")[h.span["0"], h.span[duration(length / 2)], h.span[duration(length)]], h.span
        ],
        [_line(visit, run, row) for row in found],
    ]


def _line(visit: Visit, run: Loaded, row: Row) -> h.Element:
    depth = min(len(row.guide), 8)
    if row.is_gap:
        return h.li(class_=f"gap d{depth}")[f"… {row.name}"]
    node = run.view.nodes[row.path]
    address = visit.links.step(row.path)
    return h.li(data_state=row.state, class_=f"d{depth}")[
        h.a(href=address, data_step=row.path, title=row.path)[
            mark(row.state),
            h.span(".name")[row.name],
            h.span(".hidden")[f" ({row.state})"] if row.state not in " ".join(row.facts) else None,
            h.span(".fact")[", ".join(row.facts)] if row.facts else None,
        ],
        _bars(run, node),
        h.span(".number")[row.time],
        h.p(".problem")[row.problem[:300]] if row.problem else None,
    ]


def _bars(run: Loaded, node: Node) -> Markup:
    """One bar per attempt. Shares of the track's width are attributes: a strict policy allows no style."""
    parts = [Markup('<svg class="track" aria-hidden="true">')]
    for bar in spans(run.view, node, run.now):
        width = max(bar.end - bar.start, 0.004)
        left = min(bar.start, 1 - width)
        about = f"attempt {bar.attempt}: {bar.state}, {duration(bar.seconds)}" + (f", {bar.error}" if bar.error else "")
        parts.append(
            Markup(
                '<rect data-state="{}" x="{:.2f}%" width="{:.2f}%" height="100%" rx="3"><title>{}</title></rect>'
            ).format(bar.state, 100 * left, 100 * width, name_of(about[:200]))
        )
    return Markup("").join([*parts, Markup("</svg>")])


# -- the graph ---------------------------------------------------------------------------------------------------------


def _graph(visit: Visit, run: Loaded) -> h.Element:
    found = graph(run.view, run.now)
    name = name_of(run.view.name or "run")
    if not found.parts:
        return h.p(".dim")["Its steps are known only as it runs."]
    if found.is_cut and len(found.states) > 600:
        return h.p(".dim")["Too many steps for a picture; the timeline has them."]
    picture = svg(name, found.parts, found.states, link=lambda path: visit.links.step(path))
    width = int(picture.partition('width="')[2].partition('"')[0])
    kind = "graph wide" if width > _WIDE else "graph"
    return h.div(class_=kind, tabindex="0", role="region", aria_label=f"The steps of {name}")[Markup(picture)]


# -- the run itself, where no step is chosen ---------------------------------------------------------------------------


def run_detail(visit: Visit, run: Loaded) -> Iterable[Any]:
    output, view = run.output, run.view
    final = _is_final(run)
    return [
        h.h2("#detail-title")["Result" if view.status == "COMPLETED" else "This run"],
        [folded_traceback(entry.traceback) for entry in run.history if not entry.path],
        value(view.content, "Result") if view.status == "COMPLETED" else None,
        _media(output),
        h.h3["Input"],
        value(output.input, "Input"),
        [h.h3["Session state"], value(output.session_state, "Session state")] if output.session_state else None,
        [h.h3["Metadata"], value(output.metadata, "Metadata")] if output.metadata else None,
        h.p(".dim")["Choose a step to see what it did."] if view.nodes else None,
        None if final else h.p(".dim")["The result will appear here when the run has ended."],
        h.p[h.a(href=visit.links.json(run.workflow.id, run.run_id))["All of this run as JSON"]],
    ]


def _media(output: Any) -> h.Element | None:
    found = [
        (kind, getattr(item, "name", None) or getattr(item, "filename", None) or item.id, item.url)
        for kind in ("images", "videos", "audio", "files")
        for item in getattr(output, kind, None) or ()
    ]
    if not found:
        return None
    return h.ul(".media")[[h.li[kind.rstrip("s"), ": ", preview(url or name or "", 200)] for kind, name, url in found]]


PARTS: dict[str, Part] = {"head": _head, "waiting": _waiting, "timeline": _timeline, "graph": _graph}
