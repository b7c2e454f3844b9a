"""Without a database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from workflow_runtime import Parallel, Step, StepInput, Workflow

__all__ = ["call", "chunks", "events", "first", "line", "parallel", "steps"]


async def same(step_input: StepInput) -> Any:
    return step_input.input


def line(count: int, nap: float = 0.0) -> list[Step]:
    async def rest(step_input: StepInput) -> Any:
        await asyncio.sleep(nap)
        return step_input.input

    return [Step(f"step{number}", executor=rest if nap else same) for number in range(count)]


def steps(count: int, nap: float) -> Callable[[], Awaitable[int]]:
    workflow = Workflow(name="steps", steps=line(count, nap))

    async def run() -> int:
        output = await workflow.arun("x")
        return sum(result.content == "x" for result in output.step_results)

    return run


def events(count: int) -> Callable[[], Awaitable[tuple[int, int]]]:
    workflow = Workflow(name="events", steps=line(count))

    async def stream() -> tuple[int, int]:
        seen = ended = 0
        async for event in workflow.arun("x", stream=True, stream_events=True):
            seen += 1
            ended += event.event == "StepCompleted"
        return seen, ended

    return stream


def chunks(count: int, patient: bool) -> Callable[[], Awaitable[int]]:
    async def speak(_given: StepInput) -> AsyncIterator[str]:
        for _ in range(count):
            if patient:
                await asyncio.sleep(0)
            yield "x"

    workflow = Workflow(name="chunks", steps=[speak])

    async def stream() -> int:
        read = 0
        async for event in workflow.arun("x", stream=True):
            if event.event == "StepContent":
                read += 1
        return read

    return stream


def first() -> Callable[[], Awaitable[float]]:
    workflow = Workflow(name="first", steps=line(3))

    async def wait() -> float:
        start = time.perf_counter()
        async with workflow.arun("x", stream=True, stream_events=True) as stream:
            await anext(stream)
            return time.perf_counter() - start

    return wait


def parallel(count: int, nap: float) -> Callable[[], Awaitable[int]]:
    workflow = Workflow(name="parallel", steps=[Parallel(*line(count, nap), name="all")])

    async def run() -> int:
        (together,) = (await workflow.arun("x")).step_results
        return sum(result.content == "x" for result in together.steps or ())

    return run


def call() -> Callable[[], int]:
    workflow = Workflow(name="call", steps=line(1))
    return lambda: sum(result.content == "x" for result in workflow.run("x").step_results)
