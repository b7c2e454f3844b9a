"""continue_run and acontinue_run in every form: however it is continued, the same happens and the same is seen.
(reference: continue_run; the errors and parameters one by one are in tests/reference/test_continue_run.py)"""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from verbs import plain

from workflow_runtime import (
    BaseDb,
    Loop,
    Parallel,
    RunContext,
    RunNotPaused,
    RunStatus,
    Step,
    StepInput,
    Workflow,
    WorkflowRunOutput,
)

ANSWERS: dict[str, dict[str, Any]] = {"confirmation": {"confirmed": True}, "ask": {"user_input": {"value": 3}}}
FORMS = ("awaited", "stream", "background", "background stream", "websocket", "sync", "sync stream")

# By run_id from the database, or from the output alone; a background run is followed in the database.
CASES = [(form, stored) for form in FORMS for stored in (True, False) if stored or form != "background"]


def build(db: BaseDb | None) -> Workflow:
    def note(step_input: StepInput, session_state: dict[str, Any]) -> str:
        session_state["n"] = session_state.get("n", 0) + 1
        return f"note {session_state['n']} of {step_input.input}"

    async def ask(run_context: RunContext) -> str:
        return f"asked {await run_context.ask('How many?', int)}"

    def words() -> Any:
        yield from ("one ", "two")

    gated = Step(name="gate", executor=note, requires_confirmation=True)
    loop = Loop([gated, Step(name="ask", executor=ask)], name="loop", max_iterations=2)
    steps = [Step(name="first", executor=note), Parallel(loop, Step(name="side", executor=words), name="both"), words]
    return Workflow(name="w", steps=steps, db=db, store_events=True)


class Socket:
    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []

    async def send_text(self, data: str) -> None:
        self.frames.append(json.loads(data))


def answered(output: WorkflowRunOutput) -> list[Any]:
    waiting = [item for item in output.active_step_requirements if item.answered_at is None]
    for item in waiting:
        item.answer(ANSWERS[item.kind])
    return waiting


async def go_on(form: str, workflow: Workflow, **given: Any) -> tuple[list[dict[str, Any]], WorkflowRunOutput]:
    """Continue in one of the forms; the events that were seen (none where none are), and the output."""
    if form == "awaited":
        return [], await workflow.acontinue_run(**given)
    if form == "sync":
        return [], await anyio.to_thread.run_sync(lambda: workflow.continue_run(**given))
    if form == "sync stream":

        def read() -> tuple[list[Any], WorkflowRunOutput]:
            stream = workflow.continue_run(**given, stream=True, stream_events=True)
            return [event.to_dict() for event in stream], stream.result()

        return await anyio.to_thread.run_sync(read)
    if form == "websocket":
        socket = Socket()
        return socket.frames, await workflow.acontinue_run(**given, websocket=socket, stream_events=True)
    if form == "background":
        pending = await workflow.acontinue_run(**given, background=True)
        assert pending.run_id is not None
        return [], await ended(workflow, pending.run_id)
    background = form == "background stream"
    async with workflow.acontinue_run(**given, stream=True, stream_events=True, background=background) as stream:
        events = [event.to_dict() async for event in stream]
    return events, await stream.result()


async def ended(workflow: Workflow, run_id: str) -> WorkflowRunOutput:
    """The output of a background continuation at its end or pause."""
    async for event in workflow.subscribe(run_id, after=SEEN[run_id]):
        if event.nested_depth == 0 and event.event in ("WorkflowCompleted", "WorkflowPaused"):
            break
    found = await workflow.aget_run(run_id)
    assert found is not None
    return found


SEEN: dict[str, int] = {}


async def whole(form: str, db: BaseDb | None) -> tuple[WorkflowRunOutput, list[list[str]]]:
    """The run from its start to its end, continued in one form each time; with a database from what is stored there."""
    workflow = build(db)
    output = await workflow.arun("x", session_id="s")
    seen: list[list[str]] = []
    while output.is_paused:
        SEEN[str(output.run_id)] = output.last_seq
        if db is None:
            events, output = await go_on(form, workflow, run_response=output, step_requirements=answered(output))
        else:
            workflow = build(db)
            stored = await workflow.aget_run_output(str(output.run_id))
            assert stored is not None
            requirements = answered(stored)
            given = {"run_id": stored.run_id, "session_id": "s", "step_requirements": requirements}
            events, output = await go_on(form, workflow, **given)
        if events:
            assert [event["seq"] for event in events] == list(range(stored_seq(output) + 1, events[-1]["seq"] + 1))
        seen.append([event["event"] for event in events])
    return output, seen


def stored_seq(output: WorkflowRunOutput) -> int:
    return SEEN[str(output.run_id)]


@pytest.mark.anyio
@pytest.mark.parametrize(("form", "stored"), CASES)
async def test_a_run_ends_the_same_in_whatever_form_it_is_continued(form: str, db: BaseDb, stored: bool) -> None:
    expected, _ = await whole("awaited", db)
    output, seen = await whole(form, db if stored else None)
    assert output.status is RunStatus.completed
    assert output.content == "one two"
    again = {"n": 6 if stored else 3}  # with a database it is the second run of the session
    assert output.session_state == again
    assert [step.step_name for step in output.step_results] == ["first", "both", "words"]
    assert len(seen) == 4, "each of two iterations asks twice"
    if seen[0]:
        assert [names[-1] for names in seen] == ["WorkflowPaused"] * 3 + ["WorkflowCompleted"]
        assert [names[0] for names in seen] == ["StepContinued"] * 4
    assert [event.event for event in output.events or ()].count("StepContinued") == 4
    mine, theirs = (plain(item.step_results[1].to_dict(), item.run_id) for item in (output, expected))
    assert str(mine).replace("note 5", "note 2").replace("note 6", "note 3") == str(theirs)


@pytest.mark.anyio
async def test_an_output_that_was_continued_names_the_one_to_use_without_a_database() -> None:
    workflow = Workflow(steps=[Step("gate", executor=lambda step_input: "x", requires_confirmation=True)])
    paused = await workflow.arun("in")
    answered(paused)
    assert (await workflow.acontinue_run(paused)).status is RunStatus.completed
    with pytest.raises(RunNotPaused, match=r"was continued with this output before; .* only the output that"):
        await workflow.acontinue_run(paused)
