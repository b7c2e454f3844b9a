"""Executors that are objects: with configuration, of every kind of function."""

from functools import partial

from agno.workflow import Condition, Loop, Router, Step, StepInput, StepOutput, Workflow


class Prefix:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def __call__(self, step_input: StepInput) -> StepOutput:
        return StepOutput(content=f"{self.prefix} {step_input.previous_step_content or step_input.input}")


class Chunks:
    def __call__(self, step_input: StepInput):
        yield "a"
        yield "b"


class Later:
    async def __call__(self, step_input: StepInput, session_state: dict) -> StepOutput:
        session_state["later"] = True
        return StepOutput(content=f"later {step_input.previous_step_content}")


class Service:
    def work(self, step_input: StepInput) -> StepOutput:
        return StepOutput(content=f"worked on {step_input.previous_step_content}")


class Limit:
    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, step_input: StepInput) -> bool:
        return len(step_input.input) > self.length


def join(mark: str, step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"{mark}{step_input.previous_step_content}{mark}")


class Done:
    def __call__(self, outputs) -> bool:
        return bool(outputs)


def main(tape):
    first = Step(name="first", executor=Prefix("hello"))
    method = Step(name="method", executor=Service().work)
    tape.modes(Workflow(name="Objects", steps=[first, Step(name="chunks", executor=Chunks()), method]), input="x")
    tape.run("bare method", Workflow(name="Bare", steps=[Service().work]), input="x")
    condition = Condition(name="long", evaluator=Limit(3), steps=[first], else_steps=[method])
    tape.run("long", Workflow(name="Long", steps=[condition]), input="abcdef")
    tape.run("short", Workflow(name="Short", steps=[condition]), input="a")
    tape.run("loop", Workflow(name="Loop", steps=[Loop(name="l", steps=[first], end_condition=Done())]), input="x")
    marked = Step(name="marked", executor=partial(join, "*"))
    tape.run("partial", Workflow(name="Partial", steps=[first, marked]), input="x")
    route = Router(name="r", choices=[first, method], selector=lambda step_input: "first")
    tape.run("router", Workflow(name="Router", steps=[route]), input="x")
