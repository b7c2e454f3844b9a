"""A person fills a form before a step runs."""

from agno.db.sqlite import SqliteDb
from agno.workflow import Step, StepInput, StepOutput, Workflow
from agno.workflow.types import UserInputField


def collect(step_input: StepInput) -> StepOutput:
    return StepOutput(content="collected")


def apply(step_input: StepInput) -> StepOutput:
    given = (step_input.additional_data or {}).get("user_input", {})
    return StepOutput(content=f"{step_input.previous_step_content} with {sorted(given.items())}")


fields = [
    {"name": "threshold", "field_type": "float", "description": "From 0 to 1", "required": True},
    {"name": "mode", "field_type": "str", "required": False, "allowed_values": ["fast", "slow"]},
]


def main(tape):
    workflow = Workflow(
        name="Form",
        db=SqliteDb(db_file=tape.file("form.db")),
        steps=[
            collect,
            Step(
                name="apply",
                executor=apply,
                requires_user_input=True,
                user_input_message="How?",
                user_input_schema=fields,
            ),
        ],
    )
    run = workflow.run("x", session_id="form")
    requirement = run.steps_requiring_user_input[0]
    asked = [
        [field.name, field.field_type, field.required, field.allowed_values] for field in requirement.user_input_schema
    ]
    tape.note("asked", [run.status, requirement.step_name, requirement.user_input_message, asked])
    for label, values in (
        ("missing", {"mode": "fast"}),
        ("wrong type", {"threshold": "much"}),
        ("not allowed", {"threshold": 0.5, "mode": "sideways"}),
    ):
        try:
            requirement.set_user_input(**values)
        except ValueError as error:
            tape.note(label, str(error))
    requirement.set_user_input(threshold=0.5, mode="slow")
    tape.note("value", requirement.get_user_input("threshold"))
    tape.output("continued", workflow.continue_run(run))
    tape.note("field", UserInputField(name="n", field_type="int").required)
