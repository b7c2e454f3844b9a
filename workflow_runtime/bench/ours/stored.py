"""With a database."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from workflow_runtime import Map, Step, StepInput, Workflow, WorkflowRunOutput

from .plain import line, same

__all__ = ["dies", "paused", "recovers", "replay", "saved"]


class Saved:
    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow

    async def run(self, session: str) -> int:
        return _steps(await self.workflow.arun("x", session_id=session))

    async def stored(self, session: str) -> int:
        return _steps(await self.workflow.aget_last_run_output(session))


def _steps(output: WorkflowRunOutput | None) -> int:
    return sum(result.content == "x" for result in output.step_results) if output is not None else 0


async def _close(workflow: Workflow) -> None:
    assert workflow.db is not None
    await workflow.db.aclose()


@asynccontextmanager
async def saved(url: str, count: int, durability: str, events: bool) -> AsyncIterator[Saved]:
    workflow = Workflow(name="saved", db=url, steps=line(count), durability=durability, store_events=events)
    try:
        yield Saved(workflow)
    finally:
        await _close(workflow)


@asynccontextmanager
async def replay(url: str, count: int) -> AsyncIterator[Callable[[], Awaitable[tuple[int, int]]]]:
    async def over(_given: StepInput) -> list[int]:
        return list(range(count // 2))

    items = Map(Step("item", executor=same), over=over, max_concurrency=50)
    workflow = Workflow(name="replay", db=url, steps=[items], store_events=True)
    output = await workflow.arun("x")

    async def read() -> tuple[int, int]:
        numbers = [event.seq async for event in workflow.subscribe(str(output.run_id))]
        assert numbers == list(range(1, len(numbers) + 1))
        return len(numbers), output.last_seq

    try:
        yield read
    finally:
        await _close(workflow)


class Paused:
    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow

    async def pause(self, session: str) -> WorkflowRunOutput | None:
        output = await self.workflow.arun("x", session_id=session)
        return output if output.status == "PAUSED" else None

    async def go_on(self, paused: WorkflowRunOutput) -> int:
        (requirement,) = paused.step_requirements or []
        requirement.confirm()
        return _steps(await self.workflow.acontinue_run(paused))


@asynccontextmanager
async def paused(url: str) -> AsyncIterator[Paused]:
    first, _, last = line(3)
    asks = Step("asks", executor=same, requires_confirmation=True)
    workflow = Workflow(name="paused", db=url, steps=[first, asks, last])
    try:
        yield Paused(workflow)
    finally:
        await _close(workflow)


def note(log: str, number: int) -> None:
    with Path(log).open("a") as file:
        file.write(f"{number}\n")


def _logged(url: str, log: str, deadly: int | None = None) -> Workflow:
    """Ten steps that add their number to the log; ``deadly`` is the one that kills the process."""

    def step(number: int) -> Step:
        async def work(step_input: StepInput) -> Any:
            note(log, number)
            if number == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return step_input.input

        return Step(f"step{number}", executor=work)

    steps = [step(number) for number in range(10)]
    return Workflow(name="recovery", db=url, steps=steps, durability="sync", store_events=True, lease=0.5)


async def dies(url: str, log: str) -> None:
    await _logged(url, log, deadly=5).arun("x", run_id="recovered")


async def recovers(url: str, log: str) -> int:
    workflow = _logged(url, log)
    try:
        for run_id in await workflow.recover():
            async for _ in workflow.subscribe(run_id):
                pass
        return _steps(await workflow.aget_run_output("recovered"))
    finally:
        await _close(workflow)
