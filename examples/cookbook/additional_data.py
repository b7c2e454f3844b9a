"""Pass more than the input to a run: additional data and dependencies, injected by name."""

from __future__ import annotations

from typing import Any

from workflow_runtime import StepInput, Workflow


def greet(step_input: StepInput, additional_data: dict[str, Any], dependencies: dict[str, Any]) -> str:
    return f"{dependencies['greeting']}, {step_input.input} of {additional_data['town']}"


workflow = Workflow(steps=[greet], dependencies={"greeting": "Good morning"})
print(workflow.run("Ada", additional_data={"town": "London"}).content)

# prints:
# Good morning, Ada of London
