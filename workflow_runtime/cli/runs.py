"""Looking at stored runs: the list, one of them with its times, what waits for a person."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .. import BaseDb, HistoryEntry, RunNotFound, RunStatus, StepOutput, WorkflowRunOutput
from ..console import panels
from ..console.gantt import gantt_lines
from ..console.render import ASCII, STYLES, UNICODE
from ..console.screen import encodable, lines_of
from ..model import codec
from ..model.unreadable import problem_of
from ..storage.base import RunFilter, RunRow
from ..view.clean import clean, one_line, shorten
from ..view.diff import same
from ..view.recall import recall
from ..view.rows import duration
from ..view.tree import View, as_text
from .codes import Code, Stop
from .source import database, stand_in

__all__ = ["list_runs", "load_run", "pending", "show_run", "view_of"]

_STYLES = {"COMPLETED": "done", "ERROR": "failed", "PAUSED": "waiting", "CANCELLED": "cancelled", "RUNNING": "running"}


async def load_run(db: BaseDb, run_id: str) -> tuple[WorkflowRunOutput, list[HistoryEntry]]:
    """A stored run and its journal. ``run_id`` may be the end of an id, if only one run has it among the newest 1000.

    Raises:
        RunNotFound: There is no such run.
        Stop: Several runs end so.
    """
    workflow = stand_in(db)
    output = await workflow.aget_run(run_id)
    if output is None:
        output = await workflow.aget_run(await _by_its_end(db, run_id))
    if output is None or output.run_id is None:
        raise RunNotFound(f"no run {run_id!r} in this database; wfr runs lists those there are")
    return output, await workflow.history(output.run_id)


async def find_run(db: BaseDb, run_id: str) -> RunRow:
    """The row of a stored run, by its id or the end of that. Raises as ``load_run``."""
    row = await db.load_run(run_id) or await db.load_run(await _by_its_end(db, run_id))
    if row is None:
        raise RunNotFound(f"no run {run_id!r} in this database; wfr runs lists those there are")
    return row


async def _by_its_end(db: BaseDb, end: str) -> str:
    found = [
        row.run_id for row in await db.list_runs(RunFilter(), limit=1000) if len(end) >= 4 and row.run_id.endswith(end)
    ]
    if len(found) > 1:
        raise Stop(Code.usage, f"{len(found)} runs end with {end!r}; write more of the id: {', '.join(found[:5])}")
    return found[0] if found else end


async def list_runs(
    url: str | None,
    console: Console,
    *,
    session: str | None,
    user: str | None,
    workflow: str | None,
    status: Sequence[str],
    tags: Sequence[str] = (),
    limit: int,
    as_json: bool,
) -> Code:
    """The newest runs."""
    async with database(url) as db:
        where = RunFilter(
            session_id=session,
            user_id=user,
            workflow_id=workflow,
            statuses=frozenset(map(_status, status)) or None,
            tags=frozenset(tags),
        )
        rows = await db.list_runs(where, limit=limit)
    if as_json:
        console.out(json.dumps([_summary(row) for row in rows], ensure_ascii=False), highlight=False)
    elif not rows:
        console.print(Text("no runs", style="dim"))
    else:
        console.print(encodable(console, _runs_table(rows, console.width)))
    return Code.ok


def _status(text: str) -> RunStatus:
    try:
        return RunStatus[text.lower()]
    except KeyError:
        known = ", ".join(status.name for status in RunStatus)
        raise Stop(Code.usage, f"--status {text!r} is not one of {known}") from None


def _summary(row: RunRow) -> dict[str, Any]:
    output = codec.decode_run(row.data, row)
    seconds = output.metrics.duration if output.metrics is not None else None
    return {
        "run_id": row.run_id,
        "session_id": row.session_id,
        "user_id": row.user_id,
        "workflow_id": row.workflow_id,
        "workflow_name": row.workflow_name,
        "status": row.status.value,
        "attempt": row.attempt,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "duration": seconds,
        "forked_from": row.forked_from,
        "cancel_requested": row.cancel_requested,
        "unreadable": problem_of(output),
    }


def _runs_table(rows: Sequence[RunRow], width: int) -> Table:
    """As many columns as there is room for; the id is always whole, so that it can be copied."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("run", no_wrap=True)
    table.add_column("status", no_wrap=True)
    if width >= 70:
        table.add_column("took", no_wrap=True, justify="right")
    if width >= 80:
        table.add_column("started", no_wrap=True)
    if width >= 100:
        table.add_column("workflow", no_wrap=True, overflow="ellipsis", max_width=24)
        table.add_column("input", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in rows:
        output = codec.decode_run(row.data, row)
        seconds = output.metrics.duration if output.metrics is not None else None
        status = Text(row.status.value, style=STYLES.get(_STYLES.get(row.status.value, ""), ""))
        if problem_of(output) is not None:
            status.append(" unreadable", style=STYLES["failed"])
        cells = [Text(row.run_id), status]
        if width >= 70:
            cells.append(Text(duration(seconds)))
        if width >= 80:
            cells.append(Text(time.strftime("%m-%d %H:%M:%S", time.localtime(row.created_at)), style="dim"))
        if width >= 100:
            cells.append(Text(one_line(row.workflow_name or row.workflow_id or "")))
            cells.append(Text(shorten(one_line(as_text(output.input)), 80), style="dim"))
        table.add_row(*cells)
    return table


async def show_run(
    url: str | None, console: Console, run_id: str, *, step: str | None, traceback: bool, as_json: bool
) -> Code:
    """One run: when its steps ran, what they left, how it ended; with ``traceback`` what its steps raised."""
    async with database(url) as db:
        output, history = await load_run(db, run_id)
    if as_json:
        data = {**output.to_dict(), "history": [_entry(entry) for entry in history]}
        console.out(json.dumps(data, ensure_ascii=False, default=str), highlight=False)
        return Code.ok
    if step is not None:
        _show_step(console, history, step)
        return Code.ok
    if traceback:
        _show_tracebacks(console, history)
        return Code.ok
    view = view_of(output, history)
    now = time.time()
    glyphs = ASCII if console.options.ascii_only else UNICODE
    console.print(encodable(console, _head(output, console)))
    console.print(encodable(console, lines_of(gantt_lines(view, now, console.width, glyphs))))
    for part in (*_outputs(output, console), *_compensations(output, console)):
        console.print(encodable(console, part))
    console.print(encodable(console, panels.final(view, view.content, console, markdown=True, time=_took(view, now))))
    return Code.ok


def view_of(output: WorkflowRunOutput, history: Sequence[HistoryEntry]) -> View:
    """The run as the terminal shows it, on the clock of ``time.time``."""
    view = View(output.workflow_name)
    recall(view, output, history, output.events or ())
    return view


def _took(view: View, now: float) -> str:
    return duration(view.elapsed(now))


def _head(output: WorkflowRunOutput, console: Console) -> Any:
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(output.created_at))
    facts = [f"run {output.run_id}", f"session {output.session_id}", f"started {began}"]
    if output.user_id:
        facts.append(f"user {output.user_id}")
    if output.epoch > 1:
        facts.append(f"attempt {output.epoch}")
    body = panels.content(output.input, False, most=12) if output.input is not None else Text("(no input)", style="dim")
    lines = Group(body, Text("\n".join(map(clean, facts)), style="dim"))
    return panels.panel(lines, Text(one_line(output.workflow_name or ""), style="bold"), "cyan", console)


