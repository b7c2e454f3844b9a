"""Repeat a step until its output is good enough, five times at most."""

from __future__ import annotations

from workflow_runtime import Loop, StepInput, StepOutput, Workflow


def improve(step_input: StepInput) -> int:
    return int(step_input.previous_step_content or step_input.input) + 30


def good_enough(outputs: list[StepOutput]) -> bool:
    return bool(outputs[-1].content >= 100)


loop = Loop([improve], name="polish", end_condition=good_enough, max_iterations=5, forward_iteration_output=True)
output = Workflow(steps=[loop]).run(10)
print(output.content, output.step_results[0].steps[-1].content)  # type: ignore[index]

# prints:
# 100 100
