"""Give a slow service half a second, then continue without it."""

from __future__ import annotations

import asyncio

from workflow_runtime import Step, StepInput, Workflow


async def enrich(step_input: StepInput) -> str:
    await asyncio.sleep(60)
    return "details"


def answer(step_input: StepInput) -> str:
    found = step_input.get_step_output("enrich")
    return "full answer" if found is not None and found.success else "short answer"


output = Workflow(steps=[Step("enrich", executor=enrich, timeout=0.05, on_error="skip"), answer]).run("x")
print(output.content)
print(output.step_results[0].error)

# prints:
# short answer
# 0.enrich took longer than its timeout of 0.05 s
