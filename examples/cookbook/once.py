"""Charge a card once, however often the step is retried: the result is recorded in the run's journal."""

from __future__ import annotations

from workflow_runtime import InMemoryDb, RunContext, Step, StepInput, Workflow

charged: list[int] = []


async def charge(amount: int) -> str:
    charged.append(amount)
    return f"receipt {len(charged)}"


async def pay(step_input: StepInput, run_context: RunContext) -> str:
    receipt: str = await run_context.once("charge", lambda: charge(120))
    if run_context.attempt == 1:
        raise ConnectionError("the mail server is down")
    return f"mailed {receipt}"


workflow = Workflow(steps=[Step("pay", executor=pay, max_retries=1)], db=InMemoryDb())
print(workflow.run("x").content, charged)

# prints:
# mailed receipt 1 [120]
