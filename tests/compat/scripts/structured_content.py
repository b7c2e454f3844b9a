"""Models and dicts that go from step to step."""

from agno.workflow import Parallel, Step, StepInput, StepOutput, Workflow
from pydantic import BaseModel


class Findings(BaseModel):
    topic: str
    points: list[str]


class Plan(BaseModel):
    title: str
    steps: int


def research(step_input: StepInput) -> StepOutput:
    return StepOutput(content=Findings(topic=step_input.input, points=["a", "b"]))


def plan(step_input: StepInput) -> StepOutput:
    findings = step_input.previous_step_content
    return StepOutput(content=Plan(title=findings.topic.title(), steps=len(findings.points)))


def as_dict(step_input: StepInput) -> StepOutput:
    found = step_input.get_step_content("research")
    return StepOutput(content={"topic": found.topic, "plan": step_input.previous_step_content.title})


def use(step_input: StepInput) -> StepOutput:
    return StepOutput(
        content=f"{step_input.previous_step_content['plan']} {type(step_input.get_step_content('plan')).__name__}"
    )


workflow = Workflow(name="Structured", steps=[research, plan, as_dict, use])
last = Workflow(name="Last", steps=[research])
side = Workflow(
    name="Side",
    steps=[Parallel(Step(name="r", executor=research), Step(name="t", executor=lambda s: "text"), name="p")],
)


def main(tape):
    tape.modes(workflow, input="owls")
    tape.modes(last, label="model at the end", input="owls")
    tape.note("type", type(last.run("owls").content).__name__)
    tape.note("in parallel", [type(step.content).__name__ for step in side.run("owls").step_results[0].steps])
