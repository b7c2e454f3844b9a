"""Commands that need the workflow itself: run, continue, fork, recover."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.text import Text

from .. import RunNotFound, RunStatus, Unanswered, Workflow, WorkflowRunOutput
from ..console.follow import Elsewhere
from ..console.pauses import still_open
from ..console.person import Interrupted, Prompter
from ..console.response import continued, converse, is_live, person_at, respond, surface_for
from ..console.signals import Interruptible, on_ctrl_c
from ..console.surface import Options
from ..model.text import read_json
from ..view.tree import View
from .codes import Code, Stop, Work, code_of
from .source import load, parse_input

__all__ = ["Shown", "continue_run", "fork_run", "recover_runs", "run"]


@dataclass(frozen=True)
class Shown:
    """How the run is shown, and who answers where it pauses."""

    stream: bool | None = None
    markdown: bool = True
    details: bool = True
    interactive: bool | None = None
    wait: bool = False
    as_json: bool = False

    def options(self, console: Console) -> Options:
        stream = is_live(console) if self.stream is None else self.stream
        return Options(stream, self.markdown, True, self.details, is_stored=True)


def run(
    target: str,
    given: str | None,
    console: Console,
    shown: Shown,
    *,
    db: str | None,
    as_text: bool,
    keep_events: bool,
    **options: Any,
) -> Work:
    """Run a workflow; the code says how it ended."""
    workflow = _loaded(target, db, keep_events)
    value = parse_input(given, as_text)
    options = {name: option for name, option in options.items() if option is not None}
    person = Person.at(console, shown.interactive)

    async def work() -> WorkflowRunOutput:
        if shown.as_json and shown.stream:
            return await _as_events(workflow.arun(value, stream=True, stream_events=True, **options), console)
        if shown.as_json:
            return await _as_output(workflow.arun(value, stream=False, **options), console)
        return await respond(
            workflow,
            value,
            stream=shown.stream,
            markdown=shown.markdown,
            show_step_details=shown.details,
            console=console,
            interactive=False,
            prompter=person,
            wait=shown.wait,
            **options,
        )

    return partial(_ended, workflow, work, person)


def _loaded(target: str, db: str | None, keep_events: bool = True) -> Workflow:
    """The workflow; its events are stored, so that other terminals can follow the run, and a report can be written."""
    workflow = load(target, db)
    if workflow.db is not None and keep_events:
        workflow.store_events = True
    return workflow


def continue_run(target: str, run_id: str, console: Console, shown: Shown, *, db: str | None) -> Work:
    """Go on with a paused run, asking what is open if a person is here."""
    workflow = _loaded(target, db)
    person = Person.at(console, shown.interactive)

    async def work() -> WorkflowRunOutput:
        output = await _stored(workflow, run_id)
        if not output.is_paused:
            raise Stop(Code.refused, f"run {run_id} is not paused; it is {RunStatus(output.status).value}")
        if not shown.as_json:
            return await continued(workflow, output, console, shown.options(console), person, wait=shown.wait)
        names = ", ".join(item.step_name or item.path for item in still_open(output))
        waiting = Stop(Code.paused, f"run {run_id} waits for an answer: {names}")
        if any(item.kind != "receive" for item in still_open(output)):
            raise waiting
        try:
            return await _as_output(workflow.acontinue_run(run_id=output.run_id, stream=False), console)
        except Unanswered:  # no message has come
            raise waiting from None

    return partial(_ended, workflow, work, person)


def fork_run(
    target: str,
    run_id: str,
    console: Console,
    shown: Shown,
    *,
    db: str | None,
    at: str | None,
    outputs: Sequence[str],
    state: str | None,
) -> Work:
    """Start a new run that shares another one's beginning, and show it."""
    workflow = _loaded(target, db)
    replaced = dict(map(_pair, outputs)) or None
    merged = parse_input(state, False) if state else None
    person = Person.at(console, shown.interactive)

    async def work() -> WorkflowRunOutput:
        source = await _stored(workflow, run_id)
        place = int(at) if at is not None and at.isdigit() else at
        try:
            forked = await workflow.fork(str(source.run_id), place, merged, replaced, background=True)
        except LookupError as error:
            raise Stop(Code.not_found, str(error.args[0] if error.args else error)) from None
        return await _shown(workflow, str(forked.run_id), console, shown, person)

    return partial(_ended, workflow, work, person)


