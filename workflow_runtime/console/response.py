"""``print_response``: a run shown from its first event to its end, its questions answered on the way."""

from __future__ import annotations

import sys
import time
from typing import Any

import anyio
from rich.console import Console
from rich.text import Text

from .. import AlreadyAnswered, RunNotPaused, RunStatus, WorkflowCancelledEvent, WorkflowRunOutput
from . import panels
from .clean import one_line, shorten
from .follow import Elsewhere, Known, Stream, follow
from .lines import Lines, bordered, line
from .live import Live
from .pauses import answer_here, newly_answered, still_open
from .person import Interrupted, Prompter
from .recall import recall
from .surface import Options, Surface, clock
from .tree import View, as_text

__all__ = ["continued", "is_live", "respond", "surface_for"]


async def respond(
    workflow: Any,
    input: Any = None,
    *,
    stream: bool | None = None,
    markdown: bool = True,
    show_time: bool = True,
    show_step_details: bool = True,
    console: Console | None = None,
    interactive: bool | None = None,
    show_header: bool = True,
    prompter: Prompter | None = None,
    **run: Any,
) -> WorkflowRunOutput:
    """Run the workflow and show it; the output. ``run`` are further arguments of ``arun``.

    Raises:
        Exception: What the run failed with, after it was shown.
    """
    console = console or Console()
    if stream is None:
        stream = workflow.stream if workflow.stream is not None else is_live(console)
    options = Options(bool(stream), markdown, show_time, show_step_details)
    view = View(workflow.name or workflow.id, workflow.outline())
    surface = surface_for(console, view, options)
    if prompter is None and can_ask(console, interactive):
        from .prompts import Terminal

        prompter = Terminal()
    events = workflow.arun(input, stream=True, stream_events=True, **run)
    if show_header:
        await surface.say(*head(workflow, input, surface, events.run_id, run.get("session_id")))
    return await converse(workflow, events, view, surface, options, prompter)


async def continued(
    workflow: Any, output: WorkflowRunOutput, console: Console, options: Options, prompter: Prompter | None
) -> WorkflowRunOutput:
    """Go on with a paused run, and show it like a new one."""
    view = View(workflow.name or workflow.id, workflow.outline())
    history = await workflow.history(output.run_id) if workflow.db is not None else []
    recall(view, output, history, offset=clock() - time.time())
    surface = surface_for(console, view, options)
    return await converse(workflow, Known(output), view, surface, options, prompter)


async def converse(
    workflow: Any, events: Stream, view: View, surface: Surface, options: Options, prompter: Prompter | None
) -> WorkflowRunOutput:
    """Show the run; where it waits for a person and one is here, ask and go on; show the end."""
    output: WorkflowRunOutput | None = None
    try:
        output = await follow(workflow, events, view, surface)
        while output.is_paused and prompter is not None:
            again = await _answered(workflow, output, view, surface, options, prompter)
            if again is None:
                break
            output = await _followed(workflow, again, view, surface)
    except Exception:
        await surface.say(*end(view, None, surface, options))
        raise
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(5, shield=True):
            await surface.say(*end(view, None, surface, options))
        raise
    await surface.say(*end(view, output, surface, options))
    return output


async def _answered(
    workflow: Any, output: WorkflowRunOutput, view: View, surface: Surface, options: Options, prompter: Prompter
) -> Stream | None:
    """What goes on once the questions are answered; None when the run stays as it is."""
    assert output.run_id is not None
    try:
        outcome = await answer_here(workflow, output, view, surface, prompter, options.markdown)
    except Interrupted:
        await workflow.acancel_run(output.run_id)
        output.status = RunStatus.cancelled
        view.fold(WorkflowCancelledEvent(seq=view.seq, reason="Ctrl-C at a question"), clock())
        return None
    if outcome == "elsewhere":
        now = await workflow.aget_run(output.run_id)
        if now is None or not now.is_paused:
            return Elsewhere(workflow, output.run_id, view.seq)
        if still_open(now):
            return await _answered(workflow, now, view, surface, options, prompter)
        output = now
    elif outcome == "left" and not newly_answered(output):
        return None
    stream: Stream = workflow.acontinue_run(output, stream=True, stream_events=True)
    return stream


