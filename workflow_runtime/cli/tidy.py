"""``wfr prune``, ``wfr graph`` and ``wfr export``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from .. import Workflow
from ..console.threads import in_thread
from ..view.rows import counted
from ..view.tree import View
from .codes import Code, Stop, Work
from .page import page
from .runs import load_run, view_of
from .source import database, load

__all__ = ["draw_graph", "export_run", "prune_runs"]

_SLICE = 500


async def prune_runs(url: str | None, console: Console, *, seconds: float, events_only: bool, as_json: bool) -> Code:
    """Delete what is older, in small transactions, so that runs that go on are not held up."""
    from ..model.codec import event_names

    gone = 0
    async with database(url) as db:
        before = time.time() - seconds
        while True:
            kinds = event_names() if events_only else None
            found = await db.prune(kinds=kinds, before=before, limit=_SLICE, mark=2 if events_only else 0)
            gone += found.rows
            if not found.more:
                break
    noun = "event" if events_only else "run"
    if as_json:
        console.out(json.dumps({f"{noun}s": gone}), highlight=False)
    else:
        console.print(Text(f"{counted(gone, noun)} deleted"))
    return Code.ok


def draw_graph(
    target: str,
    console: Console,
    *,
    form: str,
    file: Path | None,
    run_id: str | None,
    db: str | None,
    as_json: bool,
) -> Work:
    """The workflow's graph; with a run its states in colours."""
    workflow = load(target, db)
    if run_id is not None and workflow.db is None:
        raise Stop(Code.usage, f"{target} has no database to find run {run_id} in; pass --db")
    if form not in _FORMS:
        raise Stop(Code.usage, f"--format {form!r} is not one of {', '.join(_FORMS)}")

    async def work() -> Code:
        states: dict[str, str] = {}
        if run_id is not None and workflow.db is not None:
            try:
                states = states_of(view_of(*await load_run(workflow.db, run_id)))
            finally:
                await workflow.db.aclose()
        if as_json:
            parts = [msgspec.to_builtins(part) for part in workflow.outline()]
            text = json.dumps({"steps": parts, "states": states}, ensure_ascii=False) + "\n"
        else:
            text = _FORMS[form](workflow, console, states)
        await _write(text, file, console)
        return Code.ok

    return work


_FORMS: dict[str, Callable[[Workflow, Console, dict[str, str]], str]] = {
    "text": lambda workflow, console, _: f"{workflow.to_ascii(console.width, ascii_only=console.options.ascii_only)}\n",
    "mermaid": lambda workflow, _, states: workflow.to_mermaid(states),
    "dot": lambda workflow, _, states: workflow.to_dot(states),
    "svg": lambda workflow, _, states: f"{workflow.to_svg(states)}\n",
}


def states_of(view: View) -> dict[str, str]:
    """Path without iterations to state: the worst that happened there."""
    rank = ("pending", "unused", "done", "skipped", "cancelled", "running", "retrying", "waiting", "failed")
    found: dict[str, str] = {}
    for node in view.root.walk():
        path = re.sub(r"#\d+(?=/|$)", "", node.path)
        if path and rank.index(node.state) >= rank.index(found.get(path, "pending")):
            found[path] = node.state
    return found


async def export_run(url: str | None, console: Console, run_id: str, *, file: Path | None, as_json: bool) -> Code:
    """All that is stored of a run in one file: a page to read, or JSON."""
    async with database(url) as db:
        output, history = await load_run(db, run_id)
    if as_json:
        data: dict[str, Any] = {**output.to_dict(), "history": [_builtins(entry) for entry in history]}
        await _write(json.dumps(data, ensure_ascii=False, indent=2, default=str) + "\n", file, console)
    else:
        await _write(page(output, view_of(output, history), time.time()), file, console)
    if file is not None:
        console.print(Text(f"{file} is written"), soft_wrap=True)
    return Code.ok


def _builtins(entry: Any) -> dict[str, Any]:
    found = {name: getattr(entry, name) for name in ("path", "kind", "status", "attempt", "started_at", "finished_at")}
    found["output"] = entry.output.to_dict() if entry.output is not None else None
    return found


async def _write(text: str, file: Path | None, console: Console) -> None:
    if file is None:
        console.out(text, highlight=False, end="")
        return

    def write() -> None:
        file.write_text(text, encoding="utf-8", errors="replace")

    try:
        await in_thread(write, abandon=False)
    except OSError as error:
        raise Stop(Code.usage, f"{file} could not be written: {error}") from None
