"""Answering a paused run from another terminal, and cancelling one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
from rich.console import Console
from rich.text import Text

from .. import BaseDb, ErrorRequirement, RunNotPaused, RunStatus, StepRequirement
from ..console.ask import Requirement, ask, form_of, question
from ..console.fields import Blank, choice, filled, parse
from ..console.person import Interrupted, Left, at_this_terminal
from ..model import codec
from ..model.text import read_json
from ..storage.base import RequirementRow
from ..view.clean import one_line
from .codes import Code, Stop, Work
from .runs import load_run
from .source import database, stand_in

__all__ = ["Answer", "answer", "cancel"]


@dataclass(frozen=True)
class Answer:
    """What the options of ``wfr answer`` say; all empty: ask at this terminal. ``edit`` is a file's name, then its text."""

    step: str | None = None
    yes: bool = False
    no: bool = False
    feedback: str | None = None
    values: Sequence[str] = ()
    choices: Sequence[str] = ()
    edit: str | None = None
    retry: bool = False
    skip: bool = False
    whole: str | None = None

    @property
    def is_given(self) -> bool:
        said = (self.yes, self.no, self.values, self.choices, self.retry, self.skip)
        return any(said) or self.edit is not None or self.whole is not None


def answer(url: str | None, console: Console, run_id: str, given: Answer, *, as_json: bool) -> Work:
    """Store the answer; whoever has the workflow goes on with the run. The first answer wins, in every process."""
    if given.edit is not None:
        given = replace(given, edit=_text_of(given.edit))
    return partial(_answer, url, console, run_id, given, as_json)


