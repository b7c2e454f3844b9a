"""Answering the questions of a paused run: show the question, read the answer, and put it into the requirement.

The schema of an answer is ``requirement.schema()``; the typed text becomes plain JSON of that schema for ``answer()``.
"""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from .. import ErrorRequirement, StepRequirement
from ..model.text import read_json
from ..view.clean import clean, one_line, shorten
from ..view.rows import counted
from ..view.tree import as_text
from . import panels
from .fields import Blank, blanks, choice, choices, default_text, filled, hint, offered, parse
from .person import Prompter

__all__ = ["Requirement", "ask", "form_of", "question"]

Requirement = StepRequirement | ErrorRequirement
Said = tuple[dict[str, Any], str]
"""The answer, and the same in a few words."""

_REJECTED = {
    "skip": "the step is skipped",
    "cancel": "the run is cancelled",
    "else": "the other branch is taken",
    "retry": "the step is done again",
}


def form_of(item: StepRequirement) -> list[Blank]:
    """The lines of the form that a person fills in; empty if it names no fields."""
    schema = item.schema()
    return blanks(schema["properties"].get("user_input", {}), schema.get("$defs", {}))


def question(item: Requirement, console: Console, markdown: bool, number: str = "") -> RenderableType:
    """The question as a panel, with everything that a person needs to decide."""
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
        parts.append(panels.content(item.reviewed_content, markdown))
    elif item.step_input is not None and item.step_input.previous_step_content is not None and not said:
        parts.append(panels.content(item.step_input.previous_step_content, markdown, most=12, longest=60))
    for number, name in enumerate((item.requires_route_selection and item.available_choices) or (), 1):
        parts.append(Text(f"{number}. {one_line(name)}"))
    for blank in form_of(item):
        line = Text(one_line(blank.name), style="bold")
        line.append(f"  {hint(blank)}", style="not bold dim")
        if blank.schema.get("description"):
            line.append(f"  {one_line(blank.schema['description'])}", style="not bold")
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
        letter = await _letter(prompter, "retry or skip?", {"r": "retry", "s": "skip"})
        answer, said = {"decision": "retry" if letter == "r" else "skip"}, "retry" if letter == "r" else "skip"
    elif item.needs_output_review:
        answer, said = await _review(item, prompter)
    else:
        answer, said = await _parts(item, prompter)
    item.answer(answer)
    return said


async def _parts(item: StepRequirement, prompter: Prompter) -> Said:
    """Every question that is not a review: first a confirmation, then the values or choices."""
    if item.needs_confirmation and await _letter(prompter, "continue?", {"y": "yes", "n": "no"}) == "n":
        return await _reject(item, prompter)
    answer: dict[str, Any] = {}
    said = "yes"
    if item.needs_user_input:
        schema = item.schema()
        answer["user_input"] = await _form(form_of(item), prompter)
        said = _in_words(answer["user_input"])
        if "confirmed" in schema["properties"]:
            answer["confirmed"] = True
    if item.needs_route_selection:
        answer["selected_choices"] = await _route(item, prompter)
        said = ", ".join(map(one_line, answer["selected_choices"]))
    if item.needs_executor_resolution:
        answer["executor_requirements"], said = await _executor(item, prompter)
    elif item.requires_confirmation:
        answer["confirmed"] = True
    return answer, said


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


async def _reject(item: StepRequirement, prompter: Prompter) -> Said:
    text = await prompter.line(f"what is wrong? ({_REJECTED.get(item.on_reject, item.on_reject)})")
    feedback = text.strip() or None
    said = "no" + (f": {shorten(one_line(feedback), 60)}" if feedback else "")
    return {"confirmed": False, "rejection_feedback": feedback}, said


async def _review(item: StepRequirement, prompter: Prompter) -> Said:
    loop = item.kind == "iteration_review"
    offered = {"a": "accept", "e": "edit", "r": "reject"}
    label = "accept or edit (ends the loop), or reject?" if loop else "accept, edit or reject?"
    while True:
        letter = await _letter(prompter, label, offered)
        if letter == "r":
            return await _reject(item, prompter)
        if letter == "a":
            return {"confirmed": True}, "accepted"
        try:
            edited = await _edited(item.reviewed_content, prompter)
        except ValueError as error:
            label = f"{one_line(error)}. accept, edit or reject?"
            continue
        return {"confirmed": True, "edited_output": edited}, "edited"


