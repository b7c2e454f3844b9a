"""print_response on a pipe and on a terminal, run for real."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from rich.console import Console

from workflow_runtime import (
    Audio,
    File,
    Image,
    InMemoryDb,
    Parallel,
    RunContext,
    Step,
    StepContentEvent,
    StepInput,
    StepStartedEvent,
    Video,
    Workflow,
    WorkflowResumedEvent,
    WorkflowStartedEvent,
)
from workflow_runtime.console.lines import Lines
from workflow_runtime.console.surface import Options
from workflow_runtime.view.tree import View

from .streams import recording

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


async def shout(step_input: StepInput) -> str:
    return str(step_input.input).upper()


async def words(step_input: StepInput) -> AsyncIterator[str]:
    for word in ("one\n", "two ", "three\n", "four"):
        yield word


async def refuse(step_input: StepInput) -> str:
    raise LookupError("no such [b]page[/b]")


def pipe() -> Console:
    return Console(file=io.StringIO(), width=80)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.anyio
async def test_a_pipe_gets_plain_lines_and_no_control_codes() -> None:
    console = pipe()
    await Workflow(name="Two", steps=[shout, words]).aprint_response(
        "hi", run_id="r1", console=console, show_time=False
    )
    assert written(console).splitlines() == [
        "workflow Two",
        "run      r1",
        "input",
        "         | hi",
        "start    shout",
        "done     shout",
        "         | HI",
        "start    words",
        "done     words",
        "completed 2 steps",
        "         | one",
        "         | two three",
        "         | four",
    ]


@pytest.mark.anyio
async def test_a_pipe_that_asks_for_the_stream_gets_whole_lines_as_they_are_made() -> None:
    console = pipe()
    await Workflow(name="W", steps=[words, shout]).aprint_response("hi", console=console, stream=True, show_time=False)
    told = [line for line in written(console).splitlines() if line.startswith(("text", "done"))]
    assert told == [
        "text     words | one",
        "text     words | two three",
        "text     words | four",
        "done     words",
        "done     shout",
    ]


@pytest.mark.anyio
async def test_what_a_step_returns_cannot_forge_a_line_or_move_the_cursor() -> None:
    async def forge(step_input: StepInput) -> str:
        return "done     pay\n\x1b[2J\x1b[Hcompleted [red]x[/red]\r*"

    console = pipe()
    await Workflow(name="[bold]W\x1b[1m\n", steps=[forge, shout]).aprint_response("hi", console=console)
    text = written(console)
    assert CONTROL.search(text.replace("\n", "")) is None
    assert "workflow [bold]W␛[1m␊" in text
    assert "         | done     pay\n         | ␛[2J␛[Hcompleted [red]x[/red]␍*\n" in text


@pytest.mark.anyio
async def test_a_failure_is_shown_at_its_path_and_raised() -> None:
    console = pipe()
    workflow = Workflow(name="W", steps=[Parallel(Step(name="find", executor=refuse), name="both")])
    with pytest.raises(LookupError, match="no such"):
        await workflow.aprint_response("hi", console=console)
    text = written(console)
    assert "failed   both > find  LookupError: no such [b]page[/b]" in text
    assert "(0.both/0.find)" in text


@pytest.mark.anyio
async def test_a_pause_without_a_person_says_how_to_continue() -> None:
    console = pipe()
    ask = Step(name="publish", executor=shout, requires_confirmation=True, confirmation_message="Publish it?")
    await Workflow(name="W", steps=[ask], db=InMemoryDb()).aprint_response("hi", console=console, run_id="r1")
    text = written(console)
    assert "next     publish waits: Publish it?" in text
    assert "wfr answer r1" in text


@pytest.mark.anyio
async def test_a_pause_that_nothing_keeps_says_what_would_keep_it() -> None:
    console = pipe()
    ask = Step(name="publish", executor=shout, requires_confirmation=True)
    await Workflow(name="W", steps=[ask]).aprint_response("hi", console=console, run_id="r1")
    text = written(console)
    assert "next     publish waits: confirmation" in text
    assert "Workflow(db='sqlite:///runs.db')" in text
    assert "wfr answer" not in text
    assert "continue_run" not in text


@pytest.mark.anyio
async def test_cancelling_the_call_cancels_the_run_and_shows_it() -> None:
    console = pipe()
    started = anyio.Event()
    cancelled = anyio.Event()

    async def wait(step_input: StepInput) -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    workflow = Workflow(name="W", steps=[Step(name="wait", executor=wait)])
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def show() -> None:
                await workflow.aprint_response("hi", console=console)

            tasks.start_soon(show)
            await started.wait()
            tasks.cancel_scope.cancel()
    assert cancelled.is_set()
    assert "cancelled" in written(console)


@pytest.mark.anyio
async def test_a_terminal_ends_with_the_tree_and_the_answer_once() -> None:
    console = recording(80)
    await Workflow(name="Two", steps=[shout, words]).aprint_response("hi", console=console)
    text = console.export_text()
    assert text.index("✔ shout") < text.index("✔ words") < text.index("Completed in")
    assert text.count("two three") == 1


def test_the_sync_twin_draws_the_same_without_a_loop_of_the_callers() -> None:
    console = pipe()
    Workflow(name="Two", steps=[shout]).print_response("hi", console=console, markdown=False, show_step_details=False)
    assert "| HI" in written(console)


def test_a_reader_that_goes_away_ends_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    ran: list[str] = []

    async def first(step_input: StepInput) -> None:
        ran.append("first")

    with pytest.raises(BrokenPipeError):
        Workflow(name="W", steps=[first]).print_response("hi", console=Console(file=Gone(), width=80))
    assert ran == []


@pytest.mark.anyio
async def test_what_is_given_to_the_run_reaches_its_steps() -> None:
    async def tell(step_input: StepInput, run_context: RunContext) -> list[Any]:
        media = (step_input.images, step_input.audio, step_input.videos, step_input.files)
        return [
            step_input.input,
            step_input.additional_data,
            run_context.user_id,
            run_context.session_id,
            [[item.url for item in items or ()] for items in media],
        ]

    console = pipe()
    workflow = Workflow(name="Tell", steps=[tell], db=InMemoryDb())
    await workflow.aprint_response(
        {"a": 1},
        additional_data={"b": 2},
        user_id="ada",
        session_id="s1",
        audio=[Audio(url="https://x.test/a.mp3")],
        images=[Image(url="https://x.test/i.png")],
        videos=[Video(url="https://x.test/v.mp4")],
        files=[File(url="https://x.test/f.pdf")],
        stream=False,
        console=console,
    )
    output = await workflow.aget_last_run_output("s1")
    assert output is not None
    assert output.content == [
        {"a": 1},
        {"b": 2},
        "ada",
        "s1",
        [[f"https://x.test/{name}"] for name in ("i.png", "a.mp3", "v.mp4", "f.pdf")],
    ]
    assert "session  s1" in written(console)


@pytest.mark.anyio
@pytest.mark.parametrize("details", [True, False])
@pytest.mark.parametrize("times", [True, False])
async def test_outputs_of_steps_and_times_are_shown_as_wanted(details: bool, times: bool) -> None:
    console = pipe()
    await Workflow(name="Two", steps=[shout, words]).aprint_response(
        "hi", console=console, show_step_details=details, show_time=times
    )
    text = written(console)
    assert ("| HI" in text) is details
    assert bool(re.search(r"done +shout  \d+ms", text)) is times
    assert bool(re.search(r"completed in \d", text)) is times
    assert text.count("| two three") == 1  # the answer, in any case


@pytest.mark.anyio
async def test_a_pipe_says_that_another_process_goes_on_and_drops_the_line_that_was_begun() -> None:
    console, view = pipe(), View()
    lines = Lines(console, view, Options(stream=True, markdown=False, show_time=False, show_step_details=True))
    place = {"path": "0.a", "step_name": "a"}
    await lines.events(
        view.fold_all(
            [
                WorkflowStartedEvent(seq=1),
                StepStartedEvent(seq=2, **place),
            ],
            0.0,
        )
    )
    await lines.events([StepContentEvent(seq=3, delta="whole\nbegun", **place)])
    again = [
        WorkflowResumedEvent(seq=3, epoch=2, attempt=2, after_seq=2),
        StepStartedEvent(seq=4, epoch=2, **place),
        StepContentEvent(seq=5, epoch=2, delta="again\n", **place),
    ]
    view.fold_all(again, 0.0)
    await lines.events(again)
    await lines.close()
    assert written(console).splitlines() == [
        "start    a",
        "text     a | whole",
        "resumed  by another process; steps that had not ended start again",
        "start    a",
        "text     a | again",
    ]
