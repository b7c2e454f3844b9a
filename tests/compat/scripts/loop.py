"""Loop: end conditions, the maximum, and what an iteration starts from."""

from typing import List

from agno.workflow import Step, StepInput, StepOutput, Workflow
from agno.workflow.loop import Loop


def work(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"{step_input.previous_step_content or step_input.input}+")


def check(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"checked {step_input.previous_step_content}")


def long_enough(outputs: List[StepOutput]) -> bool:
    return any(len(output.content) > 12 for output in outputs)


def broken(outputs: List[StepOutput]) -> bool:
    raise ValueError("no idea")


def workflow(name, **options):
    steps = [Step(name="work", executor=work), Step(name="check", executor=check)]
    return Workflow(name=name, steps=[Loop(name="refine", steps=steps, **options), lambda_free])


def lambda_free(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"after: {step_input.previous_step_content}")


def main(tape):
    tape.modes(
        workflow("Forward", max_iterations=4, end_condition=long_enough, forward_iteration_output=True), input="x"
    )
    tape.run("no forward", workflow("Fixed", max_iterations=2, end_condition=long_enough), input="x")
    tape.run("no condition", workflow("Plain"), input="x")
    tape.modes(workflow("Broken", max_iterations=2, end_condition=broken), label="broken condition", input="x")
