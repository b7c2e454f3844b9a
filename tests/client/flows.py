"""Workflows that the tests serve."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio.lowlevel

from workflow_runtime import Loop, Parallel, RunContext, Step, StepInput, Workflow

__all__ = ["database", "greeting", "talking"]


def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


def greeting(tmp_path: Path) -> Workflow:
    def greet(step_input: StepInput) -> str:
        return f"hello {step_input.input}"

    return Workflow(name="Greeting", steps=[greet], db=database(tmp_path))


def talking(tmp_path: Path, words: int = 20) -> Workflow:
    """Text in chunks, in parallel and in a loop, with events of its own."""

    async def talk(step_input: StepInput) -> AsyncIterator[str]:
        for number in range(words):
            yield f"{number} "
            await anyio.lowlevel.checkpoint()

    async def note(step_input: StepInput, run_context: RunContext) -> str:
        run_context.emit({"name": "noted", "at": step_input.input})
        return "noted"

    steps = [
        Step("talk", executor=talk),
        Parallel(Step("left", executor=talk), Step("right", executor=note), name="both"),
        Loop([Step("again", executor=note)], max_iterations=3, name="rounds"),
    ]
    return Workflow(name="Talking", steps=steps, db=database(tmp_path), store_events=True)
