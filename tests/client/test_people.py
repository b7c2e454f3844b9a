"""Pauses, answers, cancels, forks and sessions through the client, as a local workflow has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from server.serving import Served

from workflow_runtime import (
    AlreadyAnswered,
    InputError,
    RunContext,
    RunNotFound,
    RunNotPaused,
    RunStatus,
    SessionNotFound,
    Step,
    StepInput,
    UserInputField,
    Workflow,
)
from workflow_runtime.client import Client, NoSuchPlace, RemoteRun, RemoteRunError, ServerError, WorkflowNotFound

from .flows import database
from .proxy import Proxy

pytestmark = pytest.mark.anyio
Serve = Callable[..., Served]


def paying(tmp_path: Path, ran: list[str] | None = None) -> Workflow:
    def pay(step_input: StepInput) -> str:
        (ran if ran is not None else []).append("paid")
        return "paid"

    async def state(step_input: StepInput, run_context: RunContext) -> str:
        run_context.session_state["seen"] = step_input.input
        return "seen"

    steps = [Step("state", executor=state), Step("pay", executor=pay, requires_confirmation=True)]
    return Workflow(name="Paying", steps=steps, db=database(tmp_path), store_events=True)


async def test_a_paused_run_is_answered_and_goes_on(served: Serve, tmp_path: Path) -> None:
    async with Client(served(paying(tmp_path)).url) as client:
        paying_ = client.workflow("paying")
        paused = await paying_.arun("x")
        assert paused.is_paused
        (asked,) = paused.active_step_requirements
        (pending,) = await paying_.alist_pending()
        assert pending.id == asked.id
        assert [item.id for item in await client.alist_pending()] == [asked.id]
        asked.confirm()
        done = await paying_.acontinue_run(paused)
        assert (done.status, done.content) == (RunStatus.completed, "paid")
        assert await paying_.alist_pending() == []


async def test_a_stream_ends_at_the_pause_and_the_next_begins_behind_it(served: Serve, tmp_path: Path) -> None:
    async with Client(served(paying(tmp_path)).url) as client:
        paying_ = client.workflow("paying")
        first = [event async for event in paying_.run("x", run_id="r1", stream_events=True)]
        assert first[-1].event == "WorkflowPaused"
        (asked,) = first[-1].step_requirements
        run = paying_.continue_run(run_id="r1", answers={asked.id: {"confirmed": True}}, stream_events=True)
        second = [event async for event in run]
        assert [event.seq for event in [*first, *second]] == list(range(1, second[-1].seq + 1))
        assert (await run.result()).content == "paid"
        with pytest.raises(RunNotPaused):
            await paying_.continue_run(run_id="r1", answers={asked.id: {"confirmed": True}})


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_continue_whose_answer_is_lost_is_done_once(
    served: Serve, through: Callable[[Served], Proxy], tmp_path: Path, streamed: bool
) -> None:
    ran: list[str] = []
    wire = through(served(paying(tmp_path, ran)))
    async with Client(wire.url) as client:
        paused = await client.arun("paying", "x")
        paused.active_step_requirements[0].confirm()
        wire.sever()
        wire.mute = 1
        run = client.workflow("paying").continue_run(paused, stream_events=True)
        if streamed:
            events = [event async for event in run]
            assert [event.seq for event in events] == list(range(paused.last_seq + 1, events[-1].seq + 1))
        assert (await run.result()).content == "paid"
    assert ran == ["paid"]
    assert wire.mute == 0


async def test_wrong_answers_change_nothing_and_say_what_is_wrong(served: Serve, tmp_path: Path) -> None:
    fields = [UserInputField(name="seats", field_type="int")]
    step = Step("book", executor=lambda step_input: "ok", requires_user_input=True, user_input_schema=fields)
    async with Client(served(Workflow(name="Book", steps=[step], db=database(tmp_path))).url) as client:
        paused = await client.arun("book", "x")
        (asked,) = paused.active_step_requirements
        with pytest.raises(InputError, match="seats"):
            await client.workflow("book").continue_run(paused, answers={asked.id: {"user_input": {"seats": "two"}}})
        with pytest.raises(ValueError, match="nobody"):
            await client.workflow("book").continue_run(paused, answers={"nobody": {"confirmed": True}})
        done = await client.workflow("book").continue_run(paused, answers={asked.id: {"user_input": {"seats": 2}}})
        assert done.status is RunStatus.completed


async def test_the_first_of_two_answers_wins(served: Serve, tmp_path: Path) -> None:
    async with Client(served(paying(tmp_path)).url) as client:
        paused = await client.arun("paying", "x")
        paused.active_step_requirements[0].confirm()
        found: list[Any] = []

        async def answer() -> None:
            try:
                found.append((await client.workflow("paying").continue_run(paused)).content)
            except (RunNotPaused, AlreadyAnswered) as error:
                found.append(type(error))

        async with anyio.create_task_group() as group:
            group.start_soon(answer)
            group.start_soon(answer)
        assert len(found) == 2
        assert found.count("paid") == 1


def endless(tmp_path: Path, began: list[str], ended: list[str]) -> Workflow:
    async def wait(step_input: StepInput, run_context: RunContext) -> str:
        began.append(run_context.run_id)
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(run_context.run_id)
        return ""

    return Workflow(name="Endless", steps=[wait], db=database(tmp_path), store_events=True)


async def read(run: RemoteRun) -> None:
    async for _ in run:
        pass


async def wait(run: RemoteRun) -> None:
    await run


@pytest.mark.parametrize("how", [read, wait])
async def test_a_task_that_is_cancelled_takes_its_run_with_it(
    served: Serve, tmp_path: Path, until: Callable[..., Any], how: Callable[[RemoteRun], Any]
) -> None:
    began: list[str] = []
    ended: list[str] = []
    async with Client(served(endless(tmp_path, began, ended)).url) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(how, client.run("endless", "x"))
            await until(lambda: began)
            group.cancel_scope.cancel()
        await until(lambda: ended)
    assert began == ended


async def first_step(run: RemoteRun) -> None:
    while (await anext(run)).event != "StepStarted":
        pass


async def test_leaving_a_run_early_cancels_it_on_the_server(
    served: Serve, tmp_path: Path, until: Callable[..., Any]
) -> None:
    began: list[str] = []
    ended: list[str] = []
    async with Client(served(endless(tmp_path, began, ended)).url) as client:
        await first_step(client.run("endless", "x", run_id="broken off", stream_events=True))
        await until(lambda: ended)
        held = client.run("endless", "x", run_id="held", stream_events=True)
        async for event in held:
            if event.event == "StepStarted":
                break
        await until(lambda: len(ended) == 2)
        run = client.run("endless", "x", run_id="closed", stream_events=True)
        await first_step(run)
        await run.aclose()
        async with client.run("endless", "x", run_id="left", stream_events=True) as run:
            await first_step(run)
        await until(lambda: len(ended) == 4)
    assert began == ended == ["broken off", "held", "closed", "left"]


async def test_a_run_that_somebody_cancels_ends_as_cancelled(served: Serve, tmp_path: Path) -> None:
    async with Client(served(endless(tmp_path, [], [])).url) as client:
        run = client.run("endless", "x", stream_events=True)
        await first_step(run)
        assert await client.workflow("endless").acancel_run(run.run_id)
        assert [event.event async for event in run][-1] == "WorkflowCancelled"
        assert (await run.result()).is_cancelled
        assert not await client.workflow("endless").acancel_run(run.run_id)


async def test_a_background_run_goes_on_when_it_is_left(served: Serve, tmp_path: Path) -> None:
    began: list[str] = []
    ended: list[str] = []
    async with Client(served(endless(tmp_path, began, ended)).url) as client:
        endless_ = client.workflow("endless")
        async with endless_.run("x", background=True, stream_events=True) as run:
            assert (await anext(run)).event == "WorkflowStarted"
        found = await endless_.aget_run(run.run_id)
        assert found is not None
        assert found.status is RunStatus.running
        assert not ended
        pending = await endless_.arun("y", background=True)
        assert pending.run_id is not None
        assert pending.status in (RunStatus.pending, RunStatus.running)
        for run_id in (run.run_id, pending.run_id):
            assert await endless_.acancel_run(run_id)


async def test_a_run_is_looked_back_at_listed_and_forked(served: Serve, tmp_path: Path) -> None:
    async with Client(served(paying(tmp_path)).url) as client:
        paying_ = client.workflow("paying")
        paused = await paying_.arun("x", session_id="s1")
        assert paused.run_id is not None
        history = await paying_.history(paused.run_id)
        assert [entry.path for entry in history if entry.status == "done"] == ["0.state"]
        assert history[0].output is not None
        assert history[0].output.content == "seen"
        fork = await paying_.fork(paused.run_id, at="0.state", session_state={"extra": 1}, new_run_id="fork-1")
        assert (fork.run_id, fork.is_paused) == ("fork-1", True)
        page = await paying_.alist_runs(limit=1)
        assert [item.run_id for item in page.items] == ["fork-1"]
        rest = await paying_.alist_runs(before=page.next)
        assert [item.run_id for item in rest.items] == [paused.run_id]
        assert (await paying_.alist_runs(session_id="s1")).items[0].status is RunStatus.paused
        with pytest.raises(NoSuchPlace):
            await paying_.fork(paused.run_id, at="9.nowhere")


async def test_sessions_are_read_changed_and_deleted(served: Serve, tmp_path: Path) -> None:
    async with Client(served(paying(tmp_path)).url) as client:
        paying_ = client.workflow("paying")
        await paying_.arun("x", session_id="s1", user_id="ada", session_state={"n": 1})
        assert await paying_.aget_session_state("s1") == {"n": 1, "seen": "x"}
        assert await paying_.aupdate_session_state({"n": 2}, "s1") == {"n": 2, "seen": "x"}
        session = await paying_.aset_session_name("s1", "Tickets")
        assert (session.session_name, session.user_id, session.session_state["n"]) == ("Tickets", "ada", 2)
        found = await paying_.aget_session("s1")
        assert found is not None
        assert found.session_name == "Tickets"
        assert await paying_.adelete_session("s1")
        assert not await paying_.adelete_session("s1")
        assert await paying_.aget_session("s1") is None
        with pytest.raises(SessionNotFound):
            await paying_.aget_session_state("s1")


async def test_errors_come_back_as_a_local_workflow_raises_them(served: Serve, tmp_path: Path) -> None:
    def fail(step_input: StepInput) -> str:
        raise LookupError("nothing there")

    failing = Workflow(name="Failing", steps=[fail], db=database(tmp_path))

    async def slow(step_input: StepInput) -> str:
        await anyio.sleep_forever()
        return ""

    late = Workflow(name="Late", steps=[Step("slow", executor=slow, timeout=0.05)], db=database(tmp_path))
    async with Client(served([failing, late]).url) as client:
        with pytest.raises(RemoteRunError, match="LookupError: nothing there") as failed:
            await client.run("failing", "x")
        assert failed.value.run_output is not None
        assert (failed.value.error_type, failed.value.run_output.status) == ("LookupError", RunStatus.error)
        failing_run = client.run("failing", "x")
        assert [(await anext(failing_run)).event for _ in range(3)][-1] == "WorkflowError"
        with pytest.raises(RemoteRunError):
            await anext(failing_run)
        with pytest.raises(TimeoutError, match="took longer"):
            await client.run("late", "x")
        with pytest.raises(WorkflowNotFound):
            await client.run("nobody", "x")
        with pytest.raises(RunNotFound):
            await anext(client.workflow("failing").subscribe("no-such-run"))
        assert await client.workflow("failing").aget_run("no-such-run") is None
        with pytest.raises(InputError, match="cannot be sent"):
            client.run("failing", "\ud800")
        assert not issubclass(RunNotFound, ServerError)
