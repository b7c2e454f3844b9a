"""Pass images between steps: a step's images reach later steps and the run's output."""

from __future__ import annotations

from workflow_runtime import Image, StepInput, StepOutput, Workflow


def draw(step_input: StepInput) -> StepOutput:
    return StepOutput(content="drawn", images=[Image(url="https://example.org/cat.png")])


def caption(step_input: StepInput) -> str:
    return f"{len(step_input.images or [])} image to describe"


output = Workflow(steps=[draw, caption]).run("a cat")
print(output.content, [image.url for image in output.images or []])

# prints:
# 1 image to describe ['https://example.org/cat.png']
