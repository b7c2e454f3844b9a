"""A person chooses the route."""

from agno.db.sqlite import SqliteDb
from agno.workflow import Router, Step, StepInput, StepOutput, Workflow


def quick(step_input: StepInput) -> StepOutput:
    return StepOutput(content="quick")


def deep(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"deep after {step_input.previous_step_content}")


def report(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"report: {step_input.previous_step_content}")


def main(tape):
    db = SqliteDb(db_file=tape.file("route.db"))
    choices = [Step(name="quick", executor=quick), Step(name="deep", executor=deep)]

    def play(label, answer, **options):
        router = Router(
            name="analysis", choices=choices, requires_user_input=True, user_input_message="Which?", **options
        )
        workflow = Workflow(name=label, db=db, steps=[router, report])
        run = workflow.run("x", session_id=label)
        item = run.steps_requiring_route[0]
        tape.note(
            f"{label}: asked",
            [
                run.status,
                item.step_name,
                item.available_choices,
                item.allow_multiple_selections,
                item.user_input_message,
            ],
        )
        answer(item)
        tape.output(label, workflow.continue_run(run))
        return workflow

    workflow = play("one", lambda item: item.select("deep"))
    play("single", lambda item: item.select_single("quick"))
    play("several", lambda item: item.select_multiple(["deep", "quick"]), allow_multiple_selections=True)
    tape.stream("stream", workflow, input="x", session_id="stream")
