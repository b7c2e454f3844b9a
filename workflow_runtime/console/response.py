"""``print_response``: a run shown from its first event to its end, its questions answered on the way."""

from __future__ import annotations

import sys
from typing import Any

import anyio
from rich.console import Console
from rich.text import Text

from .. import WorkflowRunOutput
from . import panels
from .follow import follow
from .lines import Lines, bordered, line
from .live import Live
from .surface import Options, Surface, clock
from .tree import View, as_text

__all__ = ["is_live", "respond", "surface_for"]


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
    **run: Any,
) -> WorkflowRunOutput:
    """Run the workflow and show it; the output. ``run`` are further arguments of ``arun``.

    Raises:
        Exception: What the run failed with, after it was shown.
    """
    console = console or Console()
    if stream is None:
        stream = workflow.stream if workflow.stream is not None else is_live(console)
    options = Options(stream, markdown, show_time, show_step_details)
    view = View(workflow.name or workflow.id, workflow.outline())
    surface = surface_for(console, view, options)
    events = workflow.arun(input, stream=True, stream_events=True, **run)
    if show_header:
        await surface.say(*head(workflow, input, surface, events.run_id, run.get("session_id")))
    return await converse(workflow, events, view, surface, options, interactive)


async def converse(
    workflow: Any, events: Any, view: View, surface: Surface, options: Options, interactive: bool | None
) -> WorkflowRunOutput:
    """Show the run; where it waits for a person who is here, ask and go on; show the end."""
    try:
        output: WorkflowRunOutput = await follow(workflow, events, view, surface)
        while output.is_paused and can_ask(surface.console, interactive):
            from .ask import answer_all

            if not await answer_all(output, view, surface):
                break
            again = workflow.acontinue_run(output, stream=True, stream_events=True)
            output = await follow(workflow, again, view, surface)
    except Exception:
        await surface.say(*end(view, None, surface, options))
        raise
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(5, shield=True):
            await surface.say(*end(view, None, surface, options))
        raise
    await surface.say(*end(view, output, surface, options))
    return output


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
    time = options.time(view.elapsed(clock()))
    hint = how_to_continue(view) if view.status == "PAUSED" else ""
    if isinstance(surface, Live):
        return [
            panels.final(
                view, view.content, surface.console, markdown=options.markdown, time=time, files=files, hint=hint
            )
        ]
    found = [line(view.status.lower(), f"in {time}" if time else "", panels.counts(view))]
    if view.status == "COMPLETED":
        found += bordered(as_text(view.content)) if view.content is not None else []
    elif view.status == "ERROR":
        found += bordered(panels.problem(view).plain)
    elif view.reason:
        found += bordered(view.reason)
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
    from .clean import one_line, shorten

    if getattr(item, "error_message", None):
        return shorten(one_line(f"retry or skip after {item.error_type}: {item.error_message}"), 200)
    said = item.confirmation_message or item.user_input_message or item.output_review_message
    return shorten(one_line(said or item.kind.replace("_", " ")), 200)
