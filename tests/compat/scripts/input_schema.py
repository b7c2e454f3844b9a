"""Structured input: a model in, a model out."""

from typing import List

from agno.workflow import Step, StepInput, StepOutput, Workflow
from pydantic import BaseModel, Field


class Topic(BaseModel):
    title: str
    points: List[str] = Field(default_factory=list)
    depth: int = 1


class Other(BaseModel):
    name: str


class Report(BaseModel):
    title: str
    length: int


def describe(step_input: StepInput) -> StepOutput:
    topic = step_input.input
    return StepOutput(content=f"{type(topic).__name__} {topic.title} {topic.points} {topic.depth}")


def report(step_input: StepInput) -> StepOutput:
    return StepOutput(content=Report(title=step_input.input.title, length=len(step_input.previous_step_content)))


def text(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"{step_input.previous_step_content.title}: {step_input.get_input_as_string()}")


workflow = Workflow(name="Typed", input_schema=Topic, steps=[describe, Step(name="report", executor=report), text])
untyped = Workflow(name="Untyped", steps=[describe])


def main(tape):
    tape.run("model", workflow, input=Topic(title="A", points=["x"]))
    tape.run("dict", workflow, input={"title": "B", "depth": 2})
    tape.run("json", workflow, input='{"title": "C"}')
    tape.run("model without schema", untyped, input=Topic(title="D"))
    for label, value in (("other model", Other(name="n")), ("list", ["a"]), ("none", None)):
        tape.run(label, workflow, input=value)
    for label, value in (("bad dict", {"depth": "deep"}), ("no json", "hello")):
        try:
            workflow.run(input=value)
        except ValueError as error:
            tape.note(label, str(error).split(":")[0])
