"""Own background runs: a Runtime recovers interrupted runs and, at its end, waits for those in progress."""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, Runtime, StepInput, Workflow


async def work(step_input: StepInput) -> str:
    await asyncio.sleep(0.01)
    return f"{step_input.input} done"


async def main() -> None:
    workflow = Workflow(steps=[work], db=InMemoryDb())
    async with Runtime(workflow, recover=True, grace=5):
        started = [await workflow.arun(name, background=True) for name in ("a", "b")]
    outputs = [await workflow.aget_run(str(output.run_id)) for output in started]
    print([output.content for output in outputs if output])


asyncio.run(main())

# prints:
# ['a done', 'b done']
