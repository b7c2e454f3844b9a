"""agno, 2 and 3: asynchronous functions as steps; its telemetry off and its log at WARNING."""

from __future__ import annotations

import asyncio
import logging
import os

os.environ["AGNO_TELEMETRY"] = "false"

from agno.run.workflow import StepCompletedEvent
from agno.workflow import Step, StepInput, StepOutput, Workflow

logging.getLogger("agno").setLevel(logging.WARNING)
CANNOT = {}


async def same(step_input: StepInput) -> StepOutput:
    return StepOutput(content=step_input.input)


def line(count, nap=0.0):
    async def rest(step_input: StepInput) -> StepOutput:
        await asyncio.sleep(nap)
        return StepOutput(content=step_input.input)

    return [Step(name=f"step{number}", executor=rest if nap else same) for number in range(count)]


def steps(count, nap):
    workflow = Workflow(name="steps", steps=line(count, nap), telemetry=False)

    async def run():
        output = await workflow.arun(input="x")
        return sum(result.content == "x" for result in output.step_results)

    return run


def events(count):
    workflow = Workflow(name="events", steps=line(count), telemetry=False)

    async def stream():
        seen = ended = 0
        async for event in workflow.arun(input="x", stream=True, stream_events=True):
            seen += 1
            ended += isinstance(event, StepCompletedEvent)
        return seen, ended

    return stream
