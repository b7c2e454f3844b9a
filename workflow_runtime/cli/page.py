"""A run as one HTML page to attach to a bug report: timeline, outputs, events. No scripts, nothing loaded, all escaped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from .. import RunStatus, StepOutput, WorkflowRunOutput, __version__
from ..view.clean import clean, one_line, shorten
from ..view.gantt import spans
from ..view.node import Node
from ..view.rows import counts, duration, where
from ..view.tree import View, as_text

__all__ = ["page"]

_MOST_EVENTS = 5000
_LONGEST_EVENT = 2000
_LONGEST_VALUE = 200_000
_STYLE = """
:root{color-scheme:light dark;--line:#d0d7de;--dim:#59636e;--soft:#f6f8fa;--done:#1a7f37;--failed:#cf222e;--waiting:#8250df;
--cancelled:#9a6700;--skipped:#9a6700;--running:#0969da;--retrying:#9a6700;--pending:#59636e;--unused:#59636e}
@media(prefers-color-scheme:dark){:root{--line:#3d444d;--dim:#9198a1;--soft:#161b22;--done:#3fb950;--failed:#f85149;
--waiting:#ab7df8;--cancelled:#d29922;--skipped:#d29922;--running:#4493f8;--retrying:#d29922;--pending:#9198a1;--unused:#9198a1}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}.dim{color:var(--dim)}
.badge{border:1px solid;border-radius:1rem;padding:.1rem .6rem;font-size:.85rem;font-weight:600}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:.6rem;overflow:auto;white-space:pre-wrap;
overflow-wrap:anywhere;margin:.4rem 0}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.15rem .5rem .15rem 0;vertical-align:top}
.time td{border-top:1px solid var(--line)}.time .name,.time .took{white-space:nowrap;width:1%}.time .took{text-align:right}
.track{position:relative;height:1.2rem;background:var(--soft);border-radius:3px;min-width:8rem}
.bar{position:absolute;top:0;bottom:0;border-radius:3px;min-width:2px}
details{border-top:1px solid var(--line);padding:.3rem 0}summary{cursor:pointer}.problem{color:var(--failed)}
.events td{font:12px/1.4 ui-monospace,monospace;border-top:1px solid var(--line);overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
"""
_COLORS = {"COMPLETED": "done", "ERROR": "failed", "PAUSED": "waiting", "CANCELLED": "cancelled"}


def page(output: WorkflowRunOutput, view: View, now: float) -> str:
    """The whole page."""
    status = RunStatus(output.status).value
    title = f"{one_line(output.workflow_name or 'run')}: {status.lower()}"
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
            *_head(output, view, status, now),
            *_ended(output),
            "<h2>Timeline</h2>",
            *_timeline(view, now),
            "<h2>Input</h2>",
            _pre(output.input),
            "<h2>Outputs of the steps</h2>",
            *_steps(output.step_results),
            *_state(output),
            *_events(output.events or ()),
            f'<p class="dim">Written by workflow_runtime {_text(__version__)}, {_text(_clock(now))}.</p>',
            "</body></html>\n",
        ]
    )


def _head(output: WorkflowRunOutput, view: View, status: str, now: float) -> Iterator[str]:
    color = _COLORS.get(status, "running")
    yield f'<h1>{_text(output.workflow_name or "run")} <span class="badge" style="color:var(--{color})">{status}</span></h1>'
    facts = {
        "run": output.run_id,
        "session": output.session_id,
        "user": output.user_id,
        "started": _clock(output.created_at),
        "took": duration(view.elapsed(now)),
        "attempt": output.epoch if output.epoch > 1 else None,
        "counts": counts(view),
    }
    yield "<dl>"
    for name, value in facts.items():
        if value:
            yield f"<dt>{name}</dt><dd>{_text(str(value))}</dd>"
    yield "</dl>"


def _ended(output: WorkflowRunOutput) -> Iterator[str]:
    if output.status == RunStatus.error:
        yield f'<h2>Failed</h2><pre class="problem">{_text(output.error_type or "")}: {_text(output.error or "")}</pre>'
    else:
        yield "<h2>Answer</h2>" + _pre(output.content)
    open_now: list[Any] = [*output.active_step_requirements, *output.active_error_requirements]
    for item in open_now:
        said = getattr(item, "confirmation_message", None) or getattr(item, "error_message", None) or item.kind
        yield f"<p>{_text(item.step_name or item.path)} waits for a person: {_text(str(said))}</p>"


def _timeline(view: View, now: float) -> Iterator[str]:
    clock = view.clock(now)
    yield '<table class="time">'
    for node in view.root.walk():
        if node.parent is None:
            continue
        depth = sum(1 for _ in node.above())
        yield f'<tr><td class="name" style="padding-left:{depth * 1.2:.1f}rem">{_text(node.label)}'
        yield f' <span class="dim">{_text(_facts(node))}</span></td><td><div class="track">'
        for bar in spans(view, node, now):
            attempt = f" attempt {bar.attempt}" if node.attempt > 1 else ""
            hover = _text(f"{where(node)}{attempt}: {bar.state}, {duration(bar.seconds)}")
            yield f'<div class="bar" title="{hover}" style="left:{100 * bar.start:.2f}%;'
            yield f'width:{100 * (bar.end - bar.start):.2f}%;background:var(--{bar.state})"></div>'
        yield f'</div></td><td class="took dim">{duration(node.elapsed(clock))}</td></tr>'
        if node.error:
            kind = f"{node.error_type}: " if node.error_type else ""
            yield f'<tr><td colspan="3" class="problem">{_text(kind + node.error)}</td></tr>'
    yield "</table>"


def _facts(node: Node) -> str:
    facts: list[str] = [] if node.state == "done" else [node.state]
    if node.attempt > 1:
        facts.append(f"attempt {node.attempt}")
    if node.note:
        facts.append(one_line(node.note))
    return ", ".join(facts)


def _steps(found: Iterable[StepOutput], depth: int = 0) -> Iterator[str]:
    for step in found:
        failed = not step.success and not step.skipped
        mark = (
            ' <span class="problem">failed</span>'
            if failed
            else ' <span class="dim">skipped</span>'
            if step.skipped
            else ""
        )
        yield f'<details style="margin-left:{depth * 1.2:.1f}rem"{" open" if failed else ""}>'
        name, kind = _text(step.step_name or ""), _text(step.step_type or "")
        yield f'<summary>{name}{mark} <span class="dim">{kind}</span></summary>'
        if step.error:
            yield f'<pre class="problem">{_text(step.error)}</pre>'
        if not step.steps:
            yield _pre(step.content)
        yield "</details>"
        yield from _steps(step.steps or (), depth + 1)


def _state(output: WorkflowRunOutput) -> Iterator[str]:
    if output.session_state:
        yield f"<h2>Session state</h2>{_pre(output.session_state)}"


def _events(events: Iterable[Any]) -> Iterator[str]:
    found = list(events)
    yield f"<h2>Events</h2><details><summary>{len(found):,} stored events</summary>"
    if not found:
        yield '<p class="dim">None were stored: the workflow has store_events=False.</p>'
    yield '<table class="events">'
    for event in found[:_MOST_EVENTS]:
        data = event.to_dict()
        rest = {key: value for key, value in data.items() if key not in _COMMON}
        said = shorten(json.dumps(rest, ensure_ascii=False, default=str), _LONGEST_EVENT) if rest else ""
        at = time.strftime("%H:%M:%S", time.localtime(data.get("created_at", 0)))
        cells = (str(data.get("seq", "")), at, event.event, data.get("path", ""), said)
        yield "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table>"
    if len(found) > _MOST_EVENTS:
        yield f'<p class="dim">{len(found) - _MOST_EVENTS:,} more are left out.</p>'
    yield "</details>"


_COMMON = frozenset(
    ("event", "seq", "epoch", "created_at", "run_id", "session_id", "workflow_id", "workflow_name", "path", "step_id",
     "parent_step_id", "step_index")
)  # fmt: skip


def _pre(value: Any) -> str:
    if value is None:
        return '<p class="dim">none</p>'
    return f"<pre>{_text(shorten(as_text(value), _LONGEST_VALUE))}</pre>"


def _text(text: str) -> str:
    return escape(clean(text))


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))
