"""A workflow that is a function: plain Python decides what runs next, and each step is recorded like a declared one."""

from __future__ import annotations

import asyncio
from typing import Any

from workflow_runtime import InMemoryDb, RunContext, StepInput, Workflow, WorkflowExecutionInput


async def guess(step_input: StepInput) -> int:
    low, high = step_input.input
    return int((low + high) // 2)


async def search(execution_input: WorkflowExecutionInput, run_context: RunContext) -> dict[str, Any]:
    """Bisection: how many steps there will be is known only as it runs."""
    low, high, target = 0, 100, execution_input.input
    tries = 0
    while True:
        tries += 1
        found = await run_context.step("guess", guess, input=[low, high])
        if found == target:
            return {"found": found, "tries": tries}
        low, high = (found, high) if found < target else (low, found)


async def main() -> None:
    workflow = Workflow(name="Bisection", steps=search, db=InMemoryDb())
    output = await workflow.arun(37)
    print(output.content)
    print("guesses:", *(step.content for step in output.step_results))


if __name__ == "__main__":
    asyncio.run(main())
