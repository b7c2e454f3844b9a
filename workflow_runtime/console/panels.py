"""The permanent output: the header of a run, the outputs of steps, the end. All untrusted text goes through ``clean``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text

from ..model.text import read_json
from ..view.clean import clean, one_line, shorten
from ..view.node import Node
from ..view.rows import counted, counts, duration, where
from ..view.tree import View, as_text
from .prose import prose
from .render import STYLES

__all__ = ["content", "final", "header", "media_names", "panel", "problem", "reason", "retry_notice", "step_output"]

_STEP_LINES = 40  # of a step's output; the final answer is always shown whole
_STATUS = {
    "COMPLETED": ("Completed", "done", "green"),
    "ERROR": ("Failed", "failed", "red"),
    "CANCELLED": ("Cancelled", "cancelled", "yellow"),
    "PAUSED": ("Paused", "waiting", "magenta"),
}


def panel(body: RenderableType, title: str | Text, color: str, console: Console, subtitle: str = "") -> RenderableType:
    """A box as wide as the console (100 cells at most); plain corners if the encoding has no others."""
    return Panel(
        body,
        title=title if isinstance(title, Text) else Text(one_line(title)),
        subtitle=Text(one_line(subtitle), style="dim") if subtitle else None,
        title_align="left",
        subtitle_align="left",
        box=box.ASCII if console.options.ascii_only else box.ROUNDED,
        border_style=Style.parse(color),
        padding=(0, 1),
        width=min(console.width, 100),
    )


def content(value: Any, markdown: bool, most: int | None = None, longest: int = 200) -> RenderableType:
    """A value as Markdown, as JSON, or literally. ``most``: that many lines (of ``longest`` characters on the average),
    and how many were left out."""
    text = clean(as_text(value))
    left_out = 0
    if most is not None:
        lines = text.splitlines()
        if len(lines) > most:
            left_out = len(lines) - most
            text = "\n".join(lines[:most])
        if len(text) > most * longest:
            text, left_out = text[: most * longest] + "…", max(1, left_out)
    shown: RenderableType
    if isinstance(value, str):
        shown = prose(text) if markdown else Text(text)
    elif value is None:
        shown = Text("(no content)", style="dim")
    elif _is_json(text) and not left_out:
        shown = Syntax(text, "json", theme="ansi_dark", background_color="default", word_wrap=True)
    else:
        shown = Text(text)
    if left_out:
        return Group(shown, Text(f"… {counted(left_out, 'more line')}", style="dim"))
    return shown


def _is_json(text: str) -> bool:
    if not text.startswith(("{", "[")) or len(text) > 100_000:
        return False
    try:
        read_json(text)
    except ValueError:
        return False
    return True


def header(workflow: Any, input: Any, console: Console, run_id: str | None, session_id: str | None) -> RenderableType:
    """The workflow, the run and its input."""
    parts: list[RenderableType] = []
    if workflow.description:
        parts.append(Text(clean(workflow.description), style="dim"))
    if input is not None:
        parts.append(content(input, markdown=False, most=12))
    ids = [f"run {run_id}" if run_id else "", f"session {session_id}" if session_id else ""]
    name = Text(one_line(workflow.name or workflow.id), style="bold")
    subtitle = "  ".join(part for part in ids if part)
    return panel(Group(*parts) if parts else Text("(no input)", style="dim"), name, "cyan", console, subtitle)


def step_output(node: Node, value: Any, console: Console, markdown: bool, time: str) -> RenderableType:
    """A step's output, under its name; the containers around it are named first."""
    title = Text(where(node), style="bold")
    if time:
        title.append(f"  {time}", style="dim")
    return panel(content(value, markdown, _STEP_LINES), title, "bright_black", console)


def retry_notice(node: Node, error: str, delay: float, discarded: bool) -> Text:
    """One line: the failed attempt and the next action."""
    text = Text("↻ ", style=STYLES["retrying"])
    text.append(where(node), style="bold")
    said = f"  attempt {node.attempt - 1} failed: {shorten(one_line(error), 200)}; again in {duration(delay)}"
    text.append(said + ("; what it had written is discarded" if discarded else ""), style=STYLES["problem"])
    return text


def final(
    view: View, value: Any, console: Console, *, markdown: bool, time: str, files: Sequence[str] = (), hint: str = ""
) -> RenderableType:
    """The end: status and time in the title; the answer, or the error and its path; counts below."""
    word, state, color = _STATUS.get(view.status, (view.status.title(), "plain", "cyan"))
    title = Text(word, style=STYLES[state])
    if time:
        title.append(f" in {time}" if view.status != "PAUSED" else f" after {time}", style="not bold")
    parts: list[RenderableType] = []
    if view.status == "COMPLETED":
        parts.append(content(value, markdown))
    elif view.status == "ERROR":
        parts.append(problem(view))
    elif view.status == "CANCELLED":
        parts.append(Text(reason(view)))
    if files:
        parts.append(Text("\n".join(clean(name) for name in files), style="dim"))
    if hint:
        parts.append(Text(hint, style="dim"))
    return panel(Group(*parts), title, color, console, counts(view))


def problem(view: View) -> Text:
    """The path and the error of each failed step."""
    failed = [node for node in view.root.walk() if node.state == "failed" and node.error]
    text = Text()
    innermost = [node for node in failed if not any(child in failed for child in node.walk() if child is not node)]
    for node in innermost:
        text.append("at ", style="dim")
        text.append(where(node), style="bold")
        text.append(f"  ({one_line(node.path)})", style="dim")
        if node.attempt > 1:
            text.append(f"  attempt {node.attempt}", style="dim")
        text.append("\n")
        text.append(f"{node.error_type}: " if node.error_type else "", style=STYLES["failed"])
        text.append(clean(node.error or "") + "\n", style=STYLES["problem"])
    if view.error is not None and not any(node.error == view.error for node in innermost):
        text.append(f"{view.error_type}: " if view.error_type else "", style=STYLES["failed"])
        text.append(clean(view.error), style=STYLES["problem"])
    text.rstrip()
    return text


def reason(view: View) -> str:
    """Why a run was cancelled, in words."""
    known = {"": "the run was cancelled", "cancel_run": "the run was cancelled on request"}
    return known.get(view.reason or "") or clean(view.reason or "")


def media_names(media: Iterable[Any] | None, kind: str) -> list[str]:
    """One line per medium of a run: its kind and its location."""
    found = []
    for item in media or ():
        where = (
            item.url or item.filepath or (f"{len(item.content):,} bytes" if item.content is not None else "elsewhere")
        )
        name = getattr(item, "name", None) or getattr(item, "filename", None) or item.id
        found.append(f"{kind}: " + (f"{name}  " if name else "") + shorten(str(where), 300))
    return found
