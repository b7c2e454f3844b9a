"""End a workflow early, as a success."""

from __future__ import annotations

from workflow_runtime import StepInput, StepOutput, Workflow


def check(step_input: StepInput) -> StepOutput:
    if step_input.input == "spam":
        return StepOutput(content="nothing to do", stop=True)
    return StepOutput(content="looks fine")


def answer(step_input: StepInput) -> str:
    return "answered"


workflow = Workflow(steps=[check, answer])
print(workflow.run("hello").content, "|", workflow.run("spam").content)

# prints:
# answered | nothing to do
