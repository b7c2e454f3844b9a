"""Ask a person inside a function, and continue at the same line."""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, RunContext, StepInput, Workflow


async def order(step_input: StepInput, run_context: RunContext) -> str:
    seats = await run_context.ask("How many seats?", schema=int)
    return f"a table for {seats}"


async def main() -> None:
    workflow = Workflow(steps=[order], db=InMemoryDb())
    paused = await workflow.arun("tonight")
    (question,) = await workflow.alist_pending()
    print(question.user_input_message)
    question.answer({"user_input": {"value": 4}})
    print((await workflow.acontinue_run(paused, step_requirements=[question])).content)


asyncio.run(main())

# prints:
# How many seats?
# a table for 4
