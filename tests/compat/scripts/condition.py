"""Condition with an evaluator, with and without an else branch, and with evaluators that are not quite right."""

from agno.workflow import Condition, Step, StepInput, StepOutput, Workflow


def gather(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"data: {step_input.input}")


def verify(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"verified {step_input.previous_step_content}")


def trust(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"trusted {step_input.previous_step_content}")


def write(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"wrote {step_input.previous_step_content}")


def needs_check(step_input: StepInput) -> bool:
    return "claim" in str(step_input.previous_step_content)


def raises(step_input: StepInput) -> bool:
    raise ValueError("cannot tell")


def workflow(name, **options):
    return Workflow(
        name=name,
        steps=[
            gather,
            Condition(name="check", steps=[Step(name="verify", executor=verify)], **options),
            Step(name="write", executor=write),
        ],
    )


def main(tape):
    with_else = workflow("Else", evaluator=needs_check, else_steps=[Step(name="trust", executor=trust)])
    tape.modes(with_else, label="yes", input="a claim")
    tape.modes(with_else, label="no", input="a story")
    without = workflow("NoElse", evaluator=needs_check)
    tape.modes(without, label="no else", input="a story")
    tape.run("constant", workflow("Constant", evaluator=True), input="x")
    tape.run("text is no yes", workflow("Text", evaluator=lambda step_input: "yes"), input="x")
    tape.modes(workflow("Raises", evaluator=raises), label="raises", input="x")
