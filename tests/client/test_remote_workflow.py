"""A workflow of a server as a step of a local one: its events, its pause, its failure and its cancelling."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from pydantic import BaseModel
from server.serving import Served

from workflow_runtime import (
    Image,
    InMemoryDb,
    Parallel,
    Retry,
    Router,
    RunContext,
    RunStatus,
    Runtime,
    Step,
    StepContentEvent,
    StepInput,
    UserInputField,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.client import Client, RemoteRunError, RemoteWorkflow

from .flows import database, talking
from .proxy import Proxy

pytestmark = pytest.mark.anyio
Serve = Callable[..., Served]


def around(remote: RemoteWorkflow, **options: Any) -> Workflow:
    """A local workflow with ``remote`` in its middle."""

    def before(step_input: StepInput) -> str:
        return f"<{step_input.input}>"

    def after(step_input: StepInput) -> str:
        return f"{step_input.previous_step_content}!"

    steps = [Step("before", executor=before), Step("far", agent=remote, **options), Step("after", executor=after)]
    return Workflow(name="Local", steps=steps, db=InMemoryDb(), store_events=True)


async def test_the_events_of_the_remote_run_stand_between_the_local_ones(
    served: Serve, through: Callable[[Served], Proxy], tmp_path: Path
) -> None:
    wire = through(served(talking(tmp_path)))
    wire.every = 4
    workflow = around(RemoteWorkflow(wire.url, "talking"))
    run = workflow.arun("x", stream=True, stream_events=True)
    events = [event async for event in run]
    output = await run.result()
    assert output.content == "noted!"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert {event.run_id for event in events} == {output.run_id}
    inner = [event for event in events if event.nested_depth == 1]
    assert (inner[0].event, inner[-1].event) == ("WorkflowStarted", "WorkflowCompleted")
    assert {event.path for event in inner if event.event == "StepStarted"} == {
        "1.far/0.talk",
        "1.far/1.both/0.left",
        "1.far/1.both/1.right",
        *(f"1.far/2.rounds#{n}/0.again" for n in (0, 1, 2)),
    }
    words = "".join(e.delta for e in inner if isinstance(e, StepContentEvent) and e.path == "1.far/0.talk")
    assert words == "".join(f"{n} " for n in range(20))
    assert wire.cuts > 3
    assert output.run_id is not None
    stored = [event async for event in workflow.subscribe(output.run_id)]
    assert [event.event for event in stored if event.nested_depth == 1][-1] == "WorkflowCompleted"


async def test_a_bare_remote_workflow_is_a_step_and_gets_the_media(served: Serve, tmp_path: Path) -> None:
    def look(step_input: StepInput, run_context: RunContext) -> str:
        (image,) = step_input.images or ()
        return f"{step_input.input} {image.content!r} {run_context.session_id}"

    picture = tmp_path / "picture.png"
    picture.write_bytes(b"png")
    server = served(Workflow(name="Look", steps=[look], db=database(tmp_path)))
    local = Workflow(name="Local", steps=[RemoteWorkflow(server.url, "look")], session_id="s1")
    output = await local.arun("see", images=[Image(filepath=str(picture))])
    assert output.content == "see b'png' s1"


def asking(tmp_path: Path) -> Workflow:
    def pay(step_input: StepInput) -> str:
        return "paid"

    def book(step_input: StepInput) -> str:
        return f"booked for {(step_input.additional_data or {})['user_input']['name']}"

    fields = [UserInputField(name="name")]
    return Workflow(
        name="Asking",
        steps=[
            Parallel(
                Step("pay", executor=pay, requires_confirmation=True, confirmation_message="Pay?"),
                Step("book", executor=book, requires_user_input=True, user_input_schema=fields),
                name="both",
            ),
            Step("sure", executor=pay, requires_confirmation=True),
        ],
        db=database(tmp_path),
        store_events=True,
    )


def answered(paused: WorkflowRunOutput, **answers: Any) -> list[Any]:
    """The executor's requirement with its questions answered by the name of the remote step that asks."""
    (requirement,) = paused.active_step_requirements
    for item in requirement.executor_requirements or ():
        answer = answers[item["step_name"]]
        item.update({"confirmation": answer} if isinstance(answer, bool) else {"user_input": answer})
    return [requirement]


