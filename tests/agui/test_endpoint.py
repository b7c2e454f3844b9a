"""AG-UI over real sockets: what a front end sends and gets, read by the protocol's own models."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ag_ui.core as ag
import anyio
import httpx2
import pydantic
import pytest
from histories import Owner
from server.flows import Gate
from server.serving import Served, serving

from workflow_runtime import (
    HumanReview,
    Parallel,
    RunContext,
    Step,
    StepCompletedEvent,
    StepContentEvent,
    StepInput,
    Steps,
    StepStartedEvent,
    StorageError,
    UserInputField,
    Workflow,
    WorkflowCompletedEvent,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.server.served_run import ServedRun

from .reader import Reader


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """``served(steps, **workflow)``: a server of one workflow ``flow`` with these steps."""
    with ExitStack() as stack:

        def serve(steps: Any, auth: Any = None, **fields: Any) -> Served:
            workflow = Workflow(name="flow", steps=steps, db=f"sqlite:///{tmp_path}/runs.db", **fields)
            return stack.enter_context(serving(workflow, auth=auth))

        yield serve


def ask(text: str = "hello", **fields: Any) -> ag.RunAgentInput:
    message = ag.UserMessage(id="u1", content=text)
    given = {"thread_id": "t1", "run_id": "r1", "messages": [message], "protocol_version": ag.PROTOCOL_VERSION}
    return ag.RunAgentInput(**{**given, **fields})


def talk(server: Served, asked: ag.RunAgentInput, **headers: str) -> Reader:
    """The reader of one run, fed with what comes over the wire."""
    reader = Reader(asked.messages, asked.state)
    url = f"{server.url}/workflows/flow/agui"
    body = asked.model_dump_json(by_alias=True)
    sent = {"Content-Type": "application/json", **headers}
    with httpx2.stream("POST", url, content=body, headers=sent) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            assert line == "" or line.startswith(("data: ", ":"))
            if line.startswith("data: "):
                reader.take(line.removeprefix("data: "))
    assert reader.ended
    assert reader.run == (asked.thread_id, asked.run_id)
    return reader


def refused(server: Served, body: Any, **sent: str) -> tuple[int, str]:
    content = body if isinstance(body, (str, bytes)) else body.model_dump_json(by_alias=True)
    headers = {"Content-Type": "application/json", **sent}
    answer = httpx2.post(f"{server.url}/workflows/flow/agui", content=content, headers=headers)
    return answer.status_code, answer.json()["code"]


def shout(step_input: StepInput) -> str:
    return str(step_input.input).upper()


def test_a_message_is_answered(served: Callable[..., Served]) -> None:
    found = talk(served([shout]), ask("hello"))
    assert (found.outcome.type, found.result) == ("success", "HELLO")
    assert found.texts == ["hello", "HELLO"]
    assert found.steps == ["shout"]


def test_the_state_of_the_thread_is_shown_as_it_changes_and_kept(served: Callable[..., Served]) -> None:
    def count(step_input: StepInput, run_context: RunContext) -> int:
        run_context.session_state["n"] = run_context.session_state.get("n", 0) + 1
        run_context.session_state.setdefault("seen", []).append(step_input.input)
        return run_context.session_state["n"]

    server = served([Step("one", executor=count), Step("two", executor=count)])
    first = talk(server, ask("a", state={"n": 10}))
    assert first.state == {"n": 12, "seen": ["a", "a"]}
    second = talk(server, ask("b", run_id="r2", state=first.state))
    assert second.state == {"n": 14, "seen": ["a", "a", "b", "b"]}


def test_interrupts_are_answered_by_the_next_run_of_the_thread(served: Callable[..., Served]) -> None:
    fields = [UserInputField(name="seats", field_type="int"), UserInputField(name="name")]

    def book(step_input: StepInput) -> str:
        return f"booked {step_input.additional_data}"

    server = served(
        [
            shout,
            Parallel(
                Step("pay", executor=shout, requires_confirmation=True, confirmation_message="Pay?"),
                Step("book", executor=shout, requires_user_input=True, user_input_schema=fields),
                name="both",
            ),
            Step("check", executor=shout, human_review=HumanReview(requires_output_review=True)),
        ]
    )
    first = talk(server, ask())
    by_name = {item.metadata["step_name"]: item for item in first.outcome.interrupts}
    assert set(by_name) == {"pay", "book"}
    schema = by_name["book"].response_schema["properties"]["user_input"]
    assert set(schema["properties"]) == {"seats", "name"}

    pay = ag.ResumeEntry(interrupt_id=by_name["pay"].id, status="resolved", payload={"confirmed": True})
    bad = ag.ResumeEntry(interrupt_id=by_name["book"].id, status="resolved", payload={"user_input": {"seats": "x"}})
    good = ag.ResumeEntry(
        interrupt_id=by_name["book"].id, status="resolved", payload={"user_input": {"seats": 2, "name": "Ada"}}
    )
    assert refused(server, ask(run_id="r2")) == (409, "interrupted")
    assert refused(server, ask(run_id="r2", resume=[pay])) == (400, "bad_answer")
    assert refused(server, ask(run_id="r2", resume=[pay, bad])) == (400, "bad_answer")
    stray = ag.ResumeEntry(interrupt_id="nobody:asked", status="resolved", payload=True)
    second = talk(server, ask(run_id="r2", resume=[pay, good, stray]))
    (review,) = second.outcome.interrupts
    assert review.reason == "workflow_runtime:output_review"
    edited = ag.ResumeEntry(
        interrupt_id=review.id, status="resolved", payload={"confirmed": True, "edited_output": "better"}
    )
    third = talk(server, ask(run_id="r3", resume=[edited]))
    assert (third.outcome.type, third.result) == ("success", "better")
    assert refused(server, ask(run_id="r4", resume=[edited])) == (409, "not_interrupted")


def test_an_interrupt_that_is_abandoned_follows_the_steps_policy(served: Callable[..., Served]) -> None:
    server = served([Step("pay", executor=shout, requires_confirmation=True, on_reject="cancel")])
    (pay,) = talk(server, ask()).outcome.interrupts
    entry = ag.ResumeEntry(interrupt_id=pay.id, status="cancelled")
    assert talk(server, ask(run_id="r2", resume=[entry])).outcome.type == "cancelled"


@pytest.mark.parametrize("around", ["step", "steps", "parallel", "nested"])
def test_a_rejected_last_step_is_told_as_no_success(served: Callable[..., Served], around: str) -> None:
    pay = Step("pay", executor=shout, requires_confirmation=True)
    last: dict[str, Any] = {
        "step": pay,
        "steps": Steps("outer", steps=[shout, pay]),
        "parallel": Parallel(pay, name="both"),
        "nested": Step("outer", workflow=Workflow(name="inner", steps=[pay])),
    }
    server = served([Step("draft", executor=shout), last[around]])
    (asked,) = talk(server, ask()).outcome.interrupts
    payload = {"confirmed": False, "rejection_feedback": "too dear"}
    entry = ag.ResumeEntry(interrupt_id=asked.id, status="resolved", payload=payload)
    done = talk(server, ask(run_id="r2", resume=[entry]))
    assert done.outcome.type == "cancelled"
    (said,) = [value for name, value in done.custom if name == "StepRejected"]
    assert (said["step_name"], said["reason"]) == ("pay", "too dear")
    assert said["message"] == "Step pay skipped: rejected by a person (too dear)"


def test_a_rejection_in_the_middle_is_a_success(served: Callable[..., Served]) -> None:
    server = served([Step("pay", executor=shout, requires_confirmation=True), Step("tell", executor=shout)])
    (asked,) = talk(server, ask()).outcome.interrupts
    entry = ag.ResumeEntry(interrupt_id=asked.id, status="resolved", payload={"confirmed": False})
    assert talk(server, ask(run_id="r2", resume=[entry])).outcome.type == "success"


def test_a_failed_step_is_an_interrupt_where_a_person_decides(served: Callable[..., Served]) -> None:
    tries: list[int] = []

    def flaky(step_input: StepInput) -> str:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("down")
        return "up"

    server = served([Step("flaky", executor=flaky, on_error="pause")])
    (asked,) = talk(server, ask()).outcome.interrupts
    assert "down" in asked.message
    entry = ag.ResumeEntry(interrupt_id=asked.id, status="resolved", payload={"decision": "retry"})
    assert talk(server, ask(run_id="r2", resume=[entry])).result == "up"


class Order(pydantic.BaseModel):
    item: str
    count: int


def test_the_input_is_what_the_workflow_takes(served: Callable[..., Served]) -> None:
    def order(step_input: StepInput) -> str:
        wanted = step_input.input
        assert isinstance(wanted, Order)
        return f"{wanted.count} {wanted.item} {sorted(step_input.additional_data or {})}"

    server = served([order], input_schema=Order)
    asked = ask('{"item": "tea", "count": 2}', context=[ag.Context(description="who", value="Ada")])
    assert talk(server, asked).result == "2 tea ['context']"
    props = {"input": {"item": "tea", "count": 3}, "theme": "dark"}
    assert talk(server, ask(run_id="r2", forwarded_props=props)).result == "3 tea ['forwarded_props']"
    assert refused(server, ask("no order", run_id="r3")) == (400, "bad_input")


def test_media_of_the_message_reach_the_steps(served: Callable[..., Served]) -> None:
    def look(step_input: StepInput) -> str:
        (image,), (file,) = step_input.images or (), step_input.files or ()
        return f"{step_input.input}: {image.url} {file.content!r}"

    parts = [
        ag.TextPart(text="see"),
        ag.ImagePart(source=ag.UrlSource(value="https://example.com/a.png")),
        ag.DocumentPart(source=ag.DataSource(value="aGk=", mime_type="text/plain")),
        ag.ImagePart(source=ag.FileSource(value="file-1")),
    ]
    message = ag.UserMessage(id="u1", content=parts)
    assert talk(served([look]), ask(messages=[message])).result == "see: https://example.com/a.png b'hi'"


def test_what_is_no_request_is_refused_before_anything_runs(served: Callable[..., Served]) -> None:
    server = served([shout])
    assert refused(server, "{") == (400, "bad_request")
    assert refused(server, json.dumps({"threadId": "t"})) == (400, "bad_request")
    assert refused(server, ask(run_id="")) == (400, "bad_request")
    assert refused(server, ask(run_id="a/b")) == (400, "bad_request"), "nobody could ask for its address"
    assert refused(server, ask(run_id="run-☃")) == (400, "bad_request"), "no header could name it"
    assert refused(server, ask(thread_id="a/b")) == (400, "bad_request")
    talk(server, ask())
    assert refused(server, ask()) == (409, "run_exists")


def test_a_front_end_that_leaves_cancels_its_run(served: Callable[..., Served]) -> None:
    began, ended = threading.Event(), threading.Event()

    async def wait(step_input: StepInput) -> str:
        import anyio

        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        return ""

    server = served([wait])
    body = ask().model_dump_json(by_alias=True)
    headers = {"Content-Type": "application/json"}
    with httpx2.stream("POST", f"{server.url}/workflows/flow/agui", content=body, headers=headers) as answer:
        next(answer.iter_lines())
        assert began.wait(60)
    assert ended.wait(60)


def test_a_thread_is_its_users_alone(served: Callable[..., Served]) -> None:
    users = {"a": "ada", "b": "bob"}
    step = Step("pay", executor=shout, requires_confirmation=True)
    server = served([step], auth=lambda request: users.get(request.headers.get("x-key", "")))
    (pay,) = talk(server, ask(), **{"X-Key": "a"}).outcome.interrupts
    entry = ag.ResumeEntry(interrupt_id=pay.id, status="resolved", payload={"confirmed": True})
    assert refused(server, ask(run_id="r2", resume=[entry])) == (401, "unauthenticated")
    assert refused(server, ask(run_id="r2", resume=[entry]), **{"X-Key": "b"}) == (409, "not_interrupted")
    assert refused(server, ask(run_id="r2"), **{"X-Key": "b"}) == (404, "session_not_found")
    assert talk(server, ask(run_id="r2", resume=[entry]), **{"X-Key": "a"}).result == "HELLO"


def test_a_run_that_another_process_takes_over_is_told_as_that_one_has_it(
    served: Callable[..., Served], tmp_path: Path
) -> None:
    gate = Gate()

    async def wait(step_input: StepInput) -> AsyncIterator[str]:
        yield "lost "
        await gate.passed()
        yield "as well"

    server = served([Step("wait", executor=wait)])
    db = SqliteDb(tmp_path / "runs.db")

    async def take_over() -> None:
        other = Owner(db, "r1")
        await other.take_over()
        gate.open()
        place = {"path": "0.wait", "step_name": "wait"}
        await other.store(other.resumed())
        kinds = (StepStartedEvent, StepContentEvent, StepContentEvent, StepCompletedEvent)
        await other.store(*other.said(*kinds, delta="again", **place))
        await other.store(*other.said(WorkflowCompletedEvent, content="againagain"))
        await db.aclose()

    def lose() -> None:
        assert gate.entered.wait(20)
        anyio.run(take_over)

    thread = threading.Thread(target=lose)
    thread.start()
    found = talk(server, ask())
    thread.join()
    assert found.texts == ["hello", "againagain"]
    assert (found.outcome.type, found.result) == ("success", "againagain")


def test_a_run_whose_database_cannot_be_read_any_more_ends_with_an_error(
    served: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = served([shout])

    async def away(self: ServedRun) -> list[Any]:
        raise StorageError("the database is away")

    monkeypatch.setattr(ServedRun, "take_some", away)
    found = talk(server, ask())
    assert found.error is not None
    assert found.error.code == "StorageError"
