"""A step that ends the workflow, at the top and inside containers."""

from agno.workflow import Condition, Loop, Parallel, Step, StepInput, StepOutput, Steps, Workflow


def before(step_input: StepInput) -> StepOutput:
    return StepOutput(content="before")


def guard(step_input: StepInput) -> StepOutput:
    return StepOutput(content="not safe", stop=True)


def never(step_input: StepInput) -> StepOutput:
    return StepOutput(content="never")


stopping = Step(name="guard", executor=guard)
then = Step(name="never", executor=never)


def main(tape):
    tape.modes(Workflow(name="Top", steps=[before, stopping, then]), label="top", input="x")
    tape.run("steps", Workflow(name="S", steps=[Steps(name="g", steps=[before, stopping, never]), then]), input="x")
    tape.run("condition", Workflow(name="C", steps=[Condition(name="c", steps=[stopping, never]), then]), input="x")
    tape.run("parallel", Workflow(name="P", steps=[Parallel(stopping, before, name="p"), then]), input="x")
    tape.run(
        "loop", Workflow(name="L", steps=[Loop(name="l", steps=[before, stopping], max_iterations=3), then]), input="x"
    )
