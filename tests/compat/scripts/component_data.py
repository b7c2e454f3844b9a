"""Steps as data and back, and what was declared, read back."""

from agno.registry import Registry
from agno.workflow import Condition, HumanReview, Loop, OnReject, Parallel, Router, Step, StepInput, Steps, Workflow

KEYS = {
    "Step": [
        "type", "name", "step_id", "description", "max_retries", "skip_on_failure", "strict_input_validation",
        "add_workflow_history", "num_history_runs", "executor_ref", "human_review",
    ],
    "Steps": ["type", "name", "description", "human_review"],
    "Parallel": ["type", "name", "description"],
    "Loop": [
        "type", "name", "description", "max_iterations", "end_condition", "end_condition_type",
        "forward_iteration_output", "human_review",
    ],
    "Condition": ["type", "name", "description", "evaluator", "evaluator_type", "human_review"],
    "Router": [
        "type", "name", "description", "selector", "selector_type", "requires_user_input", "user_input_message",
        "allow_multiple_selections", "human_review",
    ],
}  # fmt: skip
ATTRIBUTES = {
    "Step": [
        "name", "description", "max_retries", "skip_on_failure", "num_history_runs", "requires_confirmation",
        "confirmation_message", "on_reject", "requires_user_input", "user_input_message", "user_input_schema",
        "on_error", "requires_output_review", "output_review_message", "hitl_max_retries", "hitl_timeout", "on_timeout",
    ],
    "Steps": ["name", "description", "requires_confirmation", "confirmation_message", "on_reject"],
    "Parallel": ["name", "description"],
    "Loop": [
        "name", "max_iterations", "requires_confirmation", "confirmation_message", "on_reject",
        "requires_iteration_review", "iteration_review_message",
    ],
    "Condition": ["name", "requires_confirmation", "confirmation_message", "on_reject", "on_error"],
    "Router": [
        "name", "requires_user_input", "user_input_message", "allow_multiple_selections", "user_input_schema",
        "requires_confirmation", "confirmation_message", "on_reject", "requires_output_review", "output_review_message",
        "hitl_max_retries",
    ],
}  # fmt: skip


def one(step_input: StepInput) -> str:
    return "one"


def two(step_input: StepInput) -> str:
    return "two"


def yes(step_input: StepInput) -> bool:
    return True


def pick(step_input: StepInput) -> str:
    return "a"


def end(outputs) -> bool:
    return True


a = Step(
    name="a",
    executor=one,
    description="first",
    step_id="i1",
    max_retries=5,
    skip_on_failure=True,
    strict_input_validation=True,
    add_workflow_history=True,
    num_history_runs=8,
)
b = Step(
    name="b",
    executor=two,
    step_id="i2",
    requires_confirmation=True,
    confirmation_message="Sure?",
    requires_user_input=True,
    user_input_message="Please",
    user_input_schema=[{"name": "n", "field_type": "int", "description": "a number", "required": True}],
    on_reject=OnReject.cancel,
    on_error="pause",
    hitl_max_retries=2,
    hitl_timeout=30,
    on_timeout="skip",
)
c = Step(
    name="c",
    executor=one,
    step_id="i3",
    human_review=HumanReview(requires_output_review=True, output_review_message="Good?", on_reject="retry", timeout=5),
)
components = {
    "plain": Step(name="plain", executor=one, step_id="i0"),
    "step": a,
    "asks": b,
    "review": c,
    "steps": Steps(name="steps", description="both", steps=[a, b], requires_confirmation=True),
    "parallel": Parallel(a, b, name="parallel", description="at once"),
    "loop": Loop(name="loop", steps=[a], max_iterations=4, end_condition=end, forward_iteration_output=True),
    "loop of an expression": Loop(
        name="loop", steps=[a], end_condition="current_iteration >= 2", requires_iteration_review=True,
        iteration_review_message="Go on?",
    ),
    "loop without an end": Loop(name="loop", steps=[a], requires_confirmation=True, on_reject="cancel"),
    "condition": Condition(name="condition", evaluator=yes, steps=[a], else_steps=[b]),
    "condition of an expression": Condition(name="condition", evaluator='input.contains("x")', steps=[a]),
    "condition of a bool": Condition(
        name="condition", evaluator=False, steps=[a], requires_confirmation=True, confirmation_message="Sure?",
        on_error="fail",
    ),
    "router": Router(name="router", choices=[a, b], selector=pick, requires_output_review=True, hitl_max_retries=5),
    "router of an expression": Router(name="router", choices=[a, b], selector='"a"', requires_confirmation=True),
    "router of a person": Router(
        name="router", choices=[a, b], requires_user_input=True, user_input_message="Which?",
        allow_multiple_selections=True,
    ),
    "nobody chooses": Router(name="router", choices=[a]),
}  # fmt: skip


def shown(data):
    """What both libraries write, the names of the steps below included."""
    found = {key: data[key] for key in KEYS[data["type"]]}
    for name in ("steps", "else_steps", "choices"):
        if name in data:
            found[name] = [[inner["type"], inner["name"], inner["executor_ref"]] for inner in data[name]]
    return found


def main(tape):
    registry = Registry(functions=[one, two, yes, pick, end])
    for label, component in components.items():
        kind = type(component).__name__
        tape.note(label, shown(component.to_dict()))
        tape.note(f"{label}: attributes", {name: getattr(component, name) for name in ATTRIBUTES[kind]})
        again = type(component).from_dict(component.to_dict(), registry=registry)
        tape.note(f"{label}: again", shown(again.to_dict()) == shown(component.to_dict()))
        same = [name for name in ATTRIBUTES[kind] if getattr(again, name) == getattr(component, name)]
        tape.note(f"{label}: again attributes", same == ATTRIBUTES[kind])
    tape.note("same functions", [again.selector is pick for again in [Router.from_dict(
        components["router"].to_dict(), registry=registry
    )]])  # fmt: skip
    flat = {"type": "Condition", "name": "flat", "evaluator": True, "steps": [], "on_reject": "skip"}
    tape.note("flat", shown(Condition.from_dict(flat).to_dict()))
    review = HumanReview(requires_confirmation=True, confirmation_message="Sure?", timeout=3)
    tape.note("guards", review.to_dict())
    tape.note("guards again", HumanReview.from_dict(review.to_dict()).to_dict() == review.to_dict())
    tape.note("guards of nothing", HumanReview.from_dict({}).to_dict())
    workflow = Workflow(
        id="w",
        name="W",
        description="all of it",
        steps=list(components.values())[:4],
        user_id="u",
        session_state={"n": 0},
        metadata={"v": 1},
        dependencies={"d": 2},
        add_dependencies_to_context=True,
        add_session_state_to_context=False,
    )
    data = workflow.to_dict()
    names = [
        "id", "name", "description", "user_id", "session_state", "overwrite_db_session_state", "num_history_runs",
        "add_workflow_history_to_steps", "stream_events", "stream_executor_events", "store_events",
        "store_executor_outputs", "metadata", "dependencies", "add_dependencies_to_context",
        "add_session_state_to_context", "debug_mode", "telemetry",
    ]  # fmt: skip
    tape.note("workflow", {name: data[name] for name in names})
    tape.note("workflow: steps", [item["name"] for item in data["steps"]])
    again = Workflow.from_dict(data, registry=registry).to_dict()
    tape.note("workflow: again", {name: again[name] for name in names} == {name: data[name] for name in names})
    same = [shown(item) for item in again["steps"]] == [shown(item) for item in data["steps"]]
    tape.note("workflow: steps again", same)
