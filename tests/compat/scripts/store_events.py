"""Events that are stored with the run, all or some."""

from agno.db.sqlite import SqliteDb
from agno.run.workflow import WorkflowRunEvent
from agno.workflow import Parallel, Step, StepInput, StepOutput, Workflow


def one(step_input: StepInput) -> StepOutput:
    return StepOutput(content="one")


def two(step_input: StepInput) -> StepOutput:
    return StepOutput(content="two")


def stored(workflow, session_id):
    run = workflow.get_last_run_output(session_id=session_id)
    return [event.event for event in run.events or []]


def main(tape):
    db = SqliteDb(db_file=tape.file("events.db"))
    steps = [Step(name="one", executor=one), Parallel(Step(name="two", executor=two), name="p")]
    everything = Workflow(name="All", db=db, steps=steps, store_events=True)
    some = Workflow(
        name="Some",
        db=db,
        steps=steps,
        store_events=True,
        events_to_skip=[WorkflowRunEvent.step_started, WorkflowRunEvent.workflow_completed, "ParallelExecutionStarted"],
    )
    without = Workflow(name="None", db=db, steps=steps)
    for name, workflow in (("all", everything), ("some", some), ("none", without)):
        list(workflow.run("x", session_id=name, stream=True, stream_events=True))
        tape.note(name, stored(workflow, name))
