"""Steps that yield what they make."""

from typing import Iterator

from agno.run.agent import RunContentEvent
from agno.workflow import Step, StepInput, StepOutput, Workflow


def words(step_input: StepInput) -> Iterator[str]:
    for word in ("one ", "two ", "three"):
        yield word


def mixed(step_input: StepInput):
    yield "count: "
    yield 3
    yield {"a": 1}


def final(step_input: StepInput):
    yield "thrown away"
    yield StepOutput(content=f"final of {step_input.previous_step_content}")
    yield "never"


def spoken(step_input: StepInput):
    yield RunContentEvent(content="Hel")
    yield RunContentEvent(content="lo")


workflow = Workflow(name="Generators", steps=[words, mixed, Step(name="final", executor=final), spoken])


def main(tape):
    tape.modes(workflow, input="x")
