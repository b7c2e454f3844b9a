"""A pause with a person at the terminal: each question is shown and asked; one that is answered elsewhere disappears."""

from __future__ import annotations

from typing import Any, Literal

import anyio
from rich.text import Text

from .. import ErrorRequirement, WorkflowRunOutput
from ..view.clean import one_line
from ..view.recall import natural
from ..view.tree import View
from .ask import Requirement, ask, question
from .person import Left, Prompter
from .surface import Surface

__all__ = ["Outcome", "answer_here", "answered_elsewhere", "newly_answered", "still_open"]

Outcome = Literal["answered", "left", "elsewhere"]
_LOOK = 0.5  # seconds between two checks for answers from elsewhere


async def answer_here(
    workflow: Any, output: WorkflowRunOutput, view: View, surface: Surface, prompter: Prompter, markdown: bool
) -> Outcome:
    """Ask all open questions.

    Returns:
        "answered" (all, into ``output``), "left" (the person answers later: Ctrl-D; the answers so far count), or
            "elsewhere" (another person was faster; ``output`` is out of date).

    Raises:
        Interrupted: Ctrl-C: the person cancels the run.
    """
    open_now = still_open(output)
    for position, item in enumerate(open_now, 1):
        number = f" ({position} of {len(open_now)})" if len(open_now) > 1 else ""
        await surface.say(question(item, surface.console, markdown, number))
        try:
            said = await _or_elsewhere(workflow, item, output, prompter)
        except Left:
            return "left"
        if said is None:
            await surface.say(Text(f"{one_line(item.step_name or item.path)}: answered elsewhere", style="yellow"))
            return "elsewhere"
        view.answered(item)
        await surface.say(Text.assemble((one_line(item.step_name or item.path), "bold"), f": {said}"))
    return "answered"


def still_open(output: WorkflowRunOutput) -> list[Requirement]:
    """The open questions, in the order of the steps."""
    found: list[Requirement] = [*output.active_step_requirements, *output.active_error_requirements]
    return sorted((item for item in found if not item.is_resolved), key=lambda item: natural(item.path))


def newly_answered(output: WorkflowRunOutput) -> list[Requirement]:
    """The answers that were given here and are not stored yet."""
    found: list[Requirement] = [*output.active_step_requirements, *output.active_error_requirements]
    return [item for item in found if item.is_resolved]


def take_back(item: Requirement) -> None:
    """Make the question an open one again."""
    if isinstance(item, ErrorRequirement):
        item.decision = None
    else:
        item.confirmed = item.rejection_feedback = item.user_input = item.selected_choices = None
        item.edited_output, item.is_edited = None, False


async def answered_elsewhere(workflow: Any, output: WorkflowRunOutput) -> None:
    """Wait until no question is open any more, or the run was continued elsewhere."""
    while True:
        await anyio.sleep(_LOOK)
        now = await workflow.aget_run(output.run_id)
        if now is None or not now.is_paused or not still_open(now):
            return


async def _or_elsewhere(workflow: Any, item: Requirement, output: WorkflowRunOutput, prompter: Prompter) -> str | None:
    """The answer in words; None when another terminal, process or page answered first."""
    said: str | None = None
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while True:
                await anyio.sleep(_LOOK)
                now = await workflow.aget_run(output.run_id)
                if now is None or not now.is_paused or item.id not in {each.id for each in still_open(now)}:
                    tasks.cancel_scope.cancel()
                    return

        if workflow.db is not None:
            tasks.start_soon(watch)
        try:
            said = await ask(item, prompter)
        except Exception as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return said
