"""A Router that chooses a step again: each execution has a path of its own, so the journal has an outcome for each. (D7)"""

from __future__ import annotations

from typing import Any

import pytest
from verbs import Verb, of_kind

from workflow_runtime import (
    BaseDb,
    Loop,
    Router,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    Steps,
    Workflow,
    WorkflowRunOutput,
)

ran: list[str] = []


async def a(step_input: StepInput, run_context: RunContext) -> str:
    ran.append(run_context.path)
    return f"{step_input.previous_step_content}a{len(ran)}"


async def b(step_input: StepInput, run_context: RunContext) -> str:
    ran.append(run_context.path)
    return f"{step_input.previous_step_content}b{len(ran)}"


def chooses(*names: str) -> Any:
    return lambda step_input: list(names)


def guarded() -> Step:
    return Step(name="b", executor=b, requires_confirmation=True)


def test_a_step_that_is_chosen_twice_runs_twice_each_time_at_a_path_of_its_own(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        ran.clear()
        return Workflow(
            name="w", steps=[Router([a, b], selector=chooses("a", "b", "a"), name="r")], db=db, store_events=True
        )

    output = verb(make, "x")
    assert [event.path for event in of_kind(output.events, "StepCompleted")] == ["0.r/0.a", "0.r/1.b", "0.r#1/0.a"]
    assert {event.parent_step_id for event in of_kind(output.events, "StepCompleted")} == {"0.r"}
    assert output.content.endswith("a1b2a3")


async def answered(make: Any, output: WorkflowRunOutput) -> WorkflowRunOutput:
    """Continued by other objects, so that only what is stored counts, until nothing is open."""
    while output.is_paused:
        output.steps_requiring_confirmation[0].confirm()
        output = await make().acontinue_run(output)
    return output


@pytest.mark.anyio
async def test_a_continued_run_keeps_the_outcome_of_each_execution(db: BaseDb) -> None:
    ran.clear()

    def make() -> Workflow:
        return Workflow(name="w", db=db, steps=[Router([a, guarded()], selector=chooses("a", "b", "a", "b"), name="r")])

    output = await answered(make, await make().arun("x"))
    assert output.status is RunStatus.completed
    assert [step.content[-2:] for step in output.step_results[0].steps or ()] == ["a1", "b2", "a3", "b4"]
    assert ran == ["0.r/0.a", "0.r/1.b", "0.r#1/0.a", "0.r#1/1.b"]
    entries = await make().history(str(output.run_id))
    assert {entry.path for entry in entries if entry.kind == "Step"} == set(ran)


@pytest.mark.anyio
async def test_choices_inside_choices_inside_loops_have_paths_of_their_own_too(db: BaseDb) -> None:
    ran.clear()

    def make() -> Workflow:
        inner = Router([Loop([a], name="loop", max_iterations=2), guarded()], selector=chooses("b", "loop", "loop"))
        outer = Router([Steps(name="group", steps=[inner])], selector=chooses("group", "group"), name="outer")
        return Workflow(name="w", db=db, steps=[outer])

    output = await answered(make, await make().arun("x"))
    assert output.status is RunStatus.completed
    assert len(ran) == len(set(ran)) == 10  # each once, though the run was continued, each at its own path
    assert [step.content[-len(str(i)) - 1 :] for i, step in enumerate(leaves(output), 1)] == [
        f"{path[-1]}{i}" for i, path in enumerate(ran, 1)
    ]


def leaves(output: WorkflowRunOutput) -> list[Any]:
    return [step for top in output.step_results for step in top.walk() if not step.steps]


@pytest.mark.anyio
async def test_a_fork_at_the_second_execution_keeps_the_first(sqlite: Any, anyio_backend: Any) -> None:
    ran.clear()
    workflow = Workflow(name="w", db=sqlite, steps=[Router([a, b], selector=chooses("a", "b", "a"), name="r")])
    output = await workflow.arun("x")
    fork = await workflow.fork(str(output.run_id), at="0.r#1/0.a")
    assert ran == ["0.r/0.a", "0.r/1.b", "0.r#1/0.a", "0.r#1/0.a"]
    assert str(fork.content).endswith("a1b2a4")
