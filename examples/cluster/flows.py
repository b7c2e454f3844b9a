"""The workflow that the workers run and the client hands over: three steps, of which one writes text as it is made."""

from collections.abc import AsyncIterator

import anyio

from workflow_runtime import StepInput, Workflow


async def collect(step_input: StepInput) -> str:
    await anyio.sleep(0.05)
    return f"facts about {step_input.input}"


async def write(step_input: StepInput) -> AsyncIterator[str]:
    for word in f"A report with {step_input.previous_step_content}.".split():
        await anyio.sleep(0.02)
        yield f"{word} "


async def publish(step_input: StepInput) -> str:
    return f"published: {step_input.previous_step_content}".strip()


report = Workflow(name="report", steps=[collect, write, publish])
