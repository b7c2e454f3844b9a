"""Select the step by the input."""

from __future__ import annotations

from workflow_runtime import Router, StepInput, Workflow


def refund(step_input: StepInput) -> str:
    return "refunded"


def answer(step_input: StepInput) -> str:
    return "answered"


def choose(step_input: StepInput) -> str:
    return "refund" if "money" in step_input.input else "answer"


workflow = Workflow(steps=[Router([refund, answer], choose, name="desk")])
print(workflow.run("I want my money back").content, workflow.run("When are you open?").content)

# prints:
# refunded answered
