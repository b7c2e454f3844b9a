"""The live surface: few redraws, and a run that no terminal can slow down."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from rich.console import Console

from workflow_runtime import Step, StepInput, StepOutput, Workflow
from workflow_runtime.console import live
from workflow_runtime.console.response import respond

pytestmark = pytest.mark.anyio


def terminal(file: Any) -> Console:
    return Console(file=file, force_terminal=True, width=80, height=24, legacy_windows=False, _environ={})


def many(count: int) -> Workflow:
    async def speak(step_input: StepInput) -> AsyncIterator[str | StepOutput]:
        for _ in range(count):
            yield "word "
        yield StepOutput("the end")

    return Workflow(name="W", steps=[speak])


async def test_a_flood_of_text_is_drawn_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []
    draw = live.Live._draw

    def counted(self: live.Live, shot: Any) -> float:
        drawn.append(time.monotonic())
        return draw(self, shot)

    monkeypatch.setattr(live.Live, "_draw", counted)
    began = time.monotonic()
    output = await respond(many(20_000), "hi", console=terminal(io.StringIO()), interactive=False)
    assert output.content == "the end"
    assert len(drawn) <= 20 * (time.monotonic() - began) + 2


async def test_a_terminal_that_takes_nothing_does_not_hold_the_run_up() -> None:
    released = threading.Event()
    blocked = threading.Event()
    ended = anyio.Event()

    class Stuck(io.StringIO):
        """Takes the first pictures, then nothing until it is released."""

        def write(self, text: str) -> int:
            if "word" in text and not released.is_set():
                blocked.set()
                released.wait(60)
            return super().write(text)

    async def speak(step_input: StepInput) -> AsyncIterator[str | StepOutput]:
        yield "word "
        await anyio.to_thread.run_sync(blocked.wait, 60)  # the terminal is stuck with a picture of this
        for _ in range(5_000):
            yield "word "
        ended.set()
        yield StepOutput("the end")

    async with anyio.create_task_group() as tasks:

        async def show() -> None:
            await respond(Workflow(name="W", steps=[speak]), "hi", console=terminal(Stuck()), interactive=False)

        tasks.start_soon(show)
        try:
            with anyio.fail_after(60):
                await ended.wait()
            assert blocked.is_set()
        finally:
            released.set()


async def test_a_picture_that_cannot_be_drawn_does_not_fail_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            told.set()

    async def patient(step_input: StepInput) -> str:
        await anyio.to_thread.run_sync(told.wait, 60)
        return "the end"

    def broken(self: live.Live, shot: Any) -> float:
        raise ZeroDivisionError("a bug in the drawing")

    monkeypatch.setattr(live.Live, "_draw", broken)
    logger = logging.getLogger("workflow_runtime")
    handler = Handler()
    logger.addHandler(handler)
    try:
        workflow = Workflow(name="W", steps=[patient])
        output = await respond(workflow, "hi", console=terminal(io.StringIO()), interactive=False)
    finally:
        logger.removeHandler(handler)
    assert output.content == "the end"
    assert any("the run continues" in text for text in said)


async def test_the_cursor_is_given_back_however_the_run_ends() -> None:
    async def fail(step_input: StepInput) -> None:
        raise ValueError("no")

    file = io.StringIO()
    with pytest.raises(ValueError, match="no"):
        await respond(Workflow(name="W", steps=[Step(name="s", executor=fail)]), "hi", console=terminal(file))
    assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")
