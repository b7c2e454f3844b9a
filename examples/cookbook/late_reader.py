"""Replay a run from any event: stored events first, then live ones."""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, StepInput, Workflow


def first(step_input: StepInput) -> str:
    return "one"


def second(step_input: StepInput) -> str:
    return "two"


async def main() -> None:
    workflow = Workflow(steps=[first, second], db=InMemoryDb(), store_events=True)
    await workflow.arun("x", run_id="r1")
    async for event in workflow.subscribe("r1", after=5):
        print(event.seq, event.event)


asyncio.run(main())

# prints:
# 6 StepOutput
# 7 StepCompleted
# 8 WorkflowCompleted
