"""What a step knows of its run, and what the caller hands in beside the input."""

from agno.run import RunContext
from agno.workflow import Condition, Router, Step, StepInput, StepOutput, Workflow


def who(step_input: StepInput, run_context: RunContext) -> StepOutput:
    parts = [run_context.run_id, run_context.session_id, run_context.user_id, run_context.workflow_name]
    return StepOutput(content=" ".join(str(part) for part in parts))


def given(step_input: StepInput, run_context: RunContext) -> StepOutput:
    return StepOutput(content=f"{run_context.dependencies} {run_context.metadata} {step_input.additional_data}")


def is_admin(step_input: StepInput, run_context: RunContext) -> bool:
    return run_context.user_id == "ada"


def by_user(step_input: StepInput, run_context: RunContext) -> str:
    run_context.session_state["routed"] = True
    return "who" if run_context.user_id == "ada" else "given"


def state(step_input: StepInput, run_context: RunContext) -> StepOutput:
    return StepOutput(content=str(run_context.session_state.get("routed")))


FIELDS = ("output_schema", "knowledge_filters", "messages", "tools", "knowledge", "members", "client_tools")


def assigns(step_input: StepInput, run_context: RunContext) -> StepOutput:
    before = [getattr(run_context, name) for name in FIELDS]
    run_context.output_schema = int
    run_context.messages = ["m"]
    run_context.dependencies = {"c": 3}
    run_context.metadata = {"later": True}
    return StepOutput(content=f"{before}")


def is_assigned(step_input: StepInput, run_context: RunContext) -> bool:
    return run_context.output_schema is int


def finds(step_input: StepInput, run_context: RunContext) -> StepOutput:
    metadata = run_context.metadata or None
    found = [run_context.output_schema is int, run_context.messages, run_context.dependencies, metadata]
    return StepOutput(content=f"{found}")


assigning = Workflow(
    name="Assigning",
    dependencies={"a": 1},
    steps=[assigns, finds, Condition(name="assigned", evaluator=is_assigned, steps=[Step(name="f", executor=finds)])],
)
workflow = Workflow(
    name="Context",
    dependencies={"a": 1, "nested": {"x": 1}},
    metadata={"team": "blue"},
    steps=[
        who,
        given,
        Condition(name="admin", evaluator=is_admin, steps=[Step(name="inside", executor=who)], else_steps=[given]),
        Router(
            name="by user",
            choices=[Step(name="who", executor=who), Step(name="given", executor=given)],
            selector=by_user,
        ),
        state,
    ],
)


def main(tape):
    call = {"input": "x", "run_id": "run-1", "session_id": "s-1", "additional_data": {"k": "v"}}
    tape.run("assigned", assigning, input="x")
    tape.run("not assigned", Workflow(name="Not", steps=[finds]), input="x")
    alone = RunContext(run_id="r", session_id="s", output_schema=int, messages=["given"], metadata={"k": 1})
    tape.note("alone", Step(name="f", executor=finds).execute(StepInput(input="x"), run_context=alone).content)
    tape.run("ada", workflow, user_id="ada", **call)
    tape.run("bob", workflow, user_id="bob", **{**call, "session_id": "s-2"})
    tape.run("more", workflow, user_id="ada", dependencies={"b": 2, "nested": {"y": 2}}, metadata={"n": 1}, **call)
