"""A workflow as an agent of AG-UI: the messages of its front end, here with the protocol's own models."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ag_ui.core as ag
import httpx2
import pydantic
import uvicorn

from workflow_runtime import RunContext, Step, StepInput, Workflow
from workflow_runtime.server import workflow_app

EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ag.Event)


async def draft(step_input: StepInput, run_context: RunContext) -> AsyncIterator[str]:
    run_context.session_state["drafts"] = run_context.session_state.get("drafts", 0) + 1
    for word in ("Dear ", f"{step_input.input}, ", "hello."):
        yield word


def send(step_input: StepInput) -> str:
    return "sent"


def build() -> Workflow:
    approval = Step("send", executor=send, requires_confirmation=True, confirmation_message="Send it?")
    return Workflow(name="Letter", steps=[draft, approval])


@asynccontextmanager
async def serving(workflow: Workflow) -> AsyncIterator[str]:
    """The workflow's agent on a free port of this process while the block lasts: its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = workflow_app(workflow, db="sqlite:///letters.db")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/workflows/{workflow.id}/agui"
    server.should_exit = True
    await task


async def talk(url: str, asked: ag.RunAgentInput) -> list[Any]:
    """One run: its events, printed as they come."""
    events: list[Any] = []
    body = asked.model_dump_json(by_alias=True)
    async with (
        httpx2.AsyncClient() as http,
        http.stream("POST", url, content=body, headers={"Content-Type": "application/json"}) as answer,
    ):
        async for frame in httpx2.EventSource(answer):
            event = EVENT.validate_json(frame.data)
            events.append(event)
            said = getattr(event, "delta", None) or getattr(event, "step_name", None) or ""
            print(f"{event.type.value:22} {said}")
    return events


async def main() -> None:
    async with serving(build()) as agent:
        hello = ag.UserMessage(id="1", content="Ada")
        first = await talk(agent, ag.RunAgentInput(thread_id="t", run_id="r1", messages=[hello]))
        (question,) = first[-1].outcome.interrupts
        print("->", question.message, sorted(question.response_schema["properties"]))
        yes = ag.ResumeEntry(interrupt_id=question.id, status="resolved", payload={"confirmed": True})
        second = await talk(agent, ag.RunAgentInput(thread_id="t", run_id="r2", messages=[hello], resume=[yes]))
        print("->", second[-1].result)


if __name__ == "__main__":
    asyncio.run(main())
