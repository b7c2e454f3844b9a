"""Steps, Loop, Condition, Router and the nested workflow: what each runs, leaves behind and says."""

from __future__ import annotations

from typing import Any

import anyio.lowlevel
import pytest
from verbs import Verb, names, of_kind

from workflow_runtime import (
    BaseDb,
    BuildError,
    Condition,
    InMemoryDb,
    Loop,
    Router,
    RunContext,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)
from workflow_runtime.model.step_io import deepest


async def said(step_input: StepInput) -> str:
    """Its chain of inputs, as text."""
    return f"({step_input.previous_step_content or step_input.input})"


def step(name: str) -> Step:
    return Step(name=name, executor=said)


def one(*steps: Any) -> Any:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=list(steps), db=db, store_events=True, session_state={"limit": 2})

    return make


# -- Steps ---------------------------------------------------------------------------------------------------------------


def test_steps_run_in_order_each_with_what_the_one_before_said(verb: Verb) -> None:
    ran = verb(one(Steps(name="box", steps=[step("a"), step("b")]), step("c")), "x")
    box, last = ran.output.step_results
    assert [inner.content for inner in box.steps or ()] == ["(x)", "((x))"]
    assert box.content == "Steps box completed with 2 results"
    assert last.content == "(((x)))", "the last leaf of a container is what the next step sees"
    assert ran.names[1:8] == [
        "StepsExecutionStarted",
        "StepStarted",
        "StepCompleted",
        "StepStarted",
        "StepCompleted",
        "StepsExecutionCompleted",
        "StepStarted",
    ]


def test_a_workflow_takes_a_steps_object_a_list_and_nested_lists(verb: Verb) -> None:
    as_object = verb(
        lambda db: Workflow(name="w", steps=Steps(name="s", steps=[step("a")]), db=db, store_events=True), "x"
    )
    assert [result.step_name for result in as_object.output.step_results] == ["a"]
    nested = verb(one([step("a"), step("b")]), "x")
    assert [leaf.step_name for leaf in nested.output.step_results[0].walk()] == ["steps_group_0", "a", "b"]


def test_empty_steps_say_so() -> None:
    output = Workflow(steps=[Steps(name="box", steps=[])]).run("x")
    assert (output.content, output.step_results[0].success) == ("No steps to execute", True)


# -- Loop ----------------------------------------------------------------------------------------------------------------


def test_a_loop_starts_each_iteration_from_its_own_input(verb: Verb) -> None:
    ran = verb(one(Loop([step("a"), step("b")], name="loop", max_iterations=2)), "x")
    (loop,) = ran.output.step_results
    assert [inner.content for inner in loop.steps or ()] == ["(x)", "((x))", "(x)", "((x))"]
    assert loop.content == "Loop loop completed 2 iterations with 4 total steps"


def test_forward_iteration_output_goes_on_from_the_last_iteration(verb: Verb) -> None:
    ran = verb(one(Loop([step("a")], name="loop", max_iterations=3, forward_iteration_output=True)), "x")
    assert [inner.content for inner in ran.output.step_results[0].steps or ()] == ["(x)", "((x))", "(((x)))"]


def test_the_events_of_a_loop_count_its_iterations(verb: Verb) -> None:
    ran = verb(one(Loop([step("a")], name="loop", max_iterations=2)), "x")
    assert ran.names[1:-1] == [
        "LoopExecutionStarted",
        *["LoopIterationStarted", "StepStarted", "StepCompleted", "LoopIterationCompleted"] * 2,
        "LoopExecutionCompleted",
    ]
    assert [event.iteration for event in of_kind(ran.events, "LoopIterationStarted")] == [1, 2]
    assert [event.should_continue for event in of_kind(ran.events, "LoopIterationCompleted")] == [True, False]
    assert [event.path for event in of_kind(ran.events, "StepStarted")] == ["0.loop#0/0.a", "0.loop#1/0.a"]
    (ended,) = of_kind(ran.events, "LoopExecutionCompleted")
    assert (ended.total_iterations, ended.max_iterations, len(ended.all_results)) == (2, 2, 2)


async def after_two(outputs: list[StepOutput], iteration: int, session_state: dict[str, Any]) -> bool:
    await anyio.lowlevel.checkpoint()
    return iteration >= session_state["limit"] and len(outputs) == 1


