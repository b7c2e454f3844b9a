"""``print_response``: a run shown from its first event to its end, its questions answered on the way."""

from __future__ import annotations

import sys
import time
from typing import Any

import anyio
from rich.console import Console
from rich.text import Text

from .. import AlreadyAnswered, RunNotPaused, RunStatus, WorkflowCancelledEvent, WorkflowRunOutput
from ..view.clean import clean, one_line, shorten
from ..view.recall import recall
from ..view.rows import counts
from ..view.tree import View, as_text
from . import panels
from .follow import Elsewhere, Known, Stream, follow
from .lines import Lines, bordered, line
from .live import Live
from .pauses import Outcome, answer_here, answered_elsewhere, newly_answered, still_open, take_back
from .person import Interrupted, Prompter, at_this_terminal
from .surface import Options, Surface, clock

__all__ = ["continued", "converse", "end", "is_drawn", "is_live", "person_at", "respond", "surface_for"]


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
    show_hints: bool = True,
    prompter: Prompter | None = None,
    wait: bool = False,
    **run: Any,
) -> WorkflowRunOutput:
    """Run the workflow and show it; the output. ``run`` are further arguments of ``arun``.

    If the run pauses, ``prompter`` asks (created here if there is a person at this terminal); with ``wait``, and without a
    person here, the answer may come from elsewhere, through the database.

    Raises:
        Exception: The exception of the failed run, after it was shown.
    """
    console = console or Console()
    if stream is None:
        stream = workflow.stream if workflow.stream is not None else is_drawn(console)
    options = Options(
        bool(stream), markdown, show_time, show_step_details, show_hints=show_hints, is_stored=workflow.db is not None
    )
    view = View(workflow.name or workflow.id, workflow.outline())
    surface = surface_for(console, view, options)
    events = workflow.arun(input, stream=True, stream_events=True, **run)
    if show_header:
        await surface.say(*head(workflow, input, surface, events.run_id, run.get("session_id")))
    prompter = prompter or person_at(console, interactive)
    return await converse(workflow, events, view, surface, options, prompter, wait=wait)


async def continued(
    workflow: Any,
    output: WorkflowRunOutput,
    console: Console,
    options: Options,
    prompter: Prompter | None,
    *,
    wait: bool = False,
) -> WorkflowRunOutput:
    """Go on with a paused run, and show it like a new one."""
    view = View(workflow.name or workflow.id, workflow.outline())
    history = await workflow.history(output.run_id) if workflow.db is not None else []
    recall(view, output, history, offset=clock() - time.time())
    surface = surface_for(console, view, options)
    return await converse(workflow, Known(output), view, surface, options, prompter, wait=wait)


async def converse(
    workflow: Any,
    events: Stream,
    view: View,
    surface: Surface,
    options: Options,
    prompter: Prompter | None,
    *,
    wait: bool = False,
) -> WorkflowRunOutput:
    """Show the run; if it waits for a person and one is here, ask and continue; show the end."""
    output: WorkflowRunOutput | None = None
    try:
        output = await follow(workflow, events, view, surface)
        while output.is_paused:
            again = await _onward(workflow, output, view, surface, options, prompter, wait)
            if again is None:
                break
            output = await _followed(workflow, again, view, surface, output)
    except Exception:
        await surface.say(*end(view, None, surface, options))
        raise
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(5, shield=True):
            await surface.say(*end(view, None, surface, options))
        raise
    await surface.say(*end(view, output, surface, options))
    return output


async def _onward(
    workflow: Any,
    output: WorkflowRunOutput,
    view: View,
    surface: Surface,
    options: Options,
    prompter: Prompter | None,
    wait: bool,
) -> Stream | None:
    """The continuation of a paused run once its questions are answered; None if it stays paused."""
    assert output.run_id is not None
    outcome: Outcome = "answered"
    if still_open(output):
        try:
            if prompter is not None:
                outcome = await answer_here(workflow, output, view, surface, prompter, options.markdown)
            elif wait and workflow.db is not None:
                await surface.say(Text(how_to_continue(view, options), style="dim"))
                await answered_elsewhere(workflow, output)
                outcome = "elsewhere"
            else:
                return None
        except Interrupted:
            await workflow.acancel_run(output.run_id)
            output.status = RunStatus.cancelled
            view.fold(WorkflowCancelledEvent(seq=view.seq, reason="Ctrl-C at a question"), clock())
            return None
    if outcome == "elsewhere":
        now = await workflow.aget_run(output.run_id)
        if now is None or not now.is_paused:
            return Elsewhere(workflow, output.run_id, view.position)
        return await _onward(workflow, now, view, surface, options, prompter, wait)
    if outcome == "left" and not newly_answered(output):
        return None
    stream: Stream
    if workflow.db is None:
        stream = workflow.acontinue_run(output, stream=True, stream_events=True)
    else:  # some answers may be stored already: only the new ones are passed
        answers = newly_answered(output) or None
        stream = workflow.acontinue_run(
            run_id=output.run_id, step_requirements=answers, stream=True, stream_events=True
        )
    return stream


