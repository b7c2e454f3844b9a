"""Report the progress of a long step."""

from __future__ import annotations

import asyncio

from workflow_runtime import RunContext, StepInput, StepProgressEvent, Workflow


async def index(step_input: StepInput, run_context: RunContext) -> str:
    for number in range(1, 4):
        run_context.progress(number, 3, "files")
    return "indexed"


async def main() -> None:
    async for event in Workflow(steps=[index]).arun("x", stream=True, stream_events=True):
        if isinstance(event, StepProgressEvent):
            print(f"{event.done:g} of {event.total:g} {event.text}")


asyncio.run(main())

# prints:
# 1 of 3 files
# 2 of 3 files
# 3 of 3 files
