"""Several steps of one name, as copied code has them."""

from agno.workflow import Parallel, Step, StepInput, StepOutput, Workflow


def echo(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"{step_input.input}{step_input.previous_step_content or ''}")


def look(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"{step_input.get_step_content('echo')} {list(step_input.previous_step_outputs)}")


workflow = Workflow(name="Twice", steps=[echo, Step(name="echo", executor=echo), echo, look])
inside = Workflow(name="Inside", steps=[echo, Parallel(echo, Step(name="other", executor=echo), name="p"), look])


def main(tape):
    tape.modes(workflow, input="x")
    tape.run("inside", inside, input="x")
