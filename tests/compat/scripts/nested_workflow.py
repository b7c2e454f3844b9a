"""A workflow as a step of another one."""

from agno.workflow import Condition, Step, StepInput, StepOutput, Workflow


def clean(step_input: StepInput, session_state: dict) -> StepOutput:
    session_state["cleaned"] = True
    return StepOutput(content=f"clean {step_input.input}")


def measure(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"measured {step_input.previous_step_content}")


def report(step_input: StepInput, session_state: dict) -> StepOutput:
    return StepOutput(content=f"report on {step_input.previous_step_content} {session_state.get('cleaned')}")


def halt(step_input: StepInput) -> StepOutput:
    return StepOutput(content="halted", stop=True)


inner = Workflow(name="Inner", steps=[Step(name="clean", executor=clean), Step(name="measure", executor=measure)])
outer = Workflow(name="Outer", steps=[Step(name="prepare", workflow=inner), Step(name="report", executor=report)])
bare = Workflow(name="Bare", steps=[Condition(name="maybe", steps=[inner]), Step(name="report", executor=report)])
stopping = Workflow(
    name="Stopping",
    steps=[
        Step(name="inner", workflow=Workflow(name="Halt", steps=[Step(name="halt", executor=halt), measure])),
        Step(name="report", executor=report),
    ],
)


def main(tape):
    tape.modes(outer, input="data")
    tape.run("in a condition", bare, input="data")
    tape.run("inner stop", stopping, input="data")
