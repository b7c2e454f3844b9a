"""Components that are run by themselves."""

from agno.run import RunContext
from agno.run.workflow import WorkflowRunOutput
from agno.workflow import Condition, Loop, Parallel, Router, Step, StepInput, StepOutput, Steps


def add(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"{step_input.input} after {step_input.previous_step_content}")


def words(step_input: StepInput):
    yield "a"
    yield "b"


def count(step_input: StepInput, session_state: dict) -> StepOutput:
    session_state["n"] = session_state.get("n", 0) + 1
    return StepOutput(content=str(session_state["n"]))


def context(step_input: StepInput, run_context: RunContext) -> StepOutput:
    run_context.session_state["seen"] = True
    return StepOutput(content=f"{run_context.session_state['n']}")


def boom(step_input: StepInput) -> StepOutput:
    raise ValueError("boom")


def tree(output):
    return [output.step_name, output.content, output.success, [tree(item) for item in output.steps or []]]


given = StepInput(
    input="x",
    previous_step_content="before",
    previous_step_outputs={"earlier": StepOutput(step_name="earlier", content="before")},
    additional_data={"k": 1},
)


def earlier(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"{step_input.get_step_content('earlier')} {step_input.additional_data}")


components = {
    "step": Step(name="add", executor=add),
    "earlier": Step(name="earlier step", executor=earlier),
    "generator": Step(name="words", executor=words),
    "steps": Steps(name="steps", steps=[add, words]),
    "parallel": Parallel(add, words, name="parallel"),
    "loop": Loop(name="loop", steps=[Step(name="add", executor=add)], max_iterations=2),
    "condition": Condition(name="condition", evaluator=True, steps=[Step(name="add", executor=add)]),
    "router": Router(name="router", choices=[Step(name="add", executor=add)], selector=lambda step_input: "add"),
}


async def main(tape):
    for name, component in components.items():
        tape.note(name, tree(component.execute(given)))
        tape.note(f"{name} async", tree(await component.aexecute(given)))
        seen = list(component.execute_stream(given, workflow_run_response=WorkflowRunOutput(), stream_events=True))
        tape.note(f"{name} stream", sorted({item.event for item in seen if hasattr(item, "event")} - {"StepOutput"}))
        tape.note(f"{name} last", [tree(item) for item in seen if isinstance(item, StepOutput)])
        seen = [
            item
            async for item in component.aexecute_stream(
                given, workflow_run_response=WorkflowRunOutput(), stream_events=True
            )
        ]
        tape.note(f"{name} async last", [tree(item) for item in seen if isinstance(item, StepOutput)])
    state = {"n": 1}
    tape.note("state", [tree(Step(name="count", executor=count).execute(given, session_state=state)), state["n"]])
    run_context = RunContext(run_id="r", session_id="s", session_state=state)
    tape.note("context", [tree(Step(name="c", executor=context).execute(given, run_context=run_context)), state])
    try:
        Step(name="boom", executor=boom, max_retries=0).execute(given)
    except ValueError as error:
        tape.note("failing", str(error))
