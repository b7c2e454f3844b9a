"""Fork a run and run the rest again: a fork shares the steps before it."""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, StepInput, Workflow

runs: list[str] = []


def research(step_input: StepInput) -> str:
    runs.append("research")
    return "facts"


def write(step_input: StepInput) -> str:
    runs.append("write")
    return f"text about {step_input.previous_step_content}"


async def main() -> None:
    workflow = Workflow(steps=[research, write], db=InMemoryDb())
    await workflow.arun("owls", run_id="r1")
    again = await workflow.fork("r1", at="1.write", outputs={"0.research": "better facts"})
    print(again.content, runs)


asyncio.run(main())

# prints:
# text about better facts ['research', 'write', 'write']
