"""Wait for a message from another program, received once however often it is sent."""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, RunContext, Runtime, StepInput, Workflow


async def ship(step_input: StepInput, run_context: RunContext) -> str:
    amount = await run_context.receive("payment", schema=int, timeout=3600)
    return f"{step_input.input} shipped for {amount}"


async def main() -> None:
    workflow = Workflow(steps=[ship], db=InMemoryDb())
    paused = await workflow.arun("order 7")
    run_id = str(paused.run_id)
    for _ in range(2):
        receipt = await workflow.asend(run_id, "payment", 20, message_id="evt_1")
        print(receipt.number, receipt.repeated)
    async with Runtime(workflow):  # it continues what a message has reached
        pass
    output = await workflow.aget_run(run_id)
    print(output.content if output else None)


asyncio.run(main())

# prints:
# 1 False
# 1 True
# order 7 shipped for 20
