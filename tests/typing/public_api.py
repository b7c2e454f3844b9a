"""What type checkers must find out about the public verbs. Never run: test_typing.py has it checked. (style 12)"""
# pyright: strict

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from workflow_runtime import (
    Event,
    InMemoryDb,
    Parallel,
    RunContext,
    RunStream,
    SessionMetrics,
    Step,
    StepInput,
    StepOutput,
    SyncRunStream,
    Workflow,
    WorkflowChatInteraction,
    WorkflowRunOutput,
    WorkflowSession,
)
from workflow_runtime.backends import SqliteDb

Awaited = Coroutine[Any, Any, WorkflowRunOutput]


def building() -> Workflow:
    def function(step_input: StepInput) -> str | None:
        return step_input.get_input_as_string()

    async def coroutine(step_input: StepInput, run_context: RunContext) -> StepOutput:
        return StepOutput(run_context.run_id)

    Workflow(name="w", steps=[Step(name="s", executor=coroutine)], db=SqliteDb("runs.db"))
    Workflow(sesion_id="s")  # type: ignore[call-arg]  # a misspelt parameter is an error
    return Workflow(name="w", steps=[function, Parallel(function, name="p")], db=InMemoryDb())


def running(workflow: Workflow, decided_later: bool) -> None:
    assert_type(workflow.run("x"), WorkflowRunOutput)
    assert_type(workflow.run("x", stream=False), WorkflowRunOutput)
    assert_type(workflow.run("x", stream=None), WorkflowRunOutput)
    assert_type(workflow.run("x", stream=True), SyncRunStream)
    assert_type(workflow.run("x", stream=decided_later), WorkflowRunOutput | SyncRunStream)
    assert_type(workflow.run({"a": 1}, {"b": 2}, "user", session_id="s"), WorkflowRunOutput)
    workflow.run("x", stream="yes")  # type: ignore[call-overload]  # no stream, and no error at run time either
    workflow.run("x", session_id=1)  # type: ignore[call-overload]
    for event in workflow.run("x", stream=True, stream_events=True):
        assert_type(event, Event)
    with workflow.run("x", stream=True) as stream:
        assert_type(stream.result(), WorkflowRunOutput)
        assert_type(stream.run_id, str)


async def running_on_a_loop(workflow: Workflow, decided_later: bool) -> None:
    _ = assert_type(workflow.arun("x"), Awaited)
    assert_type(await workflow.arun("x"), WorkflowRunOutput)
    assert_type(await workflow.arun("x", background=True), WorkflowRunOutput)
    _ = assert_type(workflow.arun("x", stream=False), Awaited)
    assert_type(workflow.arun("x", stream=True), RunStream)
    assert_type(workflow.arun("x", stream=decided_later), RunStream | Awaited)
    workflow.arun("x", stream=1)  # type: ignore[call-overload]
    async for event in workflow.arun("x", stream=True):
        assert_type(event, Event)
        assert_type(event.seq, int)
    async with workflow.arun("x", stream=True) as stream:
        assert_type(await stream.result(), WorkflowRunOutput)


async def continuing(workflow: Workflow, paused: WorkflowRunOutput, decided_later: bool) -> None:
    assert_type(workflow.continue_run(paused), WorkflowRunOutput)
    assert_type(workflow.continue_run(run_id="r", session_id="s", step_requirements=[]), WorkflowRunOutput)
    assert_type(workflow.continue_run(paused, stream=True), SyncRunStream)
    assert_type(workflow.continue_run(paused, stream=decided_later), WorkflowRunOutput | SyncRunStream)
    _ = assert_type(workflow.acontinue_run(paused), Awaited)
    assert_type(await workflow.acontinue_run(paused), WorkflowRunOutput)
    assert_type(workflow.acontinue_run(paused, stream=True), RunStream)
    assert_type(await workflow.acontinue_run(paused, stream=True), RunStream)
    assert_type(workflow.acontinue_run(paused, stream=decided_later), RunStream | Awaited)


def reading(workflow: Workflow) -> None:
    assert_type(workflow.cancel_run("r"), bool)
    assert_type(workflow.get_run("r"), WorkflowRunOutput | None)
    assert_type(workflow.get_run_output("r", session_id="s"), WorkflowRunOutput | None)
    assert_type(workflow.get_last_run_output("s"), WorkflowRunOutput | None)
    assert_type(workflow.get_chat_history("s", last_n_runs=3), list[WorkflowChatInteraction])
    assert_type(workflow.get_session("s"), WorkflowSession | None)
    assert_type(workflow.get_session_state("s"), dict[str, Any])
    assert_type(workflow.get_session_name("s"), str)
    assert_type(workflow.get_session_metrics("s"), SessionMetrics | None)
    assert_type(workflow.set_session_name("s", session_name="n"), WorkflowSession)
    assert_type(workflow.delete_session("s"), bool)
    assert_type(workflow.to_dict(), dict[str, Any])


async def reading_on_a_loop(workflow: Workflow) -> None:
    assert_type(await workflow.acancel_run("r"), bool)
    assert_type(await workflow.aget_run("r"), WorkflowRunOutput | None)
    assert_type(await workflow.aget_run_output("r"), WorkflowRunOutput | None)
    assert_type(await workflow.aget_last_run_output(), WorkflowRunOutput | None)
    assert_type(await workflow.aget_chat_history("s"), list[WorkflowChatInteraction])
    assert_type(await workflow.aget_session("s"), WorkflowSession | None)
    assert_type(await workflow.aget_session_state("s"), dict[str, Any])
    assert_type(await workflow.aget_session_name("s"), str)
    assert_type(await workflow.aget_session_metrics("s"), SessionMetrics | None)
    assert_type(await workflow.aset_session_name("s", autogenerate=True), WorkflowSession)
