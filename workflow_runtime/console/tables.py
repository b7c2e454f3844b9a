"""A run's output in a notebook: one small table, with all untrusted text escaped."""

from __future__ import annotations

from html import escape
from typing import Any

from .. import RunStatus, StepOutput, WorkflowRunOutput
from ..view.clean import clean, shorten
from ..view.rows import counted, duration
from ..view.tree import as_text

__all__ = ["run_table"]

_LONGEST = 600
_COLORS = {"COMPLETED": "#2e7d32", "ERROR": "#c62828", "CANCELLED": "#b26a00", "PAUSED": "#6a1b9a"}


def run_table(output: WorkflowRunOutput) -> str:
    """An HTML table: status and answer of the run, then a row for each step, nested ones indented."""
    status = RunStatus(output.status).value
    seconds = output.metrics.duration if output.metrics is not None else None
    total = output.metrics.total().total_tokens if output.metrics is not None else 0
    facts = [duration(seconds), counted(total, "token") if total else "", f"run {output.run_id}"]
    facts += [
        counted(len(media), kind) for kind in ("image", "video", "file") if (media := getattr(output, f"{kind}s"))
    ]
    head = f'<b style="color:{_COLORS.get(status, "inherit")}">{escape(status)}</b> ' + _text(
        " · ".join(fact for fact in facts if fact)
    )
    rows = [f'<tr><th colspan="3" style="text-align:left">{_text(output.workflow_name or "")} {head}</th></tr>']
    for top in output.step_results:
        rows += _rows(top, 0)
    for asked in output.active_step_requirements:
        said = asked.confirmation_message or asked.user_input_message or asked.output_review_message or asked.kind
        rows.append(_row(asked.step_name or asked.path, "waits for a person", said, 0))
    answer = output.error if output.status == RunStatus.error else output.content
    rows.append(
        f'<tr><td colspan="3" style="text-align:left"><pre style="white-space:pre-wrap">{_value(answer)}</pre></td></tr>'
    )
    return f"<table>{''.join(rows)}</table>"


def _rows(output: StepOutput, depth: int) -> list[str]:
    word = "skipped" if output.skipped else "" if output.success else "failed"
    state = f"{word}: {output.error or ''}" if word else ""
    found = [_row(output.step_name or "", state, "" if output.steps else output.content, depth)]
    for inner in output.steps or ():
        found += _rows(inner, depth + 1)
    return found


def _row(name: str, state: str, value: Any, depth: int) -> str:
    cell = '<td style="text-align:left;vertical-align:top'
    first = f'{cell};padding-left:{0.5 + depth}em">{_text(name)}</td>'
    return f'<tr>{first}{cell}">{_text(state)}</td>{cell}">{_value(value, 120)}</td></tr>'


def _value(value: Any, longest: int = _LONGEST) -> str:
    return "" if value is None else escape(shorten(clean(as_text(value)), longest))


def _text(text: str) -> str:
    return escape(shorten(clean(text), _LONGEST))
