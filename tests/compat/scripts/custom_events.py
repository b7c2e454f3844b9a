"""Events of the user's own, yielded by a step."""

from dataclasses import dataclass
from typing import Iterator, Optional, Union

from agno.run.workflow import CustomEvent, WorkflowRunEvent
from agno.workflow import Step, StepInput, StepOutput, Workflow


@dataclass
class Progress(CustomEvent):
    percent: Optional[int] = None


def download(step_input: StepInput) -> Iterator[Union[Progress, StepOutput]]:
    yield Progress(percent=0)
    yield Progress(percent=100)
    yield StepOutput(content=f"downloaded {step_input.input}")


def read(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"read {step_input.previous_step_content}")


workflow = Workflow(name="Download", steps=[Step(name="download", executor=download), read])


def main(tape):
    tape.modes(workflow, input="file")
    seen = tape.stream("typed", workflow, input="file")
    tape.note("percents", [event.percent for event in seen if isinstance(event, Progress)])
    tape.note("names", [event.event for event in seen if event.event == WorkflowRunEvent.custom_event.value])
