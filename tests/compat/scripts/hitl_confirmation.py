"""A person says yes or no before a step runs."""

from agno.db.sqlite import SqliteDb
from agno.workflow import Condition, Loop, OnReject, Step, StepInput, StepOutput, Steps, Workflow
from agno.workflow.decorators import pause


def fetch(step_input: StepInput) -> StepOutput:
    return StepOutput(content="fetched")


def process(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"processed {step_input.previous_step_content}")


def save(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"saved {step_input.previous_step_content}")


@pause(requires_confirmation=True, confirmation_message="Really?")
def marked(step_input: StepInput) -> StepOutput:
    return StepOutput(content="marked")


def asked(run):
    return [
        [item.step_name, item.requires_confirmation, item.confirmation_message]
        for item in run.steps_requiring_confirmation
    ]


def main(tape):
    db = SqliteDb(db_file=tape.file("confirm.db"))

    def play(label, answer, *steps):
        workflow = Workflow(name=label, db=db, steps=list(steps))
        run = workflow.run("x", session_id=label)
        tape.note(
            f"{label}: asked", [run.status, run.is_paused, run.paused_step_name, run.paused_step_index, asked(run)]
        )
        for requirement in run.steps_requiring_confirmation:
            answer(requirement)
        return tape.output(label, workflow.continue_run(run))

    def yes(requirement):
        requirement.confirm()

    def no(requirement):
        requirement.reject()

    confirmed = Step(name="process", executor=process, requires_confirmation=True, confirmation_message="Go on?")
    play("yes", yes, fetch, confirmed, save)
    play("no", no, fetch, confirmed, save)
    cancelling = Step(name="process", executor=process, requires_confirmation=True, on_reject=OnReject.cancel)
    play("cancel", no, fetch, cancelling, save)
    play("decorated", yes, fetch, Step(name="marked", executor=marked), save)
    play("steps", yes, Steps(name="group", steps=[fetch], requires_confirmation=True), save)
    play("loop", yes, Loop(name="loop", steps=[fetch], max_iterations=2, requires_confirmation=True), save)
    choice = Condition(name="cond", steps=[fetch], else_steps=[process], requires_confirmation=True)
    play("condition yes", yes, choice, save)
    play("condition no", no, choice, save)
    workflow = Workflow(name="stream", db=db, steps=[fetch, confirmed, save])
    tape.stream("stream: paused", workflow, input="x", session_id="st")
    run = workflow.get_session(session_id="st").runs[-1]
    for requirement in run.steps_requiring_confirmation:
        requirement.confirm()
    tape.events("stream: continued", workflow.continue_run(run, stream=True, stream_events=True))
    unresolved = Workflow(name="unresolved", db=db, steps=[fetch, confirmed, save])
    run = unresolved.run("x", session_id="unresolved")
    try:
        unresolved.continue_run(run)
    except ValueError as error:
        tape.note("unresolved", str(error))
    for requirement in run.steps_requiring_confirmation:
        requirement.confirm()
    loaded = unresolved.continue_run(
        run_id=run.run_id, session_id="unresolved", step_requirements=run.step_requirements
    )
    tape.output("by id", loaded)
    try:
        unresolved.continue_run(loaded)
    except ValueError as error:
        tape.note("not paused", str(error).split(" (")[0])
