"""Answering the questions of a paused run: what is asked is shown, the answer is typed, and put into the requirement."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from .. import ErrorRequirement, StepRequirement
from ..view.clean import clean, one_line, shorten
from ..view.rows import counted
from ..view.tree import as_text
from . import panels
from .fields import choice, choices, default_text, hint, parse
from .person import Prompter

__all__ = ["ask", "question"]

Requirement = StepRequirement | ErrorRequirement
_REJECTED = {
    "skip": "the step is skipped",
    "cancel": "the run is cancelled",
    "else": "the other branch is taken",
    "retry": "the step is done again",
}


def question(item: Requirement, console: Console, markdown: bool, number: str = "") -> RenderableType:
    """The question as a panel: what for, and everything a person needs to decide."""
    parts: list[RenderableType] = []
    if isinstance(item, ErrorRequirement):
        parts.append(Text(f"{item.error_type}: {clean(item.error_message or '')}", style="red"))
        parts.append(Text(f"It was tried {counted(item.retry_count + 1, 'time')}. Retry it, or skip it?", style="dim"))
    else:
        parts += _asked(item, markdown)
    title = Text(one_line(item.step_name or item.path), style="bold")
    title.append(f"  waits for you{number}", style="not bold")
    return panels.panel(Group(*parts), title, "magenta", console, "Ctrl-D: later, the run stays paused")


def _asked(item: StepRequirement, markdown: bool) -> list[RenderableType]:
    parts: list[RenderableType] = []
    said = item.confirmation_message or item.user_input_message or item.output_review_message
    if said:
        parts.append(Text(clean(said)))
    if item.requires_output_review and item.step_output is not None:
        parts.append(panels.content(item.step_output.content, markdown))
    elif item.step_input is not None and not said:
        parts.append(panels.content(item.step_input.previous_step_content, markdown, most=12, longest=60))
    for number, name in enumerate(item.available_choices or (), 1):
        parts.append(Text(f"{number}. {one_line(name)}"))
    for field in item.user_input_schema or ():
        line = Text(one_line(field.name), style="bold")
        line.append(f"  {hint(field)}", style="not bold dim")
        if field.description:
            line.append(f"  {one_line(field.description)}", style="not bold")
        parts.append(line)
    for asked in item.executor_requirements or ():
        parts.append(Text(shorten(clean(as_text(asked.get("tool_execution") or asked)), 2000)))
    if item.retry_count:
        parts.append(Text(f"It was rejected {counted(item.retry_count, 'time')} of {item.max_retries}.", style="dim"))
    return parts or [Text("Go on?")]


async def ask(item: Requirement, prompter: Prompter) -> str:
    """Ask until there is a whole answer, put it into ``item``; the answer in a few words.

    Raises:
        Interrupted, Left: Ctrl-C or Ctrl-D. Nothing was answered.
    """
    if isinstance(item, ErrorRequirement):
        if await _letter(prompter, "retry or skip?", {"r": "retry", "s": "skip"}) == "r":
            item.retry()
            return "retry"
        item.skip()
        return "skip"
    if item.needs_output_review:
        return await _review(item, prompter)
    if item.needs_confirmation and await _letter(prompter, "go on?", {"y": "yes", "n": "no"}) == "n":
        return await _reject(item, prompter)
    said = "yes"
    if item.needs_user_input:
        said = await _form(item, prompter)
    if item.needs_route_selection:
        said = await _route(item, prompter)
    if item.needs_executor_resolution:
        said = await _executor(item, prompter)
    item.confirm()
    return said


async def _letter(prompter: Prompter, label: str, offered: dict[str, str]) -> str:
    """One of the offered words by its first letter, or the word."""

    def meant(text: str) -> str:
        found = text.strip().casefold()
        for letter, word in offered.items():
            if found and word.startswith(found):
                return letter
        raise ValueError("type " + ", ".join(f"{letter} ({word})" for letter, word in offered.items()))

    shown = "/".join(offered)
    return meant(await prompter.line(f"{label} [{shown}]", check=meant, words=list(offered.values())))


async def _reject(item: StepRequirement, prompter: Prompter) -> str:
    feedback = await prompter.line(f"what is wrong? ({_REJECTED.get(item.on_reject, item.on_reject)})")
    item.reject(feedback.strip() or None)
    return "no" + (f": {shorten(one_line(feedback.strip()), 60)}" if feedback.strip() else "")


async def _review(item: StepRequirement, prompter: Prompter) -> str:
    loop = item.kind == "iteration_review"
    offered = {"a": "accept", "r": "reject"} if loop else {"a": "accept", "e": "edit", "r": "reject"}
    label = "accept (ends the loop) or reject?" if loop else "accept, edit or reject?"
    while True:
        letter = await _letter(prompter, label, offered)
        if letter == "r":
            return await _reject(item, prompter)
        if letter == "a":
            item.confirm()
            return "accepted"
        try:
            edited = await _edited(item.step_output.content if item.step_output is not None else None, prompter)
        except ValueError as error:
            label = f"{one_line(error)}. accept, edit or reject?"
            continue
        item.edit(edited)
        return "edited"


async def _edited(content: Any, prompter: Prompter) -> Any:
    """The content as edited: text as text, data as JSON."""
    if isinstance(content, str) or content is None:
        return await prompter.text("the new output", content or "", ".md")
    text = await prompter.text("the new output, as JSON", as_text(content), ".json")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"that is no JSON: {error}") from None


async def _form(item: StepRequirement, prompter: Prompter) -> str:
    """Each field on a line of its own; without a schema, ``name=value`` lines until an empty one."""
    values: dict[str, Any] = {}
    for field in item.user_input_schema or ():
        text = await prompter.line(
            f"{field.name} ({hint(field)}):",
            default=default_text(field),
            check=lambda text, field=field: parse(field, text),  # type: ignore[misc]  # bound in this turn of the loop
            words=[
                str(value) for value in field.allowed_values or (["yes", "no"] if field.field_type == "bool" else [])
            ],
        )
        value = parse(field, text)
        if value is not None:
            values[field.name] = value
    while not item.user_input_schema:
        line = await prompter.line("name=value (empty ends):", check=_pair if values else _first_pair)
        if not line.strip():
            break
        name, _, value = line.partition("=")
        values[name.strip()] = value.strip()
    item.set_user_input(**values)
    return shorten(", ".join(f"{one_line(name)}={one_line(as_text(value))}" for name, value in values.items()), 80)


def _pair(text: str) -> None:
    if text.strip() and "=" not in text:
        raise ValueError("write name=value")


def _first_pair(text: str) -> None:
    if "=" not in text:
        raise ValueError("write name=value")


async def _route(item: StepRequirement, prompter: Prompter) -> str:
    offered = item.available_choices or []
    many = item.allow_multiple_selections
    text = await prompter.line(
        "which ones? (commas between)" if many else "which one?",
        check=lambda text: choices(text, offered) if many else choice(text, offered),
        words=offered,
    )
    chosen = choices(text, offered) if many else [choice(text, offered)]
    item.select(*chosen)
    return ", ".join(map(one_line, chosen))


async def _executor(item: StepRequirement, prompter: Prompter) -> str:
    """The questions of an agent: tools to approve, results to supply."""
    said: list[str] = []
    for asked in item.executor_requirements or ():
        name = _tool(asked)
        if asked.get("external_execution") or asked.get("requires_external_execution"):
            asked["external_execution_result"] = await prompter.line(f"the result of {name}:")
            said.append(f"{name}: a result")
        elif asked.get("user_input_schema") or asked.get("user_feedback_schema"):
            key = "user_input" if asked.get("user_input_schema") else "user_feedback"
            asked[key] = await _tool_input(asked[f"{key}_schema"], prompter)
            said.append(f"{name}: input")
        elif await _letter(prompter, f"allow {name}?", {"y": "yes", "n": "no"}) == "y":
            asked["confirmation"] = True
            said.append(f"{name}: yes")
        else:
            asked["confirmation"] = False
            asked["confirmation_note"] = (await prompter.line("why not?")).strip() or None
            said.append(f"{name}: no")
    return ", ".join(map(one_line, said))


async def _tool_input(schema: Sequence[Any], prompter: Prompter) -> dict[str, str]:
    names = [part.get("name", "value") if isinstance(part, dict) else str(part) for part in schema]
    return {name: await prompter.line(f"{name}:") for name in names}


def _tool(asked: dict[str, Any]) -> str:
    execution = asked.get("tool_execution")
    found = execution.get("tool_name") if isinstance(execution, dict) else None
    return str(found or asked.get("tool_name") or asked.get("name") or "it")
