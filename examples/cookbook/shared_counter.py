"""Fifty concurrent runs of one session count to fifty."""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, RunContext, StepInput, Workflow


async def count(step_input: StepInput, run_context: RunContext) -> None:
    async with run_context.edit_state() as state:
        state["n"] = state.get("n", 0) + 1


async def main() -> None:
    workflow = Workflow(steps=[count], db=InMemoryDb(), session_id="shared")
    await asyncio.gather(*(workflow.arun(n) for n in range(50)))
    print(await workflow.aget_session_state("shared"))


asyncio.run(main())

# prints:
# {'n': 50}