async def test_what_the_remote_run_asks_the_local_run_asks(served: Serve, tmp_path: Path) -> None:
    workflow = around(RemoteWorkflow(served(asking(tmp_path)).url, "asking"))
    paused = await workflow.arun("x")
    assert paused.is_paused
    (requirement,) = paused.active_step_requirements
    assert requirement.kind == "executor"
    assert sorted(item["step_name"] for item in requirement.executor_requirements or ()) == ["book", "pay"]
    again = await workflow.acontinue_run(
        run_id=paused.run_id, step_requirements=answered(paused, pay=True, book={"name": "Ada"})
    )
    assert again.is_paused, "the remote run has asked once more"
    done = await workflow.acontinue_run(run_id=paused.run_id, step_requirements=answered(again, sure=True))
    assert (done.status, done.content) == (RunStatus.completed, "paid!")
    names = [event.event for event in done.events or ()]
    assert names.count("StepExecutorPaused") == names.count("StepExecutorContinued") == 2


async def test_a_failed_remote_run_fails_the_step_and_a_retry_starts_another(served: Serve, tmp_path: Path) -> None:
    ran: list[str] = []

    def flaky(step_input: StepInput, run_context: RunContext) -> str:
        ran.append(run_context.run_id)
        if len(ran) < 3:
            raise OSError("down")
        return "up"

    server = served(Workflow(name="Flaky", steps=[flaky], db=database(tmp_path)))
    with pytest.raises(RemoteRunError, match="OSError: down"):
        await around(RemoteWorkflow(server.url, "flaky")).arun("x")
    workflow = around(RemoteWorkflow(server.url, "flaky"), retry=Retry(attempts=2, delay=0.001))
    assert (await workflow.arun("x")).content == "up!"
    assert len(set(ran)) == 3


async def test_cancelling_the_local_run_cancels_the_remote_one(
    served: Serve, tmp_path: Path, until: Callable[..., Any]
) -> None:
    began: list[str] = []
    ended: list[str] = []

    async def wait(step_input: StepInput, run_context: RunContext) -> AsyncIterator[str]:
        began.append(run_context.run_id)
        try:
            yield "waiting"
            await anyio.sleep_forever()
        finally:
            ended.append(run_context.run_id)

    server = served(Workflow(name="Wait", steps=[wait], db=database(tmp_path)))
    workflow = around(RemoteWorkflow(server.url, "wait"))
    run = workflow.arun("x", stream=True, stream_events=True)
    async for event in run:
        if isinstance(event, StepContentEvent):
            break
    workflow.cancel_run(run.run_id)
    assert [event.event async for event in run][-1] == "WorkflowCancelled"
    await until(lambda: ended)
    assert began == ended
    async with Client(server.url) as client:
        found = await client.workflow("wait").aget_run(began[0])
        assert found is not None
        assert found.is_cancelled


async def test_a_remote_run_that_is_cancelled_there_fails_the_step(served: Serve, tmp_path: Path) -> None:
    async def wait(step_input: StepInput) -> str:
        await anyio.sleep_forever()
        return ""

    server = served(Workflow(name="Wait", steps=[wait], db=database(tmp_path)))
    run = around(RemoteWorkflow(server.url, "wait")).arun("x", stream=True, stream_events=True)
    async with Client(server.url) as client:
        async for event in run:
            if event.nested_depth == 1 and event.event == "StepStarted":
                (remote,) = (await client.workflow("wait").alist_runs()).items
                await client.workflow("wait").acancel_run(remote.run_id)
            if event.event == "StepError":
                break
    assert "was cancelled there" in event.error


