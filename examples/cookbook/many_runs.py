"""Find runs by their tags, and retry all that have failed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from workflow_runtime import InMemoryDb, Runtime, StepInput, Workflow

broken = True


async def load(step_input: StepInput) -> str:
    if broken:
        raise ConnectionError("the warehouse is down")
    return f"loaded {step_input.input}"


async def main() -> None:
    global broken
    workflow = Workflow(steps=[load], db=InMemoryDb())
    for day in ("monday", "tuesday"):
        with suppress(ConnectionError):
            await workflow.arun(day, tags=["nightly"])
    print([run.input for run in await workflow.alist_runs(tags="nightly", status="error")])
    broken = False
    async with Runtime(workflow):
        await workflow.aretry_many(tags="nightly")
    print(sorted(run.content for run in await workflow.alist_runs(tags="nightly", status="completed")))


asyncio.run(main())

# prints:
# ['tuesday', 'monday']
# ['loaded monday', 'loaded tuesday']
