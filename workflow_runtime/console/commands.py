"""The slash commands of a chat."""

from __future__ import annotations

import difflib
import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .. import RunStatus, SessionNotFound, WorkflowRunOutput
from ..view.clean import clean, one_line, shorten
from ..view.rows import duration
from ..view.tree import as_text
from . import panels
from .threads import in_thread

if TYPE_CHECKING:
    from .app import Chat

__all__ = ["COMMANDS", "Leave", "perform"]


class Leave(Exception):
    """The person wants to end the chat."""


class Command(NamedTuple):
    usage: str
    about: str
    perform: Callable[[Chat, str], Awaitable[RenderableType | None]]


async def perform(chat: Chat, line: str) -> RenderableType | None:
    """Execute ``line`` (with its slash); returns the text to show. Raises Leave."""
    name, _, rest = line[1:].partition(" ")
    command = COMMANDS.get(name) or COMMANDS.get(_ALIASES.get(name, ""))
    begun = [known for known in COMMANDS if name and known.startswith(name)]
    if command is None and len(begun) == 1:
        command = COMMANDS[begun[0]]
    if command is None:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean /{close[0]}?" if close else ""
        return Text(f"there is no /{one_line(name)}{hint} /help lists what there is", style="yellow")
    return await command.perform(chat, rest.strip())


async def _help(chat: Chat, _rest: str) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for command in COMMANDS.values():
        table.add_row(Text(command.usage, style="bold"), Text(command.about))
    words = ", ".join(map(one_line, chat.exit_on))
    return Group(
        table,
        Text(
            f"{words} or Ctrl-D leaves. Ctrl-C cancels a run. // at the start of a line sends it with one /.",
            style="dim",
        ),
    )


async def _history(chat: Chat, rest: str) -> RenderableType:
    count = int(rest) if rest.isdigit() else None
    said = await chat.exchanges(count)
    if not said:
        return Text("this session has no messages yet", style="dim")
    parts: list[RenderableType] = []
    for question, answer in said:
        parts.append(Text(clean(question), style="bold"))
        parts.append(panels.content(answer, chat.options.markdown, most=20))
    return Group(*parts)


async def _state(chat: Chat, _rest: str) -> RenderableType:
    try:
        state = await chat.state()
    except SessionNotFound:
        state = {}
    return panels.content(state, False) if state else Text("the session has no state", style="dim")


async def _runs(chat: Chat, rest: str) -> RenderableType:
    found = await chat.runs(int(rest) if rest.isdigit() else 10)
    if not found:
        return Text("no runs yet", style="dim")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for run in found:
        status = RunStatus(run.status).value
        seconds = run.metrics.duration if run.metrics is not None else None
        style = {"COMPLETED": "green", "ERROR": "red", "PAUSED": "magenta"}.get(status, "yellow")
        table.add_row(
            Text(str(run.run_id)),
            Text(status, style=style),
            Text(duration(seconds)),
            Text(shorten(one_line(as_text(run.input)), 60), style="dim"),
        )
    return table


async def _cancel(chat: Chat, rest: str) -> RenderableType:
    run = await _chosen(chat, rest, RunStatus.paused, RunStatus.running, RunStatus.pending)
    if run is None:
        return Text("there is no run that could be cancelled", style="yellow")
    done = await chat.workflow.acancel_run(run.run_id)
    if done and run.status == RunStatus.paused:
        run.status = RunStatus.cancelled
    return Text(f"run {run.run_id} " + ("is cancelled" if done else "had ended already"))


async def _resume(chat: Chat, rest: str) -> RenderableType | None:
    run = await _chosen(chat, rest, RunStatus.paused)
    if run is None:
        return Text("no run waits for you", style="yellow")
    await chat.resume(run)
    return None


async def _chosen(chat: Chat, run_id: str, *statuses: RunStatus) -> WorkflowRunOutput | None:
    """The run of that id, or the newest one in such a status."""
    found = await chat.runs(None)
    return next((run for run in found if run.status in statuses and run_id in ("", run.run_id)), None)


def _file(name: str) -> Path:
    return Path(name).expanduser()


async def _export(chat: Chat, rest: str) -> RenderableType:
    path = _file(rest or f"chat-{chat.session_id[:12]}.md")
    said = await chat.exchanges(None)
    text = (
        json.dumps(_as_json(chat, said), indent=2, ensure_ascii=False)
        if path.suffix == ".json"
        else _as_markdown(chat, said)
    )

    def write() -> None:
        with path.open("x", encoding="utf-8", errors="replace") as file:
            file.write(text)

    try:
        await in_thread(write, abandon=False)
    except FileExistsError:
        return Text(f"{path} is there already; name another file: /export notes.md", style="yellow")
    except OSError as error:
        return Text(f"{path} could not be written: {error}", style="red")
    return Text(f"{len(said)} exchanges are in {path}")


def _as_json(chat: Chat, said: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    exchanges = [{"input": question, "output": as_text(answer)} for question, answer in said]
    return {"workflow": chat.workflow.name or chat.workflow.id, "session_id": chat.session_id, "exchanges": exchanges}


def _as_markdown(chat: Chat, said: Iterable[tuple[str, Any]]) -> str:
    parts = [f"# {one_line(chat.workflow.name or chat.workflow.id)}", f"Session {chat.session_id}"]
    for question, answer in said:
        parts += [
            f"## {chat.user}",
            question,
            f"## {one_line(chat.workflow.name or chat.workflow.id)}",
            as_text(answer),
        ]
    return "\n\n".join(parts) + "\n"


async def _graph(chat: Chat, _rest: str) -> RenderableType:
    return Text(chat.workflow.to_ascii(chat.console.width, ascii_only=chat.console.options.ascii_only), no_wrap=True)


async def _exit(_chat: Chat, _rest: str) -> RenderableType:
    raise Leave


COMMANDS: dict[str, Command] = {
    "help": Command("/help", "this list", _help),
    "history": Command("/history [N]", "the conversation of this session", _history),
    "state": Command("/state", "the session's state", _state),
    "runs": Command("/runs [N]", "the session's runs, newest first", _runs),
    "resume": Command("/resume [RUN]", "answer a paused run and continue it", _resume),
    "cancel": Command("/cancel [RUN]", "cancel a paused run", _cancel),
    "export": Command("/export [FILE]", "write the session to a file: .md or .json", _export),
    "graph": Command("/graph", "draw the workflow", _graph),
    "exit": Command("/exit", "leave", _exit),
}
_ALIASES = {"quit": "exit", "q": "exit", "h": "help", "?": "help", "continue": "resume"}
