"""What a Router's choice made is looked at by a person, who may choose another route."""

from agno.db.sqlite import SqliteDb
from agno.workflow import OnReject, Router, Step, StepInput, StepOutput, Workflow


def quick(step_input: StepInput) -> StepOutput:
    return StepOutput(content="quick")


def deep(step_input: StepInput) -> StepOutput:
    return StepOutput(content="deep")


def report(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"report: {step_input.previous_step_content}")


def main(tape):
    db = SqliteDb(db_file=tape.file("review.db"))

    def workflow(name):
        router = Router(
            name="analysis",
            choices=[Step(name="quick", executor=quick), Step(name="deep", executor=deep)],
            selector=lambda step_input: [Step(name="quick", executor=quick)],
            user_input_message="Which?",
            requires_output_review=True,
            output_review_message="Good?",
            on_reject=OnReject.retry,
            hitl_max_retries=2,
        )
        return Workflow(name=name, db=db, steps=[router, Step(name="report", executor=report)])

    def asked(run):
        return [
            [
                run.status,
                item.step_name,
                item.step_type,
                item.requires_output_review,
                item.requires_route_selection,
                item.available_choices,
                item.selected_choices,
                item.step_output.content if item.step_output else None,
            ]
            for item in (run.step_requirements or [])[-1:]
        ]

    def play(label, *answers):
        flow = workflow(label)
        run = flow.run("x", session_id=label)
        for number, answer in enumerate(answers):
            tape.note(f"{label}: asked {number}", asked(run))
            answer(run)
            run = flow.continue_run(run)
        tape.output(label, run)

    def review(run):
        return run.steps_requiring_output_review[0]

    def route(run):
        return run.steps_requiring_route[0]

    play("accept", lambda run: review(run).confirm())
    play(
        "again",
        lambda run: review(run).reject("deeper"),
        lambda run: route(run).select("deep"),
        lambda run: review(run).confirm(),
    )
    play(
        "the same again",
        lambda run: review(run).reject(),
        lambda run: route(run).select_single("quick"),
        lambda run: review(run).confirm(),
    )
    flow = workflow("stream")
    tape.stream("stream", flow, input="x", session_id="stream")
    run = flow.get_session(session_id="stream").runs[-1]
    review(run).reject()
    tape.events("stream: rejected", flow.continue_run(run, stream=True, stream_events=True))
    run = flow.get_session(session_id="stream").runs[-1]
    route(run).select("deep")
    tape.events("stream: chosen", flow.continue_run(run, stream=True, stream_events=True))