async def _followed(workflow: Any, events: Stream, view: View, surface: Surface) -> WorkflowRunOutput:
    """The same as ``follow``; a run that somebody else continued in this moment is read where it goes on."""
    try:
        return await follow(workflow, events, view, surface)
    except (RunNotPaused, AlreadyAnswered):
        return await follow(workflow, Elsewhere(workflow, events.run_id, view.seq), view, surface)


def is_live(console: Console) -> bool:
    """True where the cursor can be moved: a terminal that is not a dumb one."""
    return (
        console.is_terminal and not console.is_dumb_terminal and not console.is_jupyter and not console.legacy_windows
    )


def surface_for(console: Console, view: View, options: Options) -> Surface:
    """What fits the console: drawn in place on a terminal, plain lines elsewhere."""
    if is_live(console):
        return Live(console, view, options)
    return Lines(console, view, options)


def can_ask(console: Console, interactive: bool | None) -> bool:
    """Whether a person is there to answer: as the caller says, else if both ends are a terminal."""
    if interactive is not None:
        return interactive
    return is_live(console) and sys.stdin is not None and sys.stdin.isatty()


def head(workflow: Any, input: Any, surface: Surface, run_id: str, session_id: str | None) -> list[Any]:
    if isinstance(surface, Live):
        return [panels.header(workflow, input, surface.console, run_id, session_id)]
    found = [line("workflow", workflow.name or workflow.id), line("run", run_id)]
    if session_id:
        found.append(line("session", session_id))
    if input is not None:
        found += [line("input"), *bordered(as_text(input))]
    return [Text("\n".join(found))]


def end(view: View, output: WorkflowRunOutput | None, surface: Surface, options: Options) -> list[Any]:
    """The last thing that is printed: status, time, answer or error, media, how to go on."""
    files: list[str] = []
    if output is not None:
        for kind, media in (
            ("image", output.images), ("video", output.videos), ("audio", output.audio), ("file", output.files)
        ):  # fmt: skip
            files += panels.media_names(media, kind)
    took = options.time(view.elapsed(clock()))
    hint = how_to_continue(view) if view.status == "PAUSED" else ""
    if isinstance(surface, Live):
        return [
            panels.final(
                view, view.content, surface.console, markdown=options.markdown, time=took, files=files, hint=hint
            )
        ]
    found = [line(view.status.lower(), f"in {took}" if took else "", panels.counts(view))]
    if view.status == "COMPLETED":
        found += bordered(as_text(view.content)) if view.content is not None else []
    elif view.status == "ERROR":
        found += bordered(panels.problem(view).plain)
    elif view.status == "CANCELLED":
        found += bordered(panels.reason(view))
    found += [line("media", name) for name in files]
    found += [line("next", part) for part in hint.splitlines()]
    return [Text("\n".join(found))]


def how_to_continue(view: View) -> str:
    """What a person who cannot be asked here may do."""
    lines = [f"{item.step_name or item.path} waits: {_asked(item)}" for item in view.questions]
    lines.append(f"answer it:    wfr answer {view.run_id} --db URL")
    lines.append(f"or in code:   workflow.continue_run(run_id={view.run_id!r}, step_requirements=[...])")
    return "\n".join(lines)


def _asked(item: Any) -> str:
    if getattr(item, "error_message", None):
        return shorten(one_line(f"retry or skip after {item.error_type}: {item.error_message}"), 200)
    said = item.confirmation_message or item.user_input_message or item.output_review_message
    return shorten(one_line(said or item.kind.replace("_", " ")), 200)