@pytest.mark.parametrize(
    ("end", "iterations"),
    [
        (lambda outputs: outputs[0].content == "(x)", 1),
        (after_two, 2),
        ("current_iteration >= 2", 2),
        ("all_success && current_iteration * 2 >= max_iterations", 2),
        ("last_step_content == '(x)'", 1),
        ("step_outputs['a'].size() > 100", 4),
        ("session_state.limit <= current_iteration", 2),
        (True, 1),
        (False, 4),
        (None, 4),
    ],
)
def test_a_loop_ends_when_its_condition_holds(verb: Verb, end: Any, iterations: int) -> None:
    ran = verb(one(Loop([step("a")], name="loop", max_iterations=4, end_condition=end)), "x")
    assert len(ran.output.step_results[0].steps or ()) == iterations


def test_an_end_condition_that_raises_fails_the_run_and_is_not_taken_for_false() -> None:
    def broken(outputs: list[StepOutput]) -> bool:
        raise LookupError("no criterion")

    with pytest.raises(LookupError, match="no criterion"):
        Workflow(steps=[Loop([step("a")], end_condition=broken)]).run("x")


def test_stop_ends_the_loop_and_the_workflow(verb: Verb) -> None:
    async def stop(step_input: StepInput) -> StepOutput:
        return StepOutput("enough", stop=True)

    ran = verb(one(Loop([step("a"), Step("stop", executor=stop)], name="loop", max_iterations=5), step("later")), "x")
    assert [leaf.step_name for leaf in ran.output.step_results[0].walk()] == ["loop", "a", "stop"]
    assert len(ran.output.step_results) == 1


def test_a_loop_in_a_loop_has_a_path_per_iteration(verb: Verb) -> None:
    inner = Loop([step("a")], name="inner", max_iterations=2)
    ran = verb(one(Loop([inner], name="outer", max_iterations=2)), "x")
    assert [event.path for event in of_kind(ran.events, "StepStarted")] == [
        "0.outer#0/0.inner#0/0.a",
        "0.outer#0/0.inner#1/0.a",
        "0.outer#1/0.inner#0/0.a",
        "0.outer#1/0.inner#1/0.a",
    ]


def test_a_loop_needs_an_iteration() -> None:
    with pytest.raises(BuildError, match="max_iterations=0 must be at least 1"):
        Loop([step("a")], name="loop", max_iterations=0)


# -- Condition -----------------------------------------------------------------------------------------------------------


async def long_input(step_input: StepInput, run_context: RunContext) -> bool:
    await anyio.lowlevel.checkpoint()
    return len(str(step_input.input)) > run_context.session_state["limit"]


@pytest.mark.parametrize(
    ("evaluator", "holds"),
    [
        (True, True),
        (False, False),
        (lambda step_input: step_input.input == "x", True),
        (lambda step_input: [], False),
        (lambda step_input: "text", True),
        (long_input, False),
        ("input == 'x'", True),
        ("previous_step_content.startsWith('(')", True),
        ("'before' in previous_step_outputs", True),
        ("session_state.limit > 10", False),
    ],
)
def test_a_condition_runs_one_branch_or_the_other(verb: Verb, evaluator: Any, holds: bool) -> None:
    condition = Condition([step("yes")], evaluator=evaluator, else_steps=[step("no")], name="if")
    ran = verb(one(step("before"), condition), "x")
    found = ran.output.step_results[1]
    assert [inner.step_name for inner in found.steps or ()] == ["yes" if holds else "no"]
    branch = "if" if holds else "else"
    assert found.content == f"Condition if completed with 1 results ({branch} branch)"
    (started,) = of_kind(ran.events, "ConditionExecutionStarted")
    (ended,) = of_kind(ran.events, "ConditionExecutionCompleted")
    assert (started.condition_result, ended.branch, ended.executed_steps) == (holds, branch, 1)


def test_a_condition_that_is_false_without_an_else_leaves_an_output_that_says_so(verb: Verb) -> None:
    ran = verb(one(step("before"), Condition([step("a"), step("b")], evaluator=False, name="if")), "x")
    found = ran.output.step_results[1]
    assert (found.content, found.success, found.steps) == ("Condition if not met - skipped 2 steps", True, [])
    (ended,) = of_kind(ran.events, "ConditionExecutionCompleted")
    assert (ended.condition_result, ended.branch) == (False, None)


