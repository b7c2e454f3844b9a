"""What type checkers must find out about the client's verbs. Never run: test_typing.py has it checked. (style 12)"""
# pyright: strict

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from workflow_runtime import (
    ErrorRequirement,
    Event,
    HistoryEntry,
    Step,
    StepRequirement,
    Workflow,
    WorkflowRunOutput,
    WorkflowSession,
)
from workflow_runtime.client import (
    Client,
    Page,
    RemoteRun,
    RemoteSubscription,
    RemoteWorkflow,
    RunSummary,
    WorkflowClient,
)

Awaited = Coroutine[Any, Any, WorkflowRunOutput]


async def running(client: Client, decided_later: bool) -> None:
    remote = assert_type(client.workflow("w"), WorkflowClient)
    assert_type(client.run("w", "x"), RemoteRun)
    assert_type(await client.run("w", "x"), WorkflowRunOutput)
    assert_type(client.arun("w", "x", stream=True), RemoteRun)
    _ = assert_type(client.arun("w", "x"), Awaited)
    assert_type(remote.run({"a": 1}, session_id="s"), RemoteRun)
    _ = assert_type(remote.arun("x"), Awaited)
    assert_type(remote.arun("x", stream=True), RemoteRun)
    _ = assert_type(remote.arun("x", stream=decided_later), RemoteRun | Awaited)
    remote.run("x", sesion_id="s")  # type: ignore[call-arg]  # a misspelt parameter is an error
    async for event in remote.run("x"):
        assert_type(event, Event)
    async with remote.run("x") as run:
        assert_type(await run.result(), WorkflowRunOutput)
        assert_type(run.last_event_id, str)


async def continuing(remote: WorkflowClient, paused: WorkflowRunOutput) -> None:
    assert_type(remote.continue_run(paused), RemoteRun)
    assert_type(await remote.continue_run(run_id="r", answers={"q": {"confirmed": True}}), WorkflowRunOutput)
    _ = assert_type(remote.acontinue_run(paused), Awaited)
    assert_type(remote.acontinue_run(paused, stream=True), RemoteRun)
    assert_type(await remote.fork("r", at="0.step"), WorkflowRunOutput)


async def reading(remote: WorkflowClient) -> None:
    assert_type(await remote.aget_run("r"), WorkflowRunOutput | None)
    assert_type(await remote.alist_runs(), Page[RunSummary])
    assert_type(await remote.acancel_run("r"), bool)
    assert_type(await remote.alist_pending(), list[StepRequirement | ErrorRequirement])
    assert_type(await remote.history("r"), list[HistoryEntry])
    assert_type(await remote.aget_session("s"), WorkflowSession | None)
    assert_type(await remote.aget_session_state("s"), dict[str, Any])
    assert_type(await remote.adelete_session("s"), bool)
    events = assert_type(remote.subscribe("r", after="1-2"), RemoteSubscription)
    async for event in events:
        assert_type(event, Event)


def as_a_step() -> Workflow:
    far = RemoteWorkflow("http://localhost:8000", "far")
    return Workflow(steps=[far, Step(agent=far, name="again")])
