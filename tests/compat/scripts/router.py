"""Router: a selector that gives names, steps or lists of them."""

from typing import List

from agno.workflow import Router, Step, StepInput, StepOutput, Workflow


def tech(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"tech: {step_input.input}")


def web(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"web: {step_input.previous_step_content or step_input.input}")


def sign(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"signed {step_input.previous_step_content}")


tech_step = Step(name="tech", executor=tech)
web_step = Step(name="web", executor=web)


def by_object(step_input: StepInput) -> List[Step]:
    return [tech_step] if "code" in step_input.input else [web_step]


def by_name(step_input: StepInput) -> str:
    return "tech" if "code" in step_input.input else "web"


def both(step_input: StepInput) -> List[Step]:
    return [tech_step, web_step]


def by_choices(step_input: StepInput, step_choices: list):
    return next(step for step in step_choices if step.name == "web")


def by_state(step_input: StepInput, session_state: dict) -> str:
    return session_state["route"]


def fresh(step_input: StepInput) -> List[Step]:
    return [Step(name="web", executor=web), Step(name="tech", executor=tech)]


def none(step_input: StepInput):
    return None


def unknown(step_input: StepInput) -> str:
    return "nowhere"


def workflow(name, selector, choices=None):
    return Workflow(
        name=name, steps=[Router(name="route", choices=choices or [tech_step, web_step], selector=selector), sign]
    )


def main(tape):
    tape.modes(workflow("Object", by_object), label="object", input="code")
    tape.run("name", workflow("Name", by_name), input="weather")
    tape.modes(workflow("Both", both), label="both", input="x")
    tape.run("choices", workflow("Choices", by_choices), input="x")
    tape.run("state", workflow("State", by_state), input="x", session_state={"route": "tech"})
    tape.run("functions", workflow("Functions", lambda step_input: "web", [tech, web]), input="x")
    tape.run("group", workflow("Group", lambda step_input: "steps_group_1", [tech_step, [web_step]]), input="x")
    tape.modes(workflow("Fresh", fresh), label="fresh", input="x")
    tape.modes(workflow("None", none), label="none", input="x")
    tape.run("unknown", workflow("Unknown", unknown), input="x")
