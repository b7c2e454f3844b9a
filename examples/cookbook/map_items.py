"""Do the same for every item, at most four at a time; outputs are in the order of the items."""

from __future__ import annotations

import asyncio

from workflow_runtime import Map, Step, StepInput, Workflow


async def square(step_input: StepInput) -> int:
    await asyncio.sleep(0)
    return int(step_input.input) ** 2


workflow = Workflow(steps=[Map(Step("square", executor=square), over="input", name="squares", max_concurrency=4)])
output = workflow.run([1, 2, 3, 4, 5])
print([step.content for step in output.step_results[0].steps or []])

# prints:
# [1, 4, 9, 16, 25]
