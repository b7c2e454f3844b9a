"""Read the outputs of earlier steps by name, at any depth."""

from __future__ import annotations

from workflow_runtime import Parallel, StepInput, Workflow


def words(step_input: StepInput) -> int:
    return len(step_input.input.split())


def letters(step_input: StepInput) -> int:
    return len(step_input.input)


def report(step_input: StepInput) -> str:
    return f"{step_input.get_step_content('words')} words, {step_input.get_step_content('letters')} letters"


print(Workflow(steps=[Parallel(words, letters, name="count"), report]).run("to be or not").content)

# prints:
# 4 words, 12 letters