def _text_of(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(Code.usage, f"{file} cannot be read: {error}") from None


async def _answer(url: str | None, console: Console, run_id: str, given: Answer, as_json: bool) -> Code:
    async with database(url) as db:
        output, _ = await load_run(db, run_id)
        assert output.run_id is not None
        rows = [row for row in await db.load_requirements(output.run_id) if row.answered_at is None]
        if output.status != RunStatus.paused or not rows:
            status = RunStatus(output.status).value
            onward = f"; wfr continue MODULE:NAME {output.run_id} continues it" if status == "PAUSED" else ""
            raise Stop(Code.refused, f"run {output.run_id} waits for no answer: it is {status}{onward}")
        chosen = _chosen(rows, given.step) if given.is_given or given.step else rows
        answered: list[Requirement] = []
        for row in chosen:
            item = codec.decode_requirement(row.data, row)
            if given.is_given:
                _apply(item, given)
            else:
                await _asked(item, console)
            await _store(db, row, item)
            answered.append(item)
        left = len(rows) - len(answered)
    if as_json:
        found = {"run_id": output.run_id, "answered": [item.id for item in answered], "open": left}
        console.out(json.dumps(found), highlight=False)
    else:
        for item in answered:
            console.print(Text(f"answered: {one_line(item.step_name or item.path)}"))
        more = (
            f"{left} more to answer"
            if left
            else f"continue it where the workflow is: wfr continue MODULE:NAME {output.run_id}"
        )
        console.print(Text(more, style="dim"), soft_wrap=True)
    return Code.ok


def _chosen(rows: Sequence[RequirementRow], step: str | None) -> list[RequirementRow]:
    """The question that is meant: the only one, or that of a step's name, path or requirement id."""
    items = [(row, codec.decode_requirement(row.data, row)) for row in rows]
    found = [row for row, item in items if step in (None, item.step_name, item.path, item.id)]
    names = ", ".join(one_line(item.step_name or item.path) for _, item in items)
    if not found:
        raise Stop(Code.not_found, f"no open question of a step {step!r}; open: {names}")
    if len(found) > 1:
        raise Stop(Code.usage, f"several questions are open; choose one with --step: {names}")
    return found


def _apply(item: Requirement, given: Answer) -> None:
    """The options as an answer. Stop names what does not fit."""
    try:
        if given.whole is not None:
            item.answer(_json(given.whole, "--answer"))
        elif isinstance(item, ErrorRequirement):
            if given.retry == given.skip:
                raise ValueError("the step failed; answer with --retry or --skip")
            item.answer({"decision": "retry" if given.retry else "skip"})
        else:
            item.answer(_answer_of(item, given))
    except ValueError as error:
        raise Stop(Code.usage, f"{item.step_name or item.path}: {error}") from None


def _answer_of(item: StepRequirement, given: Answer) -> dict[str, Any]:
    """What the options say, in the names of ``StepRequirement.answer``."""
    if given.retry or given.skip:
        raise ValueError("--retry and --skip answer a failed step; this one asks for " + _wanted(item))
    for option, said, asked in (
        ("output to --edit", given.edit is not None, item.requires_output_review),
        ("form to --set", given.values, item.requires_user_input),
        ("routes to --choose", given.choices, item.requires_route_selection),
    ):
        if said and not asked:
            raise ValueError(f"it has no {option}; it asks for {_wanted(item)}")
    if given.no:
        return {"confirmed": False, "rejection_feedback": given.feedback}
    if (item.requires_user_input and not given.values) or (item.requires_route_selection and not given.choices):
        raise ValueError(f"that is no whole answer; it asks for {_wanted(item)}")
    answer: dict[str, Any] = {}
    if "confirmed" in item.schema()["properties"]:
        answer["confirmed"] = True
    elif given.yes:
        raise ValueError(f"it takes no --yes; give the --answer as JSON: {_wanted(item)}")
    if given.edit is not None:
        content = item.reviewed_content
        is_text = isinstance(content, str) or content is None
        answer["edited_output"] = given.edit if is_text else _json(given.edit, "--edit")
    if given.values:
        answer["user_input"] = _values(item, given.values)
    if given.choices:
        answer["selected_choices"] = [choice(name, item.available_choices or []) for name in given.choices]
    return answer


def _json(text: str, option: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise ValueError(f"{option} is no JSON: {error}") from None


def _values(item: StepRequirement, pairs: Sequence[str]) -> dict[str, Any]:
    """``name=value`` by the form's lines; an object is set whole as JSON, or by its parts (``address.zip=12345``)."""
    fields = {blank.name: blank for blank in form_of(item)}
    tops = {blank.path[0] for blank in fields.values() if len(blank.path) > 1}
    whole: dict[str, Any] = {}
    found: list[tuple[Blank, Any]] = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"--set {pair!r}: write name=value")
        if name in fields:
            found.append((fields[name], parse(fields[name], text)))
        elif name in tops:
            whole[name] = _json(text, f"--set {name}")
        elif fields:
            raise ValueError(f"there is no field {name!r}; the form has {', '.join(fields)}")
        else:
            whole[name] = text
    return {**whole, **filled(found)}


def _wanted(item: StepRequirement) -> str:
    wants = {
        "--yes or --no": item.needs_confirmation or item.needs_output_review,
        "--set name=value": item.needs_user_input,
        "--choose NAME": item.needs_route_selection,
        "--answer JSON (wfr pending --json has its schema)": item.needs_executor_resolution,
    }
    return " and ".join(option for option, wanted in wants.items() if wanted) or "nothing"


async def _asked(item: Requirement, console: Console) -> None:
    if not (console.is_terminal and sys.stdin.isatty()):
        hint = "--retry or --skip" if isinstance(item, ErrorRequirement) else _wanted(item)
        raise Stop(Code.usage, f"{item.step_name or item.path}: there is no terminal to ask at; answer with {hint}")
    console.print(question(item, console, True))
    try:
        await ask(item, at_this_terminal())
    except Left:
        raise Stop(Code.paused, "left for later; the run stays paused") from None
    except Interrupted:
        raise Stop(Code.interrupted, "nothing was answered") from None


async def _store(db: BaseDb, row: RequirementRow, item: Requirement) -> None:
    now = time.time()
    item.answered_at = now
    await db.answer([msgspec.structs.replace(row, data=codec.encode_requirement(item), answered_at=now)])


async def cancel(url: str | None, console: Console, run_id: str, *, wait: float, as_json: bool) -> Code:
    """Cancel a run, wherever it runs; wait up to ``wait`` seconds to see it end."""
    async with database(url) as db:
        output, _ = await load_run(db, run_id)
        assert output.run_id is not None
        workflow = stand_in(db, output.workflow_id, output.workflow_name)
        if not await workflow.acancel_run(output.run_id):
            status = RunStatus(output.status).value
            raise Stop(Code.refused, f"run {output.run_id} has ended already: it is {status}")
        status = await _ended(db, output.run_id, wait)
    if as_json:
        console.out(json.dumps({"run_id": output.run_id, "status": status.value}), highlight=False)
    elif status.is_final:
        console.print(Text(f"run {output.run_id} is {status.value}"), soft_wrap=True)
    else:
        console.print(
            Text(f"run {output.run_id} is to be cancelled; its process has not confirmed that yet"), soft_wrap=True
        )
    return Code.ok if status in (RunStatus.cancelled, RunStatus.running) else Code.refused


async def requeue(url: str | None, console: Console, run_id: str, *, as_json: bool) -> Code:
    """Let a run that was put aside be continued."""
    async with database(url) as db:
        output, _ = await load_run(db, run_id)
        assert output.run_id is not None
        try:
            await stand_in(db, output.workflow_id, output.workflow_name).requeue(output.run_id)
        except RunNotPaused as error:
            raise Stop(Code.refused, str(error)) from error
    if as_json:
        console.out(json.dumps({"run_id": output.run_id, "requeued": True}), highlight=False)
    else:
        console.print(Text(f"run {output.run_id} is continued by the next Runtime, or wfr recover"), soft_wrap=True)
    return Code.ok


async def _ended(db: BaseDb, run_id: str, wait: float) -> RunStatus:
    """The run's status once it is final, or after ``wait`` seconds."""
    with anyio.move_on_after(wait):
        while True:
            row = await db.load_run(run_id)
            if row is None or row.status.is_final:
                break
            await db.changed(run_id, seen=row.seq, timeout=0.5)
    row = await db.load_run(run_id)
    return row.status if row is not None else RunStatus.cancelled
