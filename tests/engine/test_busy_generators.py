"""A generator that never waits is held back by its reader, and stopped when the reader leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from workflow_runtime import InMemoryDb, RunStatus, Step, StepContentEvent, Workflow

pytestmark = pytest.mark.anyio

CHUNKS, TAKEN, BUFFER = 100_000, 200, 64


def made_by(kind: str, made: list[int]) -> Callable[[], Any]:
    async def waits_never() -> AsyncIterator[str]:
        for number in range(CHUNKS):
            made.append(number)
            yield "x"

    def synchronous() -> Iterator[str]:
        for number in range(CHUNKS):
            made.append(number)
            yield "x"

    return waits_never if kind == "async" else synchronous


@pytest.mark.parametrize(("kind", "offload"), [("async", True), ("on the loop", False), ("in a thread", True)])
async def test_leaving_the_stream_stops_a_generator_that_never_waits(kind: str, offload: bool) -> None:
    made: list[int] = []
    step = Step("busy", executor=made_by(kind, made), offload=offload)
    workflow = Workflow(name="Busy", steps=[step], db=InMemoryDb(), buffer_size=BUFFER)
    with anyio.fail_after(60):
        taken = 0
        async with workflow.arun(stream=True) as stream:
            async for event in stream:
                taken += isinstance(event, StepContentEvent)
                if taken == TAKEN:
                    break
        stored = await workflow.aget_run_output(stream.run_id)
    assert TAKEN <= len(made) <= TAKEN + BUFFER + 1
    assert stored is not None
    assert stored.status is RunStatus.cancelled
    (partial,) = stored.step_results
    assert (partial.step_name, partial.success) == ("busy", False)
    assert TAKEN <= len(partial.content) <= len(made)


async def test_a_cancelled_run_stops_a_generator_that_nobody_reads() -> None:
    made: list[int] = []
    workflow = Workflow(name="Busy", db=InMemoryDb())

    async def cancels_itself() -> AsyncIterator[str]:
        for number in range(CHUNKS):
            made.append(number)
            if number == TAKEN:
                assert workflow.cancel_run("busy")
            yield "x"

    workflow.steps = [cancels_itself]
    with anyio.fail_after(60):
        output = await workflow.arun(run_id="busy")
    assert output.status is RunStatus.cancelled
    assert len(made) == TAKEN + 1