def _outputs(output: WorkflowRunOutput, console: Console) -> list[Any]:
    """What each step left, but for the one that is the run's answer."""
    found: list[Any] = []
    leaves = [step for top in output.step_results for step in top.walk() if not step.steps]
    for step in leaves:
        if step.content is None or (step is leaves[-1] and same(step.content, output.content)):
            continue
        title = Text(one_line(step.step_name or ""), style="bold")
        found.append(panels.panel(panels.content(step.content, True, most=12), title, "bright_black", console))
    return found


def _compensations(output: WorkflowRunOutput, console: Console) -> list[Any]:
    """The steps whose effects were undone, or should have been, in that order."""
    if not output.compensations:
        return []
    lines = Text()
    for item in output.compensations:
        said = "compensated" if item.is_undone else f"NOT compensated: {item.error_type}: {item.error}"
        lines.append(f"{one_line(item.step_name)} ({one_line(item.path)})  ")
        lines.append(one_line(said) + "\n", style=None if item.is_undone else STYLES["problem"])
    lines.rstrip()
    title = Text("compensation", style="bold")
    return [panels.panel(lines, title, "red" if output.not_undone else "bright_black", console)]


def _show_step(console: Console, history: Sequence[HistoryEntry], wanted: str) -> None:
    """The whole output of one step, by its path or its name, as it is: to be piped into a file."""
    for entry in history:
        name = entry.output.step_name if entry.output is not None else None
        if wanted in (entry.path, name) and entry.status != "failed" and isinstance(entry.output, StepOutput):
            console.print(Text(clean(as_text(entry.output.content))), soft_wrap=True)
            return
    known = ", ".join(entry.path for entry in history if entry.output is not None and entry.status != "failed")
    raise Stop(Code.not_found, f"the run has no finished step {wanted!r}; it has {known or 'none'}")


