"""Let every branch finish, and continue with those that succeeded."""

from __future__ import annotations

from workflow_runtime import Parallel, Step, StepInput, Workflow


def steady(step_input: StepInput) -> str:
    return "steady"


def shaky(step_input: StepInput) -> str:
    raise OSError("disk full")


def summary(step_input: StepInput) -> str:
    return f"ok: {step_input.get_step_content('steady')}, failed: {step_input.get_step_output('shaky').error}"  # type: ignore[union-attr]


both = Parallel(steady, Step("shaky", executor=shaky, on_error="skip"), name="both")
print(Workflow(steps=[both, summary]).run("x").content)

# prints:
# ok: steady, failed: disk full
