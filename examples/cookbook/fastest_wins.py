"""Ask several services and take the first answer; the others are cancelled."""

from __future__ import annotations

import asyncio

from workflow_runtime import Parallel, StepInput, Workflow


async def near(step_input: StepInput) -> str:
    return "answer from nearby"


async def far(step_input: StepInput) -> str:
    await asyncio.sleep(60)
    return "answer from far away"


output = Workflow(steps=[Parallel(far, near, name="ask", wait_for="first")]).run("x")
print([(step.step_name, step.success) for step in output.step_results[0].steps or []])

# prints:
# [('near', True)]