def _show_tracebacks(console: Console, history: Sequence[HistoryEntry]) -> None:
    """The traceback of each step that failed, as it is: to be piped into a file."""
    failed = [entry for entry in history if entry.traceback is not None]
    for entry in failed:
        title = f"{entry.path or 'the workflow function'}, attempt {entry.attempt}"
        if entry.status == "done" and entry.output is not None and entry.output.success:
            title = f"{entry.path}, an attempt before the last"
        console.print(Text(clean(title), style="bold"), soft_wrap=True)
        console.print(Text(clean(entry.traceback or "")), soft_wrap=True)
    if not failed:
        console.print(Text("no step of this run raised an exception", style="dim"))


def _entry(entry: HistoryEntry) -> dict[str, Any]:
    data = {
        name: getattr(entry, name)
        for name in ("path", "kind", "status", "attempt", "started_at", "finished_at", "decision", "error", "traceback")
    }
    data["output"] = entry.output.to_dict() if entry.output is not None else None
    return data


async def pending(
    url: str | None, console: Console, *, session: str | None, user: str | None, limit: int, as_json: bool
) -> Code:
    """What waits for a person, oldest first."""
    async with database(url) as db:
        rows = await db.list_requirements(session_id=session, user_id=user, limit=limit)
    items = [(row, codec.decode_requirement(row.data, row)) for row in rows]
    if as_json:
        data = [
            {
                "kind": item.kind,
                **item.to_dict(),
                "run_id": row.run_id,
                "workflow_id": row.workflow_id,
                "schema": item.schema(),
            }
            for row, item in items
        ]
        console.out(json.dumps(data, ensure_ascii=False, default=str), highlight=False)
        return Code.ok
    if not items:
        console.print(Text("nothing waits for a person", style="dim"))
    for row, item in items:
        said = getattr(item, "error_message", None) or next(
            (
                text
                for name in ("confirmation_message", "user_input_message", "output_review_message")
                if (text := getattr(item, name, None))
            ),
            "",
        )
        line = Text(one_line(item.step_name or row.path), style="bold")
        line.append(f"  {item.kind.replace('_', ' ')}", style="not bold magenta")
        line.append(f"  {duration(max(0.0, time.time() - row.created_at))} ago", style="not bold dim")
        line.append(f"\n  {shorten(one_line(said), 200)}" if said else "", style="not bold")
        line.append(f"\n  wfr answer {row.run_id}", style="not bold dim")
        console.print(encodable(console, line))
    return Code.ok
