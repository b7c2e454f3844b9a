"""Send a draft back with feedback; the step runs again and gets the feedback."""

from __future__ import annotations

from workflow_runtime import Step, StepInput, Workflow


def draft(step_input: StepInput) -> str:
    feedback = (step_input.additional_data or {}).get("rejection_feedback")
    return f"draft, {feedback}" if feedback else "draft"


workflow = Workflow(steps=[Step("draft", executor=draft, requires_output_review=True, on_reject="retry")])
output = workflow.run("x")
(output.step_requirements or [])[-1].reject("shorter")
output = workflow.continue_run(output)
(output.step_requirements or [])[-1].confirm()
print(workflow.continue_run(output).content)

# prints:
# draft, shorter
