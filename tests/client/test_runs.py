"""Starting, reading and following runs of a server with the client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from server.serving import Served

from workflow_runtime import RunStatus, Step, StepInput, Workflow, WorkflowCompletedEvent
from workflow_runtime.client import Client

from .flows import greeting, talking

pytestmark = pytest.mark.anyio


async def test_a_run_is_awaited_for_its_output(served: Callable[..., Served], tmp_path: Path) -> None:
    server = served(greeting(tmp_path))
    async with Client(server.url) as client:
        output = await client.run("greeting", "you")
        assert (output.status, output.content) == (RunStatus.completed, "hello you")
        assert (await client.workflow("greeting").arun("me")).content == "hello me"


async def test_a_run_is_streamed_as_typed_events(served: Callable[..., Served], tmp_path: Path) -> None:
    local = talking(tmp_path)
    wanted = list(local.run("x", stream=True, stream_events=True))
    server = served(talking(tmp_path))
    async with Client(server.url) as client:
        run = client.workflow("talking").run("x", stream_events=True)
        events = [event async for event in run]
        assert [type(event) for event in events] == [type(event) for event in wanted]
        assert isinstance(events[-1], WorkflowCompletedEvent)
        assert {event.run_id for event in events} == {run.run_id}
        assert (await run.result()).content == events[-1].content == wanted[-1].content


async def test_a_server_without_a_database_serves_the_client_too(served: Callable[..., Served]) -> None:
    def greet(step_input: StepInput) -> str:
        return f"hello {step_input.input}"

    server = served(Workflow(name="Greeting", steps=[greet, Step("ask", executor=greet, requires_confirmation=True)]))
    async with Client(server.url) as client:
        greeting_ = client.workflow("greeting")
        paused = await greeting_.run("you")
        assert paused.is_paused
        paused.active_step_requirements[0].confirm()
        assert (await greeting_.continue_run(paused)).content == "hello you"
        events = [event async for event in greeting_.run("me", stream_events=True)]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert events[-1].event == "WorkflowPaused"
