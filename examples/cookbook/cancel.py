"""Cancel a run by its id; the text that a generator had produced is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from workflow_runtime import InMemoryDb, StepContentEvent, StepInput, Workflow


async def talk(step_input: StepInput) -> AsyncIterator[str]:
    yield "I was just saying "
    await asyncio.sleep(60)


async def main() -> None:
    workflow = Workflow(steps=[talk], db=InMemoryDb())
    async for event in workflow.arun("x", run_id="r1", stream=True, stream_events=True):
        if isinstance(event, StepContentEvent):
            await workflow.acancel_run("r1")
    output = await workflow.aget_run("r1")
    assert output is not None
    print(output.status.value, [(step.content, step.success) for step in output.step_results])


asyncio.run(main())

# prints:
# CANCELLED [('I was just saying ', False)]
