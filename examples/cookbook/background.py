"""Start a run in the background, do other work, and read its output later."""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, StepInput, Workflow


async def slow(step_input: StepInput) -> str:
    await asyncio.sleep(0.01)
    return "done at last"


async def main() -> None:
    workflow = Workflow(steps=[slow], db=InMemoryDb())
    started = await workflow.arun("x", background=True)
    print(started.status.value)
    async for _ in workflow.subscribe(str(started.run_id)):
        pass
    output = await workflow.aget_run(str(started.run_id))
    print(output.content if output else None)


asyncio.run(main())

# prints:
# PENDING
# done at last
