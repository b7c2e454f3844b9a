"""Hand out an address at which a webhook can send one message, without credentials."""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, MessageConflict, RunContext, Workflow

addresses: list[str] = []


async def charge(run_context: RunContext) -> str:
    callback = await run_context.callback("paid", expires=3600)
    await run_context.once("order", lambda: addresses.append(callback.url("https://flows.example.com")))
    paid = await run_context.receive("paid")
    return f"paid {paid['amount']}"


async def main() -> None:
    workflow = Workflow(steps=[charge], db=InMemoryDb())
    paused = await workflow.arun("order 7")
    base, _, token = addresses[0].rpartition("/")
    print(base)
    await workflow.acall_back(token, {"amount": 20})  # what the server does with a POST to this address
    try:
        await workflow.acall_back(token, {"amount": 1})
    except MessageConflict:
        print("used once")
    print((await workflow.acontinue_run(run_id=paused.run_id)).content)


asyncio.run(main())

# prints:
# https://flows.example.com/callbacks
# used once
# paid 20
