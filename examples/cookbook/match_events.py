"""Match the events of a run by class."""

from __future__ import annotations

import asyncio

from workflow_runtime import StepCompletedEvent, StepInput, StepStartedEvent, Workflow, WorkflowCompletedEvent


def shout(step_input: StepInput) -> str:
    return str(step_input.input).upper()


async def main() -> None:
    async for event in Workflow(steps=[shout]).arun("hi", stream=True, stream_events=True):
        match event:
            case StepStartedEvent(step_name=name):
                print("started", name)
            case StepCompletedEvent(content=content):
                print("made", content)
            case WorkflowCompletedEvent():
                print("done")


asyncio.run(main())

# prints:
# started shout
# made HI
# done
