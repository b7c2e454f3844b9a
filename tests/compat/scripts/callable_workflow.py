"""A function as the workflow."""

from agno.workflow import Step, StepInput, StepOutput, Workflow, WorkflowExecutionInput


def shout(step_input: StepInput) -> StepOutput:
    return StepOutput(content=str(step_input.input).upper())


step = Step(name="shout", executor=shout)


def simple(workflow: Workflow, execution_input: WorkflowExecutionInput):
    return f"{workflow.name}: {execution_input.input}"


def with_steps(workflow: Workflow, execution_input: WorkflowExecutionInput):
    output = step.execute(StepInput(input=execution_input.input))
    return f"{output.content}!"


def stateful(workflow: Workflow, execution_input: WorkflowExecutionInput, session_state: dict, suffix: str = "."):
    return f"{execution_input.input}{suffix}"


def chunks(workflow: Workflow, execution_input: WorkflowExecutionInput):
    yield "one "
    yield from step.execute_stream(StepInput(input="two "))
    yield 3


async def asynchronous(workflow: Workflow, execution_input: WorkflowExecutionInput):
    output = await step.aexecute(StepInput(input=execution_input.input))
    return f"async {output.content}"


async def async_chunks(workflow: Workflow, execution_input: WorkflowExecutionInput):
    yield "a"
    yield "b"


def fails(workflow: Workflow, execution_input: WorkflowExecutionInput):
    raise ValueError("boom")


async def main(tape):
    for function in (simple, with_steps, chunks, fails):
        tape.run(function.__name__, Workflow(name="Callable", steps=function), input="x")
    tape.run("kwargs", Workflow(name="Callable", steps=stateful), input="x", suffix="?")
    for function in (asynchronous, async_chunks):
        await tape.arun(function.__name__, Workflow(name="Callable", steps=function), input="x")
