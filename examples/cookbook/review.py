"""Let a person edit an output before later steps see it."""

from __future__ import annotations

from workflow_runtime import Step, StepInput, Workflow


def draft(step_input: StepInput) -> str:
    return "Dear customer, no."


def send(step_input: StepInput) -> str:
    return f"sent: {step_input.previous_step_content}"


workflow = Workflow(steps=[Step("draft", executor=draft, requires_output_review=True), send])
paused = workflow.run("complaint")
(question,) = paused.step_requirements or []
question.edit("Dear customer, we are sorry.")
print(workflow.continue_run(paused).content)

# prints:
# sent: Dear customer, we are sorry.