async def _edited(content: Any, prompter: Prompter) -> Any:
    """The content as edited: text as text, data as JSON."""
    if isinstance(content, str) or content is None:
        return await prompter.text("the new output", content or "", ".md")
    text = await prompter.text("the new output, as JSON", as_text(content), ".json")
    try:
        return read_json(text)
    except ValueError as error:
        raise ValueError(f"that is no JSON: {error}") from None


async def _form(lines: list[Blank], prompter: Prompter) -> dict[str, Any]:
    """Each line of the form; without any, ``name=value`` lines until an empty one."""
    if not lines:
        return await _pairs(prompter)
    values: list[tuple[Blank, Any]] = []
    for blank in lines:
        text = await prompter.line(
            f"{one_line(blank.name)} ({hint(blank)}):",
            default=default_text(blank),
            check=lambda text, blank=blank: parse(blank, text),  # type: ignore[misc]  # bound in this turn of the loop
            words=offered(blank),
        )
        values.append((blank, parse(blank, text)))
    return filled(values)


async def _pairs(prompter: Prompter) -> dict[str, Any]:
    values: dict[str, Any] = {}
    while True:
        line = await prompter.line("name=value (empty ends):", check=_pair if values else _first_pair)
        if not line.strip():
            return values
        name, _, value = line.partition("=")
        values[name.strip()] = value.strip()


def _pair(text: str) -> None:
    if text.strip() and "=" not in text:
        raise ValueError("write name=value")


def _first_pair(text: str) -> None:
    if "=" not in text:
        raise ValueError("write name=value")


def _in_words(values: dict[str, Any]) -> str:
    """``copies=2, address={"street": "Main"}``."""
    shown = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values.values())
    return shorten(
        ", ".join(f"{one_line(name)}={one_line(value)}" for name, value in zip(values, shown, strict=True)), 80
    )


async def _route(item: StepRequirement, prompter: Prompter) -> list[str]:
    offered = item.available_choices or []
    many = item.allow_multiple_selections
    text = await prompter.line(
        "which ones? (commas between)" if many else "which one?",
        check=lambda text: choices(text, offered) if many else choice(text, offered),
        words=offered,
    )
    return choices(text, offered) if many else [choice(text, offered)]


async def _executor(item: StepRequirement, prompter: Prompter) -> tuple[list[dict[str, Any]], str]:
    """The questions of an agent: tools to approve, forms to fill in, results to supply."""
    answers: list[dict[str, Any]] = []
    said: list[str] = []
    schemas = item.schema()["properties"]["executor_requirements"]["items"]["anyOf"]
    for asked, schema in zip(item.executor_requirements or (), schemas, strict=True):
        name = one_line(_tool(asked))
        answer: dict[str, Any] = {"id": asked.get("id")}
        if "anyOf" not in schema:
            answer["confirmation"] = await _letter(prompter, f"allow {name}?", {"y": "yes", "n": "no"}) == "y"
            if not answer["confirmation"]:
                answer["confirmation_note"] = (await prompter.line("why not?")).strip() or None
            said.append(f"{name}: {'yes' if answer['confirmation'] else 'no'}")
        else:
            need, wanted = next(iter(schema["anyOf"][0]["properties"].items()))
            if wanted.get("type") == "object":
                answer[need] = await _form(blanks(wanted, {}), prompter)
                said.append(f"{name}: input")
            else:
                answer[need] = await prompter.line(f"the result of {name}:")
                said.append(f"{name}: a result")
        answers.append(answer)
    return answers, ", ".join(said)


def _tool(asked: dict[str, Any]) -> str:
    execution = asked.get("tool_execution")
    found = execution.get("tool_name") if isinstance(execution, dict) else None
    return str(found or asked.get("tool_name") or asked.get("name") or "it")
