"""continue_run and acontinue_run: every parameter, what they return, and each ValueError of the page."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest

from workflow_runtime import (
    AlreadyAnswered,
    BaseDb,
    Image,
    InMemoryDb,
    Parallel,
    RunNotFound,
    RunNotPaused,
    RunStatus,
    RunStream,
    Step,
    StepInput,
    SyncRunStream,
    Workflow,
    WorkflowRunOutput,
)

from .helpers import Api, echo, finished, names


def gated(db: BaseDb | None, **options: Any) -> Workflow:
    """a, then b that a person has to confirm, then c."""
    return Workflow(
        name="w",
        steps=[
            Step(name="a", executor=echo),
            Step(
                name="b",
                executor=lambda step_input: f"b after {step_input.previous_step_content}",
                requires_confirmation=True,
            ),
            Step(name="c", executor=lambda step_input: f"c after {step_input.previous_step_content}"),
        ],
        db=db,
        **options,
    )


def confirmed(paused: WorkflowRunOutput) -> WorkflowRunOutput:
    paused.active_step_requirements[0].confirm()
    return paused


CONTENT = "c after b after echo x"
CONTINUED = ["StepContinued", "StepStarted", "StepOutput", "StepCompleted"]


# -- which run --------------------------------------------------------------------------------------------------------


def test_continue_run_run_response_goes_on_where_the_run_paused(db: BaseDb, api: Api) -> None:
    workflow = gated(db)
    paused = workflow.run("x", session_id="s")
    assert paused.status is RunStatus.paused
    output = api(workflow).continue_run(run_response=confirmed(paused))
    assert isinstance(output, WorkflowRunOutput)
    assert (output.run_id, output.session_id) == (paused.run_id, "s")
    assert (output.status, output.content) == (RunStatus.completed, CONTENT)
    assert [step.step_name for step in output.step_results] == ["a", "b", "c"]


def test_continue_run_run_response_needs_no_database(api: Api) -> None:
    workflow = gated(None)
    output = api(workflow).continue_run(confirmed(workflow.run("x")))
    assert output.content == CONTENT


def test_continue_run_run_id_and_session_id_load_it_from_the_database(db: BaseDb, api: Api) -> None:
    paused = gated(db).run("x", session_id="s")
    requirement = paused.active_step_requirements[0]
    requirement.confirm()
    output = api(gated(db)).continue_run(run_id=paused.run_id, session_id="s", step_requirements=[requirement])
    assert output.content == CONTENT


def test_continue_run_session_id_of_another_session_finds_no_run(db: BaseDb, api: Api) -> None:
    workflow = gated(db)
    paused = workflow.run("x", session_id="s")
    with pytest.raises(RunNotFound, match=f"Could not find run with id {paused.run_id} in session other") as caught:
        api(workflow).continue_run(run_id=paused.run_id, session_id="other", step_requirements=[])
    assert isinstance(caught.value, ValueError)
    assert api(workflow).continue_run(confirmed(paused)).content == CONTENT


def test_continue_run_survives_what_travels_with_the_run(db: BaseDb, api: Api) -> None:
    seen: list[StepInput] = []

    def look(step_input: StepInput, dependencies: dict[str, Any], session_state: dict[str, Any]) -> str:
        seen.append(step_input)
        return f"{dependencies} {session_state}"

    workflow = Workflow(steps=[Step(name="look", executor=look, requires_confirmation=True)], db=db, metadata={"w": 1})
    paused = workflow.run(
        {"q": 1},
        session_id="s",
        user_id="u",
        additional_data={"a": 1},
        images=[Image(url="https://example.org/a.png")],
        dependencies={"d": 1},
        metadata={"m": 1},
        session_state={"k": 1},
    )
    output = api(workflow).continue_run(confirmed(paused))
    assert output.content == "{'d': 1} {'k': 1}"
    assert (output.input, output.user_id, output.metadata) == ({"q": 1}, "u", {"m": 1, "w": 1})
    assert seen[0].input == {"q": 1}
    assert seen[0].additional_data == {"a": 1}
    assert seen[0].images == [Image(url="https://example.org/a.png")]


# -- step_requirements --------------------------------------------------------------------------------------------------


def test_continue_run_step_requirements_default_to_those_of_the_run_response(db: BaseDb, api: Api) -> None:
    workflow = gated(db)
    paused = workflow.run("x")
    paused.active_step_requirements[0].reject()
    output = api(workflow).continue_run(paused)
    assert output.step_results[1].success is False
    assert "skipped" in str(output.step_results[1].content)


def test_continue_run_step_requirements_stand_in_for_those_of_the_run_response(db: BaseDb, api: Api) -> None:
    workflow = gated(db)
    paused = workflow.run("x", session_id="s")
    stored = workflow.get_run_output(str(paused.run_id))
    assert stored is not None
    answer = stored.active_step_requirements[0]
    answer.confirm()
    assert api(workflow).continue_run(paused, step_requirements=[answer]).content == CONTENT


def test_continue_run_step_requirements_take_user_input(db: BaseDb, api: Api) -> None:
    def greet(additional_data: dict[str, Any]) -> str:
        return f"Hello {additional_data['user_input']['name']}"

    step = Step(
        name="greet",
        executor=greet,
        requires_user_input=True,
        user_input_schema=[{"name": "name", "field_type": "str"}],
    )
    workflow = Workflow(steps=[step], db=db)
    paused = workflow.run("x")
    paused.steps_requiring_user_input[0].set_user_input(name="Ada")
    assert api(workflow).continue_run(paused).content == "Hello Ada"


# -- stream and stream_events ---------------------------------------------------------------------------------------------


def test_continue_run_stream_gives_the_events_from_there(db: BaseDb, api: Api) -> None:
    workflow = gated(db)
    events = api(workflow).continue_run(confirmed(workflow.run("x")), stream=True, stream_events=True)
    assert names(events) == [*CONTINUED, *CONTINUED[1:], "WorkflowCompleted"]
    assert events[-1].content == CONTENT


def test_continue_run_stream_events_false_shows_less(db: BaseDb, api: Api) -> None:
    workflow = gated(db, stream_events=True)
    events = api(workflow).continue_run(confirmed(workflow.run("x")), stream=True, stream_events=False)
    assert names(events) == ["StepOutput", "StepOutput", "WorkflowCompleted"]


def test_continue_run_stream_defaults_to_the_workflow_s(db: BaseDb, api: Api) -> None:
    workflow = gated(db, stream=True, stream_events=True)
    paused = workflow.run("x", stream=False)
    events = api(workflow).continue_run(confirmed(paused))
    assert names(events)[-1] == "WorkflowCompleted"
    assert "StepStarted" in names(events)


def test_continue_run_stream_false_overrides_the_workflow_s_true(db: BaseDb, api: Api) -> None:
    workflow = gated(db, stream=True)
    paused = workflow.run("x", stream=False)
    assert api(workflow).continue_run(confirmed(paused), stream=False).content == CONTENT


def test_continue_run_stream_is_a_sync_stream() -> None:
    workflow = gated(InMemoryDb())
    stream = workflow.continue_run(confirmed(workflow.run("x")), stream=True)
    assert isinstance(stream, SyncRunStream)
    assert stream.result().content == CONTENT


@pytest.mark.anyio
@pytest.mark.parametrize("awaited", [True, False])
async def test_acontinue_run_stream_may_be_awaited_or_not(awaited: bool) -> None:
    workflow = gated(InMemoryDb())
    found = workflow.acontinue_run(confirmed(await workflow.arun("x")), stream=True)
    stream = await found if awaited else found
    assert isinstance(stream, RunStream)
    assert names([event async for event in stream])[-1] == "WorkflowCompleted"


@pytest.mark.anyio
async def test_acontinue_run_background_returns_at_once(db: BaseDb) -> None:
    gate = anyio.Event()

    async def wait() -> str:
        await gate.wait()
        return "done"

    workflow = Workflow(steps=[Step(name="wait", executor=wait, requires_confirmation=True)], db=db)
    output = await workflow.acontinue_run(confirmed(await workflow.arun("x")), background=True)
    assert output.content is None or "paused" in str(output.content)
    gate.set()
    assert (await finished(workflow, output.run_id)).content == "done"


# -- what is raised -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"session_id": "s"}])
def test_continue_run_without_a_run_is_a_value_error(api: Api, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Either run_response or \(run_id and session_id\) must be provided"):
        api(gated(InMemoryDb())).continue_run(**given)


def test_continue_run_of_an_unknown_run_is_a_value_error(db: BaseDb, api: Api) -> None:
    with pytest.raises(ValueError, match="Could not find run with id nothing"):
        api(gated(db)).continue_run(run_id="nothing", session_id="s")


def test_continue_run_of_a_run_that_is_not_paused_is_a_value_error(db: BaseDb, api: Api) -> None:
    workflow = gated(db)
    output = workflow.continue_run(confirmed(workflow.run("x")))
    for given in ({"run_response": output}, {"run_id": output.run_id, "session_id": output.session_id}):
        with pytest.raises(RunNotPaused, match=r"not paused\. Current status: COMPLETED") as caught:
            api(workflow).continue_run(**given)
        assert isinstance(caught.value, ValueError)


def test_continue_run_with_an_open_requirement_is_a_value_error_that_names_it(db: BaseDb, api: Api) -> None:
    workflow = gated(db)
    paused = workflow.run("x")
    with pytest.raises(ValueError, match=r"unresolved step requirements: \['b'\]"):
        api(workflow).continue_run(paused)
    stored = workflow.get_run(str(paused.run_id))
    assert stored is not None
    assert stored.is_paused
    assert api(workflow).continue_run(confirmed(paused)).content == CONTENT


def test_continue_run_with_an_open_error_is_a_value_error_that_names_it(db: BaseDb, api: Api) -> None:
    def refuse() -> None:
        raise LookupError("no")

    workflow = Workflow(steps=[Step(name="bad", executor=refuse, on_error="pause")], db=db)
    paused = workflow.run("x")
    with pytest.raises(ValueError, match=r"unresolved error requirements: \['bad'\]"):
        api(workflow).continue_run(paused)
    paused.active_error_requirements[0].skip()
    assert api(workflow).continue_run(paused).status is RunStatus.completed


def test_continue_run_without_a_database_needs_the_output_itself(api: Api) -> None:
    workflow = gated(None)
    paused = workflow.run("x", session_id="s")
    with pytest.raises(ValueError, match="needs the paused output itself"):
        api(workflow).continue_run(run_id=paused.run_id, session_id="s")


def test_continue_run_runs_a_paused_run_once(db: BaseDb) -> None:
    workflow = gated(db)
    paused = workflow.run("x")
    answer = paused.active_step_requirements[0]
    answer.confirm()
    barrier = threading.Barrier(4)
    outcomes: list[str] = []

    def go_on() -> None:
        barrier.wait(60)
        try:
            outcomes.append(
                str(
                    workflow.continue_run(
                        run_id=paused.run_id, session_id=paused.session_id, step_requirements=[answer]
                    ).content
                )
            )
        except (RunNotPaused, AlreadyAnswered) as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=go_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes.count(CONTENT) == 1
    assert len(outcomes) == 4


def test_continue_run_of_another_user_is_refused(db: BaseDb, api: Api) -> None:
    workflow = gated(db)
    paused = workflow.run("x", user_id="ann")
    with pytest.raises(PermissionError):
        api(workflow).continue_run(confirmed(paused), user_id="bob")
    assert api(workflow).continue_run(paused, user_id="ann").content == CONTENT


def test_continue_run_with_some_answers_keeps_what_had_been_done(db: BaseDb, api: Api) -> None:
    gate: dict[str, Any] = {"executor": echo, "requires_confirmation": True}
    both = Parallel(Step(name="left", **gate), Step(name="right", **gate), name="both")
    workflow = Workflow(steps=[Step(name="a", executor=echo), both], db=db)
    paused = workflow.run("x")
    first, second = paused.active_step_requirements
    first.confirm()
    still = api(workflow).continue_run(paused, step_requirements=[first])
    assert still.is_paused
    stored = workflow.get_run_output(str(paused.run_id))
    assert stored is not None
    for output in (still, stored):
        assert [step.content for step in output.step_results] == ["echo x"]
        assert [item.step_name for item in output.active_step_requirements] == ["right"]
    second.confirm()
    done = api(workflow).continue_run(still, step_requirements=[second])
    assert [step.step_name for step in done.step_results] == ["a", "both"]
