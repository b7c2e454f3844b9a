"""Runs of nested workflows in ``step_executor_runs``: stored once, also over a pause, in the log and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

import workflow_runtime as strict
from workflow_runtime import BaseDb, WorkflowRunOutput
from workflow_runtime.compat.agno.workflow import Loop, Parallel, Step, StepInput, Workflow
from workflow_runtime.model import codec


def echo(step_input: StepInput) -> str:
    return f"echo {step_input.input}"


def nested(name: str, *steps: Any) -> Step:
    return Step(name=name, workflow=Workflow(name=f"{name} flow", steps=list(steps)))


def names(output: WorkflowRunOutput) -> list[Any]:
    return [
        [run.workflow_name, run.content, [step.step_name for step in run.step_results], names(run)]
        for run in output.step_executor_runs or ()
    ]


def test_each_iteration_and_branch_has_its_own(db: BaseDb) -> None:
    steps = [
        Loop(name="l", steps=[nested("a", echo)], max_iterations=2),
        Parallel(nested("b", nested("c", echo)), name="p"),
    ]
    workflow = Workflow(name="W", db=db, steps=steps)
    output = workflow.run("x", session_id="s")
    a, c = ["a flow", "echo x", ["echo"], []], ["c flow", "echo echo x", ["echo"], []]
    assert names(output) == [a, a, ["b flow", "echo echo x", ["c"], [c]]]
    ids = [run.run_id for run in output.step_executor_runs or ()]
    assert len(set(ids)) == 3
    stored = workflow.get_run(str(output.run_id))
    assert stored is not None
    assert names(stored) == names(output)
    assert stored.step_executor_runs == output.step_executor_runs


def test_what_the_steps_say_is_not_stored_twice(db: BaseDb) -> None:
    big = "x" * 1000
    workflow = Workflow(name="W", steps=[nested("a", nested("b", nested("c", lambda step_input: big)))])
    output = workflow.run("in")
    assert names(output)[0][1] == big
    without = Workflow(name="W", steps=workflow.steps, store_executor_outputs=False).run("in")
    listed, unlisted = codec.encode_run(output), codec.encode_run(without)
    assert listed.count(big.encode()) == unlisted.count(big.encode()) > 1
    assert codec.decode_run(listed).step_executor_runs == output.step_executor_runs


def test_a_pause_between_two_of_them_loses_none(db: BaseDb) -> None:
    steps = [nested("a", echo), Step(name="asked", executor=echo, requires_confirmation=True), nested("b", echo)]
    workflow = Workflow(name="W", db=db, steps=steps)
    paused = workflow.run("x", session_id="s")
    assert [run.workflow_name for run in paused.step_executor_runs or ()] == ["a flow"]
    paused.active_step_requirements[0].confirm()
    other = Workflow(name="W", db=db, steps=steps)
    output = other.continue_run(run_id=paused.run_id, session_id="s", step_requirements=paused.step_requirements)
    assert [run.workflow_name for run in output.step_executor_runs or ()] == ["a flow", "b flow"]


@pytest.mark.parametrize("kept", [True, False])
def test_the_last_event_of_the_log_has_them_too(db: BaseDb, kept: bool) -> None:
    workflow = Workflow(
        name="W", db=db, steps=[nested("a", nested("b", echo))], store_events=True, store_executor_outputs=kept
    )
    output = workflow.run("x", session_id="s")
    stored = workflow.get_run(str(output.run_id))
    assert stored is not None
    for events in (output.events, stored.events):
        assert events is not None
        runs = events[-1].step_executor_runs
        assert runs == output.step_executor_runs
        assert bool(runs) is kept


def test_it_is_json_and_the_strict_classes_list_none() -> None:
    output = Workflow(name="W", steps=[nested("a", echo)]).run("x")
    (run,) = json.loads(json.dumps(output.to_dict()))["step_executor_runs"]
    assert (run["workflow_name"], run["content"]) == ("a flow", "echo x")
    inner = strict.Workflow(name="inner", steps=[lambda step_input: "x"])
    plain = strict.Workflow(name="W", steps=[strict.Step(name="n", workflow=inner)]).run("x")
    assert plain.step_executor_runs is None
    assert plain.step_results[0].step_run_id == plain.run_id
