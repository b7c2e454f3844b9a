"""Take one of two branches."""

from __future__ import annotations

from workflow_runtime import Condition, StepInput, Workflow


def is_long(step_input: StepInput) -> bool:
    return len(step_input.input) > 10


def summarise(step_input: StepInput) -> str:
    return f"{step_input.input[:10]}..."


def keep(step_input: StepInput) -> str:
    return str(step_input.input)


workflow = Workflow(steps=[Condition([summarise], evaluator=is_long, else_steps=[keep], name="long?")])
print(workflow.run("short").content, "|", workflow.run("rather a long text").content)

# prints:
# short | rather a l...
