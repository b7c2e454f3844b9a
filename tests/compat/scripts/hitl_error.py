"""A step fails and a person decides."""

from agno.db.sqlite import SqliteDb
from agno.workflow import OnError, Step, StepInput, StepOutput, Workflow

calls = []


def flaky(step_input: StepInput) -> StepOutput:
    calls.append(step_input.input)
    if calls.count(step_input.input) < 2:
        raise ConnectionError("no network")
    return StepOutput(content="got it")


def after(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"after {step_input.previous_step_content}")


def main(tape):
    db = SqliteDb(db_file=tape.file("error.db"))
    step = Step(name="flaky", executor=flaky, on_error=OnError.pause, max_retries=0)
    workflow = Workflow(name="Flaky", db=db, steps=[step, after])
    run = workflow.run("retry", session_id="retry")
    found = [[item.step_name, item.error_message, item.error_type] for item in run.steps_with_errors]
    tape.note("asked", [run.status, found])
    run.steps_with_errors[0].retry()
    tape.output("retry", workflow.continue_run(run))
    run = workflow.run("skip", session_id="skip")
    run.steps_with_errors[0].skip()
    tape.output("skip", workflow.continue_run(run))
