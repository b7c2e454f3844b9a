"""Let a person choose what happens next."""

from __future__ import annotations

from workflow_runtime import Router, StepInput, Workflow


def mail(step_input: StepInput) -> str:
    return "mailed"


def call(step_input: StepInput) -> str:
    return "called"


workflow = Workflow(steps=[Router([mail, call], name="way", requires_user_input=True)])
paused = workflow.run("x")
(question,) = paused.step_requirements or []
print(question.available_choices)
question.select("call")
print(workflow.continue_run(paused).step_results[0].steps[0].content)  # type: ignore[index]

# prints:
# ['mail', 'call']
# called