def _pair(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals:
        raise Stop(Code.usage, f"--output {text!r}: write PATH=VALUE, VALUE as JSON or text")
    try:
        return path, read_json(value)
    except ValueError:
        return path, value


def recover_runs(target: str, console: Console, shown: Shown, *, db: str | None) -> Work:
    """Take over the runs whose process died, and show each to its end."""
    workflow = _loaded(target, db)
    if workflow.db is None:
        raise Stop(Code.usage, f"{target} has no database to recover runs from; pass --db")
    codes: list[Code] = [Code.ok]
    person = Person.at(console, shown.interactive)

    async def work() -> None:
        ids = await workflow.recover()
        if shown.as_json:
            console.out(json.dumps(ids), highlight=False)
        elif not ids:
            console.print(Text("no interrupted runs", style="dim"))
        for run_id in ids:
            if not shown.as_json:
                console.print(Text(f"run {run_id}", style="bold"))
            codes.append(code_of((await _shown(workflow, run_id, console, shown, person)).status))

    async def all_of_them() -> Code:
        return max(await _ended(workflow, work, person), *codes)

    return all_of_them


# -- what they share --------------------------------------------------------------------------------------------------


class Person:
    """The person at this terminal, and whether they pressed Ctrl-C at a question: it cancels the run, as it does while
    the run is at work, and the exit code is the same."""

    def __init__(self, prompter: Prompter) -> None:
        self._prompter = prompter
        self.interrupted = False

    @classmethod
    def at(cls, console: Console, interactive: bool | None) -> Person | None:
        prompter = person_at(console, interactive)
        return cls(prompter) if prompter is not None else None

    async def line(self, label: str, **options: Any) -> str:
        return await self._heard(self._prompter.line(label, **options))

    async def text(self, label: str, default: str, suffix: str) -> str:
        return await self._heard(self._prompter.text(label, default, suffix))

    async def _heard(self, answer: Awaitable[str]) -> str:
        try:
            return await answer
        except Interrupted:
            self.interrupted = True
            raise


async def _ended(
    workflow: Workflow, work: Callable[[], Awaitable[WorkflowRunOutput | None]], person: Person | None
) -> Code:
    """Do it so that Ctrl-C cancels the run and the end is still seen; the code for how it ended."""
    doing = Interruptible()
    output: WorkflowRunOutput | None = None
    try:
        with on_ctrl_c(doing.interrupt), doing.work() as scope:
            try:
                output = await work()
            except Exception as error:
                if isinstance(getattr(error, "run_output", None), WorkflowRunOutput):
                    return Code.failed  # the run failed, and that was shown
                raise
        if scope.cancelled_caught or (person is not None and person.interrupted):
            return Code.interrupted
        return code_of(output.status) if output is not None else Code.ok
    finally:
        if workflow.db is not None:
            await workflow.db.aclose()


async def _shown(
    workflow: Workflow, run_id: str, console: Console, shown: Shown, person: Person | None
) -> WorkflowRunOutput:
    """A run that goes on in the background of this process."""
    stream = Elsewhere(workflow, run_id, 0)
    if shown.as_json:
        while await stream.take_some():
            pass
        return await _as_output(stream.result(), console)
    options = shown.options(console)
    view = View(workflow.name or workflow.id, workflow.outline())
    surface = surface_for(console, view, options)
    return await converse(workflow, stream, view, surface, options, person, wait=shown.wait)


async def _as_output(work: Awaitable[WorkflowRunOutput], console: Console) -> WorkflowRunOutput:
    try:
        output = await work
    except Exception as error:
        found = getattr(error, "run_output", None)
        if isinstance(found, WorkflowRunOutput):
            _print_json(found.to_dict(), console)
        raise
    _print_json(output.to_dict(), console)
    return output


async def _as_events(stream: Any, console: Console) -> WorkflowRunOutput:
    async for event in stream:
        _print_json(event.to_dict(), console)
    output: WorkflowRunOutput = await stream.result()
    return output


def _print_json(data: Any, console: Console) -> None:
    console.out(json.dumps(data, ensure_ascii=False, default=str), highlight=False)


async def _stored(workflow: Workflow, run_id: str) -> WorkflowRunOutput:
    output = await workflow.aget_run(run_id) if workflow.db is not None else None
    if output is None:
        where = "the workflow has no db; pass --db" if workflow.db is None else "wfr runs lists those there are"
        raise RunNotFound(f"no run {run_id!r}: {where}")
    return output
