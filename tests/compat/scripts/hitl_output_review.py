"""A person looks at what a step made: keeps it, changes it, throws it away, or has it done over."""

from agno.db.sqlite import SqliteDb
from agno.workflow import HumanReview, Loop, Router, Step, StepInput, StepOutput, Workflow


def write(step_input: StepInput) -> StepOutput:
    extra = step_input.additional_data or {}
    feedback = extra.get("rejection_feedback")
    return StepOutput(content=f"draft ({feedback}; {extra.get('previous_output')})" if feedback else "draft")


def publish(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"published {step_input.previous_step_content}")


def is_long(output: StepOutput) -> bool:
    return len(output.content) > 100


def main(tape):
    db = SqliteDb(db_file=tape.file("review.db"))

    def play(label, answers, *steps):
        workflow = Workflow(name=label, db=db, steps=list(steps))
        run = workflow.run("x", session_id=label)
        for number, answer in enumerate(answers):
            waiting = run.steps_requiring_output_review
            tape.note(
                f"{label}: asked {number}",
                [
                    run.status,
                    [
                        [
                            item.step_name,
                            item.step_output.content,
                            item.requires_confirmation,
                            item.confirmation_message,
                        ]
                        for item in waiting
                    ],
                ],
            )
            answer(waiting[0])
            run = workflow.continue_run(run)
        return tape.output(label, run)

    def reviewed(**options):
        return Step(name="write", executor=write, requires_output_review=True, output_review_message="Good?", **options)

    play("accept", [lambda item: item.confirm()], reviewed(), publish)
    play("edit", [lambda item: item.edit("better")], reviewed(), publish)
    play("discard", [lambda item: item.reject()], reviewed(), publish)
    play("cancel", [lambda item: item.reject()], reviewed(on_reject="cancel"), publish)
    retry = reviewed(on_reject="retry", hitl_max_retries=1)
    play("retry", [lambda item: item.reject("shorter"), lambda item: item.confirm()], retry, publish)
    play("too often", [lambda item: item.reject("no"), lambda item: item.reject("no")], retry, publish)
    grouped = HumanReview(requires_output_review=True, output_review_message="Good?")
    play(
        "human_review", [lambda item: item.confirm()], Step(name="write", executor=write, human_review=grouped), publish
    )
    play("not needed", [], Step(name="write", executor=write, requires_output_review=is_long), publish)
    loop = Loop(
        name="loop", steps=[Step(name="write", executor=write)], max_iterations=3, requires_iteration_review=True
    )
    play("iteration", [lambda item: item.confirm()], loop, publish)
    router = Router(
        name="route",
        choices=[Step(name="write", executor=write)],
        selector=lambda step_input: "write",
        requires_output_review=True,
        output_review_message="Good?",
    )
    play("router", [lambda item: item.confirm()], router, publish)
    workflow = Workflow(name="stream", db=db, steps=[reviewed(), publish])
    tape.stream("stream", workflow, input="x", session_id="stream")