def test_the_branches_of_a_condition_have_paths_of_their_own(verb: Verb) -> None:
    both = [
        Condition([step("a")], evaluator=True, else_steps=[step("b")], name="one"),
        Condition([step("c")], evaluator=False, else_steps=[step("d")], name="two"),
    ]
    ran = verb(one(*both), "x")
    assert [(event.path, event.step_index) for event in of_kind(ran.events, "StepStarted")] == [
        ("0.one/if.0.a", (0, 0)),
        ("1.two/else.0.d", (1, 1)),
    ]


def test_an_evaluator_that_raises_fails_the_run() -> None:
    def broken(step_input: StepInput) -> bool:
        raise LookupError("no criterion")

    with pytest.raises(LookupError, match="no criterion"):
        Workflow(steps=[Condition([step("a")], evaluator=broken)]).run("x")


def test_a_condition_takes_a_single_step() -> None:
    output = Workflow(steps=[Condition(step("a"), evaluator=False, else_steps=step("b"))]).run("x")
    assert output.content == "(x)"
    assert (output.step_results[0].steps or [])[0].step_name == "b"


# -- Router --------------------------------------------------------------------------------------------------------------


A, B = step("a"), step("b")


async def choose_async(step_input: StepInput, session_state: dict[str, Any]) -> list[str]:
    await anyio.lowlevel.checkpoint()
    return ["b", "a"][: session_state["limit"]]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        (lambda step_input: "a", ["a"]),
        (lambda step_input: B, ["b"]),
        (lambda step_input: ["b", "a"], ["b", "a"]),
        (lambda step_input: [[A], "b"], ["a", "b"]),
        (lambda step_input: [step("b"), Steps(name="a", steps=[step("z")])], ["b", "a"]),  # by the name of a choice
        (lambda step_input, step_choices: step_choices[-1], ["b"]),
        (choose_async, ["b", "a"]),
        ("input == 'x' ? 'b' : 'a'", ["b"]),
        ("step_choices[0]", ["a"]),
    ],
)
def test_a_router_runs_what_was_chosen_in_that_order(verb: Verb, selector: Any, chosen: list[str]) -> None:
    ran = verb(one(Router([A, B], selector=selector, name="router")), "x")
    (router,) = ran.output.step_results
    assert [inner.step_name for inner in router.steps or ()] == chosen
    assert router.content == f"Router router completed with {len(chosen)} results"
    (started,) = of_kind(ran.events, "RouterExecutionStarted")
    assert started.selected_steps == chosen


@pytest.mark.parametrize("nothing", [None, []])
def test_a_router_may_choose_nothing(verb: Verb, nothing: Any) -> None:
    ran = verb(one(step("before"), Router([A, B], selector=lambda step_input: nothing, name="router")), "x")
    router = ran.output.step_results[1]
    assert (router.content, router.success) == ("Router router completed with 0 results (no steps selected)", True)
    assert names(of_kind(ran.events, "RouterExecutionStarted", "RouterExecutionCompleted")) == [
        "RouterExecutionStarted",
        "RouterExecutionCompleted",
    ]


@pytest.mark.parametrize("wanted", ["c", step("other"), 7, ["a", "c"]])
def test_an_unknown_choice_is_an_error_that_lists_the_choices(wanted: Any) -> None:
    with pytest.raises(ValueError, match=r"Router 'router' chose .*, which is not offered; choices: \['a', 'b'\]"):
        Workflow(steps=[Router([A, B], selector=lambda step_input: wanted, name="router")]).run("x")


def test_choosing_never_changes_the_declared_choices() -> None:
    router = Router([A, B], selector=lambda step_input, step_choices: step_choices.pop(), name="router")
    workflow = Workflow(steps=[router])
    assert [workflow.run("x").step_results[0].steps[0].step_name for _ in range(3)] == ["b"] * 3  # type: ignore[index]
    assert router.choices == [A, B]


def test_a_list_among_the_choices_is_a_group() -> None:
    router = Router([A, [step("c"), step("d")]], selector=lambda step_input: "steps_group_1")
    output = Workflow(steps=[router]).run("x")
    assert [leaf.step_name for leaf in output.step_results[0].walk()] == ["Router", "steps_group_1", "c", "d"]


def test_a_router_needs_choices_and_somebody_who_chooses() -> None:
    with pytest.raises(BuildError, match="has no choices"):
        Router([], selector=lambda step_input: "a", name="r")
    with pytest.raises(BuildError, match="give it a selector="):
        Router([A], name="r")


# -- nested workflow -----------------------------------------------------------------------------------------------------


