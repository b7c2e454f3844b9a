"""``python wire_server.py DATABASE``: serve two workflows, by whatever version is imported; prints the port."""

from __future__ import annotations

import asyncio
import datetime
import socket
import sys
from decimal import Decimal

import uvicorn

from workflow_runtime import Parallel, Step, Workflow
from workflow_runtime.server import workflow_app


async def talk(step_input):  # type: ignore[no-untyped-def]
    for word in ("one ", "two "):
        yield word


def bill(step_input):  # type: ignore[no-untyped-def]
    return {"due": datetime.date(2030, 1, 2), "sum": Decimal("9.90")}


async def wait(step_input):  # type: ignore[no-untyped-def]
    await asyncio.sleep(3600)


async def ask(step_input, run_context):  # type: ignore[no-untyped-def]
    return f"paid {await run_context.ask('How much?', int)}"


async def main() -> None:
    db = sys.argv[1]
    shop = [
        Step("talk", executor=talk),
        Parallel(Step("bill", executor=bill), Step("other", executor=talk), name="both"),
        Step("sign", executor=bill, requires_confirmation=True),
        Step("pay", executor=ask),
    ]
    app = workflow_app([Workflow(name="shop", steps=shop), Workflow(name="slow", steps=[wait])], db=db)
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_config=None)).serve(sockets=[listening])


asyncio.run(main())