async def _followed(
    workflow: Any, events: Stream, view: View, surface: Surface, paused: WorkflowRunOutput
) -> WorkflowRunOutput:
    """The same as ``follow``; if another process was faster at this moment, its result.

    Answers that a model's validator rejects are withdrawn: the run is paused as before.
    """
    given, seq = newly_answered(paused), view.seq
    try:
        return await follow(workflow, events, view, surface)
    except AlreadyAnswered:
        now: WorkflowRunOutput | None = await workflow.aget_run(events.run_id)
        if now is None:
            raise
        return now
    except RunNotPaused:
        return await follow(workflow, Elsewhere(workflow, events.run_id, view.position), view, surface)
    except ValueError as error:
        if not given or view.seq != seq or hasattr(error, "run_output"):
            raise
        await surface.say(Text(clean(str(error)), style="yellow"))
        for item in given:
            take_back(item)
        view.reopen(still_open(paused), clock())
        return paused


def person_at(console: Console, interactive: bool | None) -> Prompter | None:
    """The person at this terminal; None if there is none, or if ``interactive`` is False."""
    if not can_ask(console, interactive):
        return None
    return at_this_terminal()


def is_live(console: Console) -> bool:
    """True if the cursor can be moved: a terminal that is not a dumb one."""
    return (
        console.is_terminal and not console.is_dumb_terminal and not console.is_jupyter and not console.legacy_windows
    )


def is_drawn(console: Console) -> bool:
    """True if text can be shown while it is generated, and be replaced."""
    return is_live(console) or console.is_jupyter


def surface_for(console: Console, view: View, options: Options) -> Surface:
    """The surface for the console: drawn in place on a terminal, plain lines elsewhere."""
    if is_live(console):
        return Live(console, view, options)
    if console.is_jupyter:
        from .notebook import Notebook

        return Notebook(console, view, options)
    return Lines(console, view, options)


def can_ask(console: Console, interactive: bool | None) -> bool:
    """Whether there is a person to answer: the caller's choice, else True if input and output are a terminal."""
    if interactive is not None:
        return interactive
    return is_live(console) and sys.stdin is not None and sys.stdin.isatty()


def head(workflow: Any, input: Any, surface: Surface, run_id: str, session_id: str | None) -> list[Any]:
    if not isinstance(surface, Lines):
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
    hint = how_to_continue(view, options) if options.show_hints else ""
    if not isinstance(surface, Lines):
        return [
            panels.final(
                view, view.content, surface.console, markdown=options.markdown, time=took, files=files, hint=hint
            )
        ]
    found = [line(view.status.lower(), f"in {took}" if took else "", counts(view))]
    if view.status == "COMPLETED":
        found += bordered(as_text(view.content)) if view.content is not None else []
    elif view.status == "ERROR":
        found += bordered(panels.problem(view).plain)
    elif view.status == "CANCELLED":
        found += bordered(panels.reason(view))
    found += [line("media", name) for name in files]
    found += [line("next", part) for part in hint.splitlines()]
    return [Text("\n".join(found))]


def how_to_continue(view: View, options: Options) -> str:
    """The next steps for a run that did not complete."""
    if view.status in ("CANCELLED", "ERROR") and options.is_stored:
        return f"continue from the last finished step:  wfr fork MODULE:NAME {view.run_id}"
    if view.status != "PAUSED":
        return ""
    lines = [f"{item.step_name or item.path} waits: {_asked(item)}" for item in view.questions]
    if not options.is_stored:
        lines.append("the run is not stored; to answer it later:  Workflow(db='sqlite:///runs.db')")
        return "\n".join(lines)
    lines.append(f"answer it:    wfr answer {view.run_id} --db URL")
    lines.append(f"or in code:   workflow.continue_run(run_id={view.run_id!r}, step_requirements=[...])")
    return "\n".join(lines)


def _asked(item: Any) -> str:
    if getattr(item, "error_message", None):
        return shorten(one_line(f"retry or skip after {item.error_type}: {item.error_message}"), 200)
    said = item.confirmation_message or item.user_input_message or item.output_review_message
    return shorten(one_line(said or item.kind.replace("_", " ")), 200)
