"""Sleep for a day inside a step: after a take-over, only the remaining time is slept. (A fake clock makes it short here.)"""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, RunContext, StepInput, Workflow
from workflow_runtime.testing import FakeClock


async def remind(step_input: StepInput, run_context: RunContext) -> str:
    await run_context.sleep(86_400)
    return "Do not forget!"


async def main() -> None:
    clock = FakeClock()
    workflow = Workflow(steps=[remind], db=InMemoryDb(), clock=clock)
    run = asyncio.create_task(workflow.arun("x"))
    await clock.wait_sleeping()
    clock.advance(86_400)
    print((await run).content)


asyncio.run(main())

# prints:
# Do not forget!
