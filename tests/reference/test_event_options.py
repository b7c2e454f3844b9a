"""stream, stream_events, stream_executor_events, store_events, events_to_skip and store_executor_outputs of the
constructor: what each shows or keeps. A run publishes the same events whatever they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from workflow_runtime import (
    BaseDb,
    CustomEvent,
    InMemoryDb,
    Loop,
    Parallel,
    RunContext,
    RunEvent,
    RunStream,
    Step,
    StepContentEvent,
    StepStartedEvent,
    SyncRunStream,
    TeamRunEvent,
    Workflow,
    WorkflowRunEvent,
    WorkflowRunOutput,
)

from .helpers import Agent, Api, Launch, echo, finished, names

EXECUTOR = ["RunStarted", "RunContent", "RunContent", "RunCompleted"]
TEAM = ["TeamRunStarted", "TeamRunContent", "TeamRunCompleted"]


class Team(Agent):
    """A team: an agent with members, whose events have names of their own."""

    members = ("a", "b")

    async def arun(self, input: Any, **options: Any) -> AsyncIterator[Any]:
        yield {"event": "TeamRunStarted"}
        yield {"event": "TeamRunContent", "content": "together"}
        yield {"event": "TeamRunCompleted", "content": "together"}


def written(**options: Any) -> Workflow:
    """A function step and an agent step."""
    return Workflow(name="w", steps=[Step(name="a", executor=echo), Step(name="write", agent=Agent())], **options)


# -- stream -----------------------------------------------------------------------------------------------------------


def test_stream_true_makes_every_run_a_stream() -> None:
    workflow = written(stream=True)
    assert isinstance(workflow.run("x"), SyncRunStream)
    assert isinstance(workflow.arun("x"), RunStream)


@pytest.mark.parametrize("value", [None, False])
def test_stream_off_makes_a_run_return_its_output(api: Api, value: bool | None) -> None:
    assert isinstance(api(written(stream=value)).run("x"), WorkflowRunOutput)


def test_stream_true_of_the_call_overrides_the_constructor_s_false(api: Api) -> None:
    assert names(api(written(stream=False)).run("x", stream=True))[0] == "WorkflowStarted"


# -- stream_events ----------------------------------------------------------------------------------------------------


def test_stream_events_false_shows_outputs_and_content_only(api: Api) -> None:
    assert names(api(written()).run("x", stream=True)) == [
        "WorkflowStarted",
        "StepOutput",
        "RunContent",
        "RunContent",
        "WorkflowCompleted",
    ]


def test_stream_events_true_shows_the_steps_and_the_executor(api: Api) -> None:
    assert names(api(written(stream_events=True)).run("x", stream=True)) == [
        "WorkflowStarted",
        *("StepStarted", "StepOutput", "StepCompleted"),
        *("StepStarted", *EXECUTOR, "StepCompleted"),
        "WorkflowCompleted",
    ]


def test_stream_events_true_shows_containers(api: Api) -> None:
    loop = Loop(name="twice", steps=[Step(name="again", executor=echo)], max_iterations=2)
    workflow = Workflow(steps=[loop, Parallel(Step(name="left", executor=echo), name="both")], stream_events=True)
    child = ["StepStarted", "StepCompleted"]
    assert names(api(workflow).run("x", stream=True)) == [
        "WorkflowStarted",
        "LoopExecutionStarted",
        *("LoopIterationStarted", *child, "LoopIterationCompleted"),
        *("LoopIterationStarted", *child, "LoopIterationCompleted"),
        "LoopExecutionCompleted",
        *("ParallelExecutionStarted", *child, "ParallelExecutionCompleted"),
        "WorkflowCompleted",
    ]


def test_stream_events_says_nothing_about_a_run_s_numbers(api: Api) -> None:
    quiet = api(written()).run("x", stream=True)
    loud = api(written(stream_events=True)).run("x", stream=True)
    assert [event.seq for event in loud] == list(range(1, len(loud) + 1))
    assert {event.seq: event.event for event in quiet}.items() <= {event.seq: event.event for event in loud}.items()


# -- stream_executor_events ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream_events", [True, False])
@pytest.mark.parametrize("kind", ["agent", "team"])
def test_stream_executor_events_false_hides_every_event_of_agents_and_teams(
    api: Api, kind: str, stream_events: bool
) -> None:
    step = Step(name="write", agent=Agent()) if kind == "agent" else Step(name="write", team=Team())
    workflow = Workflow(steps=[step], stream_events=stream_events, stream_executor_events=False)
    found = names(api(workflow).run("x", stream=True))
    assert [name for name in found if name in (*EXECUTOR, *TEAM)] == []
    assert found.count("StepCompleted") == stream_events


def test_stream_executor_events_true_is_the_default(api: Api) -> None:
    found = names(api(written(stream_events=True)).run("x", stream=True))
    assert [name for name in found if name in EXECUTOR] == EXECUTOR


def test_stream_executor_events_false_hides_the_inside_of_nested_workflows(api: Api) -> None:
    inner = Workflow(name="inner", steps=[Step(name="deep", executor=echo)])
    workflow = Workflow(steps=[inner], stream_events=True, stream_executor_events=False)
    events = api(workflow).run("x", stream=True)
    assert [event.event for event in events if event.nested_depth == 1] == ["WorkflowCompleted"]


# -- store_events -------------------------------------------------------------------------------------------------------


def test_store_events_true_keeps_every_event_on_the_output_and_in_the_database(db: BaseDb, launch: Launch) -> None:
    workflow = written(store_events=True, db=db)
    output = launch(workflow, "x")
    assert names(output.events) == [
        "WorkflowStarted",
        *("StepStarted", "StepOutput", "StepCompleted"),
        *("StepStarted", *EXECUTOR, "StepCompleted"),
        "WorkflowCompleted",
    ]
    stored = workflow.get_run_output(str(output.run_id))
    assert stored is not None
    assert stored.events == output.events


def test_store_events_true_keeps_the_same_whatever_a_stream_shows(launch: Launch) -> None:
    def quiet(output: WorkflowRunOutput) -> list[tuple[int, str]]:
        return [(event.seq, event.event) for event in output.events or ()]

    reference = quiet(written(store_events=True).run("x"))
    assert quiet(launch(written(store_events=True, stream_executor_events=False), "x")) == reference


def test_store_events_false_keeps_none(db: BaseDb, launch: Launch) -> None:
    workflow = written(db=db)
    output = launch(workflow, "x")
    assert output.events is None
    stored = workflow.get_run_output(str(output.run_id))
    assert stored is not None
    assert stored.events is None


@pytest.mark.anyio
async def test_store_events_false_keeps_none_of_a_background_run_either(db: BaseDb) -> None:
    workflow = written(db=db)
    pending = await workflow.arun("x", background=True)
    assert (await finished(workflow, pending.run_id)).events is None
    replayed = [event async for event in workflow.subscribe(str(pending.run_id))]
    assert names(replayed)[-1] == "WorkflowCompleted"


def test_store_events_true_keeps_the_events_of_a_continued_run(db: BaseDb) -> None:
    steps = [Step(name="a", executor=echo), Step(name="ask", executor=echo, requires_confirmation=True)]
    workflow = Workflow(steps=steps, db=db, store_events=True)
    paused = workflow.run("x")
    paused.active_step_requirements[0].confirm()
    output = workflow.continue_run(paused)
    stored = workflow.get_run_output(str(output.run_id))
    assert stored is not None
    for found in (output, stored):
        assert names(found.events) == [
            "WorkflowStarted",
            *("StepStarted", "StepOutput", "StepCompleted"),
            *("StepPaused", "WorkflowPaused", "StepContinued"),
            *("StepStarted", "StepOutput", "StepCompleted"),
            "WorkflowCompleted",
        ]
        assert [event.seq for event in found.events or ()] == list(range(1, 12))


def test_store_events_true_keeps_the_events_of_a_failed_run(db: BaseDb) -> None:
    def refuse() -> None:
        raise LookupError("no")

    workflow = Workflow(steps=[Step(name="bad", executor=refuse)], db=db, store_events=True)
    with pytest.raises(LookupError):
        workflow.run(run_id="r")
    stored = workflow.get_run_output("r")
    assert stored is not None
    assert names(stored.events) == ["WorkflowStarted", "StepStarted", "StepError", "WorkflowError"]


# -- events_to_skip -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "skipped",
    [
        [WorkflowRunEvent.step_started, RunEvent.run_content],
        ["StepStarted", "RunContent"],
        [StepStartedEvent, "RunContent"],
        (WorkflowRunEvent.step_started, "RunContent"),
    ],
    ids=["members", "strings", "classes", "mixed"],
)
def test_events_to_skip_are_not_stored(db: BaseDb, launch: Launch, skipped: Any) -> None:
    workflow = written(store_events=True, events_to_skip=skipped, db=db)
    output = launch(workflow, "x")
    stored = workflow.get_run_output(str(output.run_id))
    assert stored is not None
    for found in (output, stored):
        assert names(found.events) == [
            "WorkflowStarted",
            *("StepOutput", "StepCompleted"),
            *("RunStarted", "RunCompleted", "StepCompleted"),
            "WorkflowCompleted",
        ]


def test_events_to_skip_takes_the_events_of_teams(launch: Launch) -> None:
    workflow = Workflow(
        steps=[Step(name="team", team=Team())], store_events=True, events_to_skip=[TeamRunEvent.run_content]
    )
    found = names(launch(workflow, "x").events)
    assert [name for name in found if name.startswith("Team")] == ["TeamRunStarted", "TeamRunCompleted"]


def test_events_to_skip_takes_events_of_ones_own() -> None:
    def work(run_context: RunContext) -> Any:
        run_context.emit(CustomEvent(note="x"))
        yield "text"

    workflow = Workflow(
        steps=[Step(name="work", executor=work)],
        store_events=True,
        events_to_skip=[WorkflowRunEvent.custom_event, StepContentEvent],
    )
    found = names(workflow.run("x").events)
    assert "CustomEvent" not in found
    assert "StepContent" not in found
    assert "StepCompleted" in found


def test_events_to_skip_are_still_streamed(api: Api) -> None:
    workflow = written(store_events=True, stream_events=True, events_to_skip=["StepStarted"])
    assert "StepStarted" in names(api(workflow).run("x", stream=True))


def test_events_to_skip_do_not_hurt_continuing(db: BaseDb) -> None:
    ran: list[str] = []

    def once(step_input: Any) -> str:
        ran.append("once")
        return "x"

    steps = [Step(name="once", executor=once), Step(name="ask", executor=echo, requires_confirmation=True)]
    skipped = [WorkflowRunEvent.step_started, WorkflowRunEvent.step_completed, WorkflowRunEvent.step_paused]
    workflow = Workflow(steps=steps, db=db, store_events=True, events_to_skip=skipped)
    paused = workflow.run("x")
    paused.active_step_requirements[0].confirm()
    assert workflow.continue_run(paused).content == "echo x"
    assert ran == ["once"]


# -- store_executor_outputs -----------------------------------------------------------------------------------------------


def test_store_executor_outputs_keeps_the_runs_of_the_executors(db: BaseDb, launch: Launch) -> None:
    workflow = Workflow(
        steps=[Step(name="write", agent=Agent()), Parallel(Step(name="deep", agent=Agent("second")))], db=db
    )
    output = launch(workflow, "x")
    stored = workflow.get_run_output(str(output.run_id))
    assert stored is not None
    for found in (output, stored):
        runs = found.step_executor_runs or []
        assert [(run.step_name, run.executor_name, run.executor_type, run.content) for run in runs] == [
            ("write", "writer", "agent", "Hello there"),
            ("deep", "second", "agent", "Hello there"),
        ]
        assert [(run.run_id, run.parent_run_id) for run in runs] == [("agent-run", output.run_id)] * 2


def test_store_executor_outputs_shows_them_on_the_last_event_too(db: BaseDb, launch: Launch) -> None:
    for kept in (True, False):
        workflow = Workflow(
            steps=[Step(name="write", agent=Agent())], db=db, store_events=True, store_executor_outputs=kept
        )
        output = launch(workflow, "x")
        stored = workflow.get_run_output(str(output.run_id))
        assert stored is not None
        for found in (output, stored):
            assert found.events is not None
            runs = found.events[-1].step_executor_runs
            assert [run.content for run in runs or ()] == (["Hello there"] if kept else [])


def test_store_executor_outputs_false_keeps_none(db: BaseDb, launch: Launch) -> None:
    workflow = Workflow(steps=[Step(name="write", agent=Agent())], db=db, store_executor_outputs=False)
    output = launch(workflow, "x")
    assert output.step_executor_runs is None
    assert output.step_results[0].content == "Hello there"
    stored = workflow.get_run_output(str(output.run_id))
    assert stored is not None
    assert stored.step_executor_runs is None


def test_store_executor_outputs_of_a_continued_run_keeps_those_before_and_after() -> None:
    steps = [Step(name="first", agent=Agent()), Step(name="second", agent=Agent(), requires_confirmation=True)]
    workflow = Workflow(steps=steps, db=InMemoryDb())
    paused = workflow.run("x")
    paused.active_step_requirements[0].confirm()
    output = workflow.continue_run(paused)
    assert [run.step_name for run in output.step_executor_runs or ()] == ["first", "second"]
