"""Questions as data, those that a program makes itself, and what they say of themselves."""

from datetime import datetime, timezone

from agno.run.workflow import WorkflowRunOutput
from agno.workflow import Condition, Router, Step, StepInput, StepOutput, Steps
from agno.workflow.types import ErrorRequirement, StepRequirement, UserInputField
from agno.workflow.utils.hitl import check_timeout

KEYS = [
    "step_name", "step_index", "step_type", "requires_confirmation", "confirmation_message", "confirmed", "requires_user_input",
    "user_input_message", "user_input", "requires_route_selection", "available_choices", "allow_multiple_selections",
    "selected_choices", "requires_output_review", "output_review_message", "is_post_execution", "rejection_feedback",
    "retry_count", "on_timeout",
]  # fmt: skip


def work(step_input: StepInput) -> str:
    return "done"


def main(tape):
    def shown(label, asked, *more):
        data = asked.to_dict()
        tape.note(label, {key: data[key] for key in (*KEYS, *more)})
        again = StepRequirement.from_dict(data)
        tape.note(f"{label}: again", again.to_dict() == data)
        tape.note(
            f"{label}: needs",
            [
                asked.needs_confirmation,
                asked.needs_output_review,
                asked.needs_user_input,
                asked.needs_route_selection,
                asked.needs_executor_resolution,
                asked.is_resolved,
                asked.is_timed_out,
            ],
        )

    shown("bare", StepRequirement(step_id="s"), "on_reject", "max_retries", "timeout_at")
    given, made = StepInput(input="in"), StepOutput(content="out")
    confirm = Step(name="confirm", executor=work, requires_confirmation=True, confirmation_message="Sure?")
    shown("confirm", confirm.create_step_requirement(0, given), "on_reject")
    form = Step(
        name="form",
        executor=work,
        requires_user_input=True,
        user_input_message="Please",
        user_input_schema=[{"name": "n", "field_type": "int"}],
        on_reject="cancel",
    )
    asked = form.create_step_requirement(1, given)
    shown("form", asked, "on_reject")
    asked.set_user_input(n=3)
    tape.note("form: filled", [asked.user_input, asked.get_user_input("n"), asked.needs_user_input])
    review = Step(
        name="review", executor=work, requires_output_review=True, output_review_message="Good?", on_reject="retry"
    )
    shown("review", review.create_output_review_requirement(2, given, made, retry_count=1), "on_reject", "max_retries")
    router = Router(
        name="router",
        choices=[confirm, form],
        requires_user_input=True,
        user_input_message="Which?",
        requires_output_review=True,
        output_review_message="Good?",
    )
    shown("route", router.create_step_requirement(0, given, for_route_selection=True))
    shown("route review", router.create_output_review_requirement(0, given, made), "max_retries")
    sure = {"requires_confirmation": True, "confirmation_message": "Sure?"}
    for group in (Condition(name="box", steps=[confirm], **sure), Steps(name="box", steps=[form], **sure)):
        shown(type(group).__name__, group.create_step_requirement(3, given), "on_reject")
    failed = confirm.create_error_requirement(3, ValueError("no")).to_dict()
    names = ["step_name", "step_index", "error_message", "error_type", "retry_count", "decision"]
    tape.note("error", {name: failed[name] for name in names})
    again = ErrorRequirement.from_dict(failed)
    again.retry()
    tape.note("error: again", [again.should_retry, again.should_skip, again.is_resolved, again.needs_decision])
    noon = datetime(2025, 6, 15, 12, tzinfo=timezone.utc)
    late = StepRequirement(step_id="s", timeout_at=noon, on_timeout="skip")
    tape.note("deadline", [late.is_timed_out, check_timeout(late), late.to_dict()["timeout_at"]])
    tape.note("deadline: again", StepRequirement.from_dict(late.to_dict()).timeout_at == noon)
    field = UserInputField(name="a", field_type="int", required=False)
    tape.note("field", [field.to_dict(), UserInputField.from_dict({"name": "b"}).to_dict()])
    tool = {"tool_name": "t", "tool_args": {}, "requires_confirmation": True}
    for confirmed in (None, True, False):
        asked = StepRequirement(
            step_id="s",
            requires_executor_input=True,
            executor_requirements=[{"tool_execution": {**tool, "confirmed": confirmed}}],
        )
        tape.note(f"tool {confirmed}", asked.needs_executor_resolution)
    rejected = StepRequirement(step_id="s", requires_output_review=True, step_output=made)
    rejected.reject("again")
    edited = StepRequirement(step_id="s", requires_output_review=True, step_output=made)
    edited.edit("better")
    for label, item in (("rejected", rejected), ("edited", edited)):
        data = item.to_dict()
        tape.note(label, [data["confirmed"], data["rejection_feedback"], data.get("edited_output")])
        tape.note(f"{label}: output", data["step_output"])
    tape.note("input", StepInput(input="in").to_dict())
    tape.note("output", StepOutput(content="out", steps=[StepOutput(content="inner")]).to_dict())
    tape.note("output: again", StepOutput.from_dict(StepOutput(content="out").to_dict()).content)
    run = WorkflowRunOutput(run_id="r", step_requirements=[edited], step_results=[made])
    data = run.to_dict()
    tape.note("run", [data["step_requirements"][0]["confirmed"], data["step_results"][0]["success"]])
    tape.note("run: again", WorkflowRunOutput.from_dict(data).step_requirements[0].edited_output)
