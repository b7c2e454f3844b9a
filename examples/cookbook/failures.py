"""A failing step fails the run: its own exception is raised, with the output so far."""

from __future__ import annotations

from workflow_runtime import StepInput, Workflow


def book(step_input: StepInput) -> str:
    return "booked"


def pay(step_input: StepInput) -> str:
    raise ValueError("the card is expired")


try:
    Workflow(steps=[book, pay]).run("trip")
except ValueError as error:
    print(error)
    output = error.run_output  # type: ignore[attr-defined]
    print(output.status.value, [step.step_name for step in output.step_results if step.success])

# prints:
# the card is expired
# ERROR ['book']