def test_a_nested_workflow_shares_the_log_and_says_how_deep_it_is(verb: Verb) -> None:
    innermost = Workflow(name="innermost", steps=[step("c")])
    inner = Workflow(name="inner", steps=[step("b"), innermost])
    ran = verb(one(step("a"), Step(name="call", workflow=inner), step("d")), "x")
    assert ran.content == "((((x))))", "each goes on from what the one before it said"
    call = ran.output.step_results[1]
    assert (call.step_type, call.executor_type, call.step_run_id) == ("Workflow", "workflow", ran.output.run_id)
    assert [leaf.step_name for leaf in call.walk()] == ["call", "b", "innermost", "c"]
    deep = [(event.event, event.workflow_name, event.nested_depth) for event in ran.events if event.nested_depth]
    assert deep[0] == ("WorkflowStarted", "inner", 1)
    assert deep[-1] == ("WorkflowCompleted", "inner", 1)
    assert ("WorkflowStarted", "innermost", 2) in deep
    assert {event.path for event in of_kind(ran.events, "StepStarted")} == {
        "0.a",
        "1.call",
        "1.call/0.b",
        "1.call/1.innermost",
        "1.call/1.innermost/0.c",
        "2.d",
    }
    assert {event.run_id for event in ran.events} == {ran.output.run_id}


def test_a_nested_workflow_shares_the_session_state(verb: Verb) -> None:
    async def write(session_state: dict[str, Any]) -> None:
        session_state["inner"] = session_state["limit"]

    inner = Workflow(name="inner", steps=[write], session_state={"ignored": True})
    ran = verb(one(inner))
    assert ran.state == {"limit": 2, "inner": 2}


def test_a_nested_workflow_is_no_run_of_its_own(verb: Verb) -> None:
    async def runs_stored(workflow: Workflow) -> int:
        session = await workflow.aget_session("s")
        assert session is not None
        return len(session.runs or ())

    db = verb.database()
    workflow = Workflow(name="w", steps=[Workflow(name="inner", steps=[step("a")], db=db)], db=db, store_events=True)
    verb.one("arun", workflow, "x", session_id="s")
    assert verb.on_a_loop(lambda: runs_stored(workflow)) == 1


def test_a_nested_workflow_may_be_a_function(verb: Verb) -> None:
    async def flow(execution_input: Any, run_context: RunContext) -> str:
        first = await run_context.step("first", said)
        return f"function of {first}"

    ran = verb(one(step("a"), Workflow(name="inner", steps=flow), step("d")), "x")
    assert ran.content == "(function of ((x)))"
    assert "1.inner/first" in {event.path for event in ran.events}


def test_workflows_may_be_nested_ten_deep_and_not_in_themselves() -> None:
    workflow = Workflow(name="w0", steps=[step("a")])
    for number in range(1, 11):
        workflow = Workflow(name=f"w{number}", steps=[workflow])
    assert workflow.run("x").content == "(x)"
    with pytest.raises(BuildError, match="nested 10 deep"):
        Workflow(name="w11", steps=[workflow])


def test_containers_may_stand_fifty_deep_and_what_is_deeper_is_refused_when_it_is_built() -> None:
    inside: Any = step("a")
    for number in range(50):
        inside = Steps(name=f"box{number}", steps=[inside])
    workflow = Workflow(name="deep", steps=[inside], db=InMemoryDb(), store_events=True)
    assert deepest(workflow.run("x").step_results[0]) == "(x)"
    with pytest.raises(BuildError, match="50 deep in each other; flatten"):
        Workflow(name="deeper", steps=[Steps(name="one more", steps=[inside])]).run("x")


def test_a_workflow_cannot_be_a_step_of_itself_by_any_way() -> None:
    one, other = Workflow(name="one", steps=[step("a")]), Workflow(name="other", steps=[step("b")])
    one.steps = [one]
    with pytest.raises(BuildError, match="nested in itself"):
        one.run("x")
    one.steps, other.steps = [Steps(name="box", steps=[other])], [one]
    with pytest.raises(BuildError, match="nested in itself"):
        one.run("x")


def test_a_function_that_calls_itself_by_way_of_its_steps_ends_with_an_error() -> None:
    async def flow(run_context: RunContext) -> Any:
        return await run_context.step("again", workflow=workflow)

    workflow = Workflow(name="w", steps=flow)
    with pytest.raises(BuildError, match="nested 10 deep"):
        workflow.run("x")