async def test_an_attempt_that_was_begun_before_is_found_again_and_not_started_twice(
    served: Serve, tmp_path: Path
) -> None:
    ran: list[Any] = []

    def count(step_input: StepInput) -> str:
        ran.append(step_input.input)
        return f"run {len(ran)}"

    server = served(Workflow(name="Count", steps=[count], db=database(tmp_path)))
    db = InMemoryDb()
    for _ in range(2):  # two processes, of which the first was killed after the remote run had ended
        local = Workflow(name="Local", steps=[RemoteWorkflow(server.url, "count")], db=db)
        output = await local.arun("x", run_id="the same run")
        assert output.content == "run 1"
        await db.delete_session(output.session_id or "")
    assert ran == ["x"]


async def test_a_process_that_lets_its_runs_go_leaves_the_remote_one_to_the_next(
    served: Serve, tmp_path: Path, until: Callable[..., Any]
) -> None:
    began: list[str] = []
    going_on = threading.Event()

    async def wait(step_input: StepInput, run_context: RunContext) -> str:
        began.append(run_context.run_id)
        while not going_on.is_set():
            await anyio.sleep(0.01)
        return "far"

    server = served(Workflow(name="Wait", steps=[wait], db=database(tmp_path), store_events=True))
    workflow = around(RemoteWorkflow(server.url, "wait"))
    async with Runtime(workflow, grace=0, on_exit="release"):
        pending = await workflow.arun("x", background=True)
        await until(lambda: began)
    assert pending.run_id is not None
    going_on.set()
    with anyio.fail_after(60):
        async with Runtime(workflow, recover=True):
            events = [event async for event in workflow.subscribe(pending.run_id)]
    assert events[-1].content == "far!"
    assert len(began) == 1


class Seats(BaseModel):
    row: int
    side: Literal["left", "right"] = "left"
    note: str | None = None


def forms(tmp_path: Path) -> Workflow:
    """A workflow that asks in the way that its input names."""

    async def ask(run_context: RunContext) -> Any:
        seats = await run_context.ask("Where?", Seats)
        return seats.model_dump()

    def show(step_input: StepInput) -> Any:
        return (step_input.additional_data or {})["user_input"]

    def name(step_input: StepInput) -> str:
        return str(step_input.input)

    def fast() -> str:
        return "fast"

    def slow() -> str:
        return "slow"

    fields = [
        UserInputField(name="side", allowed_values=["left", "right"]),
        UserInputField(name="row", field_type="int", value=7),
        UserInputField(name="note", required=False),
    ]
    choices = [
        Step("model", executor=ask),
        Step("fields", executor=show, requires_user_input=True, user_input_schema=fields),
        Router(name="route", choices=[fast, slow], requires_user_input=True),
    ]
    return Workflow(name="Forms", steps=[Router(selector=name, choices=choices)], db=database(tmp_path))


@pytest.mark.parametrize(
    ("kind", "wrong", "right", "content"),
    [
        ("model", {"row": 1, "side": "top"}, {"row": 1}, {"row": 1, "side": "left", "note": None}),
        ("fields", {"side": "top"}, {"side": "right"}, {"side": "right", "row": 7}),
        ("route", {"selected_choices": ["top"]}, {"selected_choices": ["slow"]}, "slow"),
    ],
)
async def test_a_remote_form_is_checked_here_and_keeps_its_defaults(
    served: Serve, tmp_path: Path, kind: str, wrong: Any, right: Any, content: Any
) -> None:
    remote = RemoteWorkflow(served(forms(tmp_path)).url, "forms")
    workflow = Workflow(name="Local", steps=[remote], db=InMemoryDb())
    paused = await workflow.arun(kind)
    (asked,) = paused.active_step_requirements
    (item,) = asked.executor_requirements or ()
    with pytest.raises(ValueError, match="top"):
        asked.answer({"executor_requirements": [{"id": item["id"], "user_input": wrong}]})
    asked.answer({"executor_requirements": [{"id": item["id"], "user_input": right}]})
    done = await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[asked])
    assert (done.status, done.content) == (RunStatus.completed, content)
