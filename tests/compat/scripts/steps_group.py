"""Steps: named sequences, one inside the other."""

from agno.workflow import Step, StepInput, StepOutput, Workflow
from agno.workflow.steps import Steps


def draft(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"draft of {step_input.input}")


def edit(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"edited {step_input.previous_step_content}")


def publish(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"published {step_input.previous_step_content}")


writing = Steps(
    name="writing",
    description="Write and edit",
    steps=[Step(name="draft", executor=draft), Steps(name="editing", steps=[Step(name="edit", executor=edit)])],
)
workflow = Workflow(name="Book", steps=[writing, publish])


def main(tape):
    tape.modes(workflow, input="a poem")
