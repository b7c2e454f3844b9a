"""A server of workflows, a client of it that loses its connection, and a remote workflow as a step of a local one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from workflow_runtime import Step, StepContentEvent, StepInput, Workflow
from workflow_runtime.client import Client, RemoteWorkflow
from workflow_runtime.server import workflow_app


async def count(step_input: StepInput) -> AsyncIterator[str]:
    for number in range(1, 11):
        yield f"{number} "
        await asyncio.sleep(0.01)


def pay(step_input: StepInput) -> str:
    return f"paid {step_input.input}"


def build() -> list[Workflow]:
    """The server; usually ``wfr serve module:counting module:paying`` in its own process."""
    approval = Step("pay", executor=pay, requires_confirmation=True, confirmation_message="Pay this?")
    return [Workflow(name="Counting", steps=[count]), Workflow(name="Paying", steps=[approval])]


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The app on a free port of this process while the block lasts: its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def follow(client: Client) -> None:
    """Read a part of a run, lose everything, and go on from the last event that was read."""
    counting = client.workflow("counting")
    async with counting.run("x", background=True) as run:
        async for event in run:
            if isinstance(event, StepContentEvent) and event.delta == "4 ":
                break
    print("left behind event", run.last_event_id)
    async for event in counting.subscribe(run.run_id, after=run.last_event_id, kinds=[StepContentEvent]):
        if isinstance(event, StepContentEvent):
            print(event.delta, end="")
    print()


async def approve(client: Client) -> None:
    """The run pauses on the server; the answer comes from here."""
    paying = client.workflow("paying")
    paused = await paying.run(120)
    (asked,) = paused.active_step_requirements
    print(paused.status.value, asked.confirmation_message)
    asked.confirm()
    done = await paying.continue_run(paused)
    print(done.status.value, done.content)


async def nest(url: str) -> None:
    """A workflow of the server between two local steps."""
    workflow = Workflow(name="Local", steps=[RemoteWorkflow(url, "counting"), Step("total", executor=total)])
    async for event in workflow.arun("x", stream=True, stream_events=True):
        if event.event in ("StepStarted", "WorkflowCompleted"):
            print("  " * event.nested_depth + event.event, event.path)


def total(step_input: StepInput) -> int:
    return sum(map(int, str(step_input.previous_step_content).split()))


async def main() -> None:
    async with serving(workflow_app(build(), db="sqlite:///served.db")) as url, Client(url) as client:
        await follow(client)
        await approve(client)
        await nest(url)


if __name__ == "__main__":
    asyncio.run(main())
