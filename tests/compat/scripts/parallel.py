"""Parallel branches and a step that joins them."""

import time

from agno.workflow import Step, StepInput, StepOutput, Workflow
from agno.workflow.parallel import Parallel


def news(step_input: StepInput) -> StepOutput:
    time.sleep(0.05)  # the first branch ends last
    return StepOutput(content=f"news on {step_input.input}")


def papers(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"papers on {step_input.input}")


def blank(step_input: StepInput) -> StepOutput:
    return StepOutput(content="")


def join(step_input: StepInput) -> StepOutput:
    found = step_input.get_step_content("search")
    return StepOutput(content=f"{sorted(found.items())} | {step_input.get_step_content('news')}")


workflow = Workflow(
    name="Search",
    steps=[
        Parallel(
            Step(name="news", executor=news),
            Step(name="papers", executor=papers),
            Step(name="blank", executor=blank),
            name="search",
            description="Look everywhere",
        ),
        Step(name="join", executor=join),
    ],
)
positional = Workflow(name="Positional", steps=[Parallel("by name", news, papers)])


def main(tape):
    tape.modes(workflow, input="storms")
    tape.run("positional name", positional, input="x")
