"""Reaching any earlier step by its name."""

from agno.workflow import Parallel, Step, StepInput, StepOutput, Steps, Workflow


def first(step_input: StepInput) -> StepOutput:
    return StepOutput(content="one")


def second(step_input: StepInput) -> StepOutput:
    return StepOutput(content={"n": 2})


def left(step_input: StepInput) -> StepOutput:
    return StepOutput(content="L")


def right(step_input: StepInput) -> StepOutput:
    return StepOutput(content="R")


def report(step_input: StepInput) -> StepOutput:
    lines = [
        f"input={step_input.get_input_as_string()}",
        f"first={step_input.get_step_content('first')}",
        f"second={step_input.get_step_content('second')}",
        f"both={step_input.get_step_content('both')}",
        f"group={step_input.get_step_content('group')}",
        f"inner={step_input.get_step_content('inner')}",
        f"missing={step_input.get_step_content('missing')}",
        f"output={step_input.get_step_output('first').step_name}",
        f"last={step_input.get_last_step_content()}",
        f"all={step_input.get_all_previous_content()}",
        f"names={list(step_input.previous_step_outputs)}",
    ]
    return StepOutput(content="\n".join(lines))


workflow = Workflow(
    name="Previous",
    steps=[
        Step(name="first", executor=first),
        Step(name="second", executor=second),
        Parallel(Step(name="left", executor=left), Step(name="right", executor=right), name="both"),
        Steps(name="group", steps=[Step(name="inner", executor=first)]),
        Step(name="report", executor=report),
    ],
)


def main(tape):
    tape.run("text", workflow, input="topic")
    tape.run("dict", workflow, input={"topic": "x", "n": [1, 2]})
