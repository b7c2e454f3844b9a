"""Stream or not, sync or async, in the background: the same run. (D1, D2, D3; issue: what must hold, 1)"""

from __future__ import annotations

from verbs import Verb

from workflow_runtime import BaseDb, RunStatus, Step, StepInput, Workflow


def shout(step_input: StepInput) -> str:
    return str(step_input.get_input_as_string()).upper()


async def count(step_input: StepInput) -> int:
    return len(step_input.previous_step_content)


def test_a_run_is_the_same_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[shout, Step(name="count", executor=count)], db=db, store_events=True)

    ran = verb(make, "hello")
    assert ran.status is RunStatus.completed
    assert ran.content == 5
    assert ran.names == [
        "WorkflowStarted",
        "StepStarted",
        "StepOutput",
        "StepCompleted",
        "StepStarted",
        "StepOutput",
        "StepCompleted",
        "WorkflowCompleted",
    ]
