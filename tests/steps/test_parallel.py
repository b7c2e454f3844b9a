"""Parallel and Map: results in declared order, limits, and races."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from verbs import Verb, of_kind

from workflow_runtime import BaseDb, BuildError, Map, Parallel, RunContext, Step, StepInput, StepOutput, Steps, Workflow


def waits(turns: int, said: str) -> Callable[..., Any]:
    async def work(step_input: StepInput) -> str:
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        return said

    return work


def branch(name: str, turns: int = 0) -> Step:
    return Step(name=name, executor=waits(turns, f"{name} done"))


async def hang(step_input: StepInput) -> None:
    await anyio.sleep_forever()


# -- Parallel ------------------------------------------------------------------------------------------------------------


def test_results_stand_in_declared_order_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        steps = Parallel(branch("slow", 30), branch("middle", 10), branch("fast"), name="all")
        return Workflow(name="w", steps=[steps], db=db, store_events=True)

    ran = verb(make, ordered=False)
    (all_,) = ran.output.step_results
    assert [inner.step_name for inner in all_.steps or ()] == ["slow", "middle", "fast"]
    assert ran.content == "fast done", "the content is the last declared branch's, not the last to end"
    (ended,) = of_kind(ran.events, "ParallelExecutionCompleted")
    assert [inner.step_name for inner in ended.step_results] == ["slow", "middle", "fast"]


def test_the_content_is_a_summary_of_the_branches(verb: Verb) -> None:
    async def fail(step_input: StepInput) -> None:
        raise ValueError("no")

    async def empty(step_input: StepInput) -> None:
        return None

    def make(db: BaseDb) -> Workflow:
        steps = Parallel(branch("a"), Step("b", executor=fail, on_error="skip"), Step("c", executor=empty), name="all")
        return Workflow(name="w", steps=[steps], db=db, store_events=True)

    ran = verb(make, ordered=False)
    assert ran.output.step_results[0].content == (
        "## Parallel Execution Results\n\n"
        "### ✅ SUCCESS: a\na done\n\n"
        "### ❌ FAILURE: b\nStep b skipped due to error: no\n\n"
        "### ✅ SUCCESS: c\n*(No content)*"
    )
    assert not ran.output.step_results[0].success


def test_every_branch_gets_the_same_input_and_sees_what_was_before(verb: Verb) -> None:
    async def look(step_input: StepInput) -> list[Any]:
        return [step_input.input, step_input.previous_step_content, sorted(step_input.previous_step_outputs or {})]

    def make(db: BaseDb) -> Workflow:
        both = Parallel(Step("left", executor=look), Step("right", executor=look), name="both")
        return Workflow(name="w", steps=[branch("before"), both], db=db, store_events=True)

    ran = verb(make, "in", ordered=False)
    assert [inner.content for inner in ran.output.step_results[1].steps or ()] == [
        ["in", "before done", ["before"]],
        ["in", "before done", ["before"]],
    ]


@pytest.mark.anyio
async def test_branches_run_at_the_same_time() -> None:
    here = 0
    all_here = anyio.Event()

    async def meet(step_input: StepInput) -> None:
        nonlocal here
        here += 1
        if here == 3:
            all_here.set()
        await all_here.wait()

    with anyio.fail_after(60):
        await Workflow(steps=[Parallel(*(Step(f"b{n}", executor=meet) for n in range(3)))]).arun()


@pytest.mark.anyio
async def test_at_most_max_concurrency_run_at_once_and_the_others_follow() -> None:
    running = most = 0

    async def work(step_input: StepInput) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        running -= 1

    steps = Parallel(*(Step(f"b{n}", executor=work) for n in range(9)), max_concurrency=2)
    output = await Workflow(steps=[steps]).arun()
    assert most == 2
    assert len(output.step_results[0].steps or ()) == 9


@pytest.mark.anyio
@pytest.mark.parametrize(("wait_for", "won"), [("first", ["b"]), (1, ["b"]), (2, ["a", "b"])])
async def test_wait_for_cancels_the_losers_when_enough_have_succeeded(wait_for: Any, won: list[str]) -> None:
    cancelled: list[str] = []

    async def lose(step_input: StepInput) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.append("lost")
            raise

    race = Parallel(branch("a", 40), branch("b"), Step("c", executor=lose), name="race", wait_for=wait_for)
    with anyio.fail_after(60):
        output = await Workflow(steps=[race]).arun()
    assert [inner.step_name for inner in output.step_results[0].steps or ()] == won
    assert cancelled == ["lost"]
    assert output.step_results[0].success


@pytest.mark.anyio
async def test_a_failed_branch_does_not_win_a_race() -> None:
    async def fail(step_input: StepInput) -> None:
        raise ValueError("no")

    race = Parallel(
        Step("a", executor=fail, on_error="skip"), branch("b", 10), Step("c", executor=hang), wait_for="first"
    )
    with anyio.fail_after(60):
        output = await Workflow(steps=[race]).arun()
    assert [(inner.step_name, inner.success) for inner in output.step_results[0].steps or ()] == [
        ("a", False),
        ("b", True),
    ]


@pytest.mark.anyio
async def test_a_race_that_enough_have_won_is_not_lost_by_a_failure_that_came_first() -> None:
    async def fail(step_input: StepInput) -> None:
        raise ValueError("no")

    race = Parallel(Step("a", executor=fail), branch("b", 10), wait_for="first", fail_fast=False)
    output = await Workflow(steps=[race]).arun()
    assert output.content == "b done"


def test_stop_in_a_branch_ends_the_workflow_after_the_parallel(verb: Verb) -> None:
    async def stop(step_input: StepInput) -> StepOutput:
        return StepOutput("enough", stop=True)

    def make(db: BaseDb) -> Workflow:
        both = Parallel(Step("stop", executor=stop), branch("other", 5), name="both")
        return Workflow(name="w", steps=[both, branch("later")], db=db, store_events=True)

    ran = verb(make, ordered=False)
    assert [result.step_name for result in ran.output.step_results] == ["both"]
    assert [inner.content for inner in ran.output.step_results[0].steps or ()] == ["enough", "other done"]


def test_parallel_in_parallel_keeps_order_and_indexes(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        inner = Parallel(branch("c", 7), branch("d"), name="inner")
        return Workflow(name="w", steps=[Parallel(branch("a"), inner, name="outer")], db=db, store_events=True)

    ran = verb(make, ordered=False)
    indexes = {event.step_name: event.step_index for event in of_kind(ran.events, "StepStarted")}
    assert indexes == {"a": (0, 0), "c": (0, 1, 0), "d": (0, 1, 1)}
    outer = ran.output.step_results[0]
    assert [leaf.step_name for leaf in outer.walk()] == ["outer", "a", "inner", "c", "d"]


def test_a_first_positional_text_is_the_name() -> None:
    assert Parallel("both", branch("a")).name == "both"
    assert Parallel(branch("a"), name="both").name == "both"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wait_for": "last"}, "wait_for='last' must be 'all', 'first' or a number from 1 to 1"),
        ({"wait_for": 2}, "wait_for=2 must be"),
        ({"max_concurrency": 0}, "max_concurrency=0 must be at least 1"),
        ({"timeout": 0}, "must be more than 0 seconds"),
    ],
)
def test_limits_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        Parallel(branch("a"), name="p", **options)


def test_a_parallel_needs_a_branch() -> None:
    with pytest.raises(BuildError, match="has no steps"):
        Parallel(name="p")


# -- Map -----------------------------------------------------------------------------------------------------------------


def test_map_runs_one_instance_per_item_with_the_item_as_input(verb: Verb) -> None:
    async def measure(step_input: StepInput, additional_data: dict[str, Any]) -> dict[str, Any]:
        for _ in range(10 - len(step_input.input)):  # the shortest ends last
            await anyio.lowlevel.checkpoint()
        return {"text": step_input.input, "index": additional_data["item_index"]}

    def make(db: BaseDb) -> Workflow:
        step = Step(name="measure", executor=measure)
        return Workflow(name="w", steps=[Map(step, over="input", name="each")], db=db, store_events=True)

    ran = verb(make, ["a", "bbb", "ccccc"], ordered=False)
    (each,) = ran.output.step_results
    assert [inner.content for inner in each.steps or ()] == [
        {"text": "a", "index": 0},
        {"text": "bbb", "index": 1},
        {"text": "ccccc", "index": 2},
    ]
    assert each.content == "Map each completed 3 items"
    (started,) = of_kind(ran.events, "MapExecutionStarted")
    assert started.item_count == 3
    assert {event.path for event in of_kind(ran.events, "StepStarted")} == {
        "0.each#0/0.measure",
        "0.each#1/0.measure",
        "0.each#2/0.measure",
    }


async def items_from_state(run_context: RunContext) -> list[int]:
    return [int(run_context.session_state["n"])] * 2


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ("input.files", ["f1", "f2"]),
        ("previous.rows", [1, 2, 3]),
        ("before.rows", [1, 2, 3]),
        ("session_state.todo", ["x"]),
        ("additional_data.more", ["m"]),
        (lambda step_input: (n * n for n in range(3)), [0, 1, 4]),
        (items_from_state, [7, 7]),
    ],
    ids=["input", "previous", "a step's name", "session_state", "additional_data", "function", "async function"],
)
def test_items_come_from_a_path_or_a_callable(over: Any, expected: list[Any]) -> None:
    workflow = Workflow(
        steps=[
            Step(name="before", executor=lambda step_input: {"rows": [1, 2, 3]}),
            Map(Step(name="echo", executor=lambda step_input: step_input.input), over=over),
        ],
        session_state={"todo": ["x"], "n": 7},
    )
    output = workflow.run({"files": ["f1", "f2"]}, additional_data={"more": ["m"]})
    assert [inner.content for inner in output.step_results[1].steps or ()] == expected


def test_an_item_that_is_none_is_still_the_input() -> None:
    workflow = Workflow(steps=[Map(Step("echo", executor=lambda step_input: step_input.input), over="input")])
    output = workflow.run([None, 0, ""])
    assert [inner.content for inner in output.step_results[0].steps or ()] == [None, 0, ""]


def test_a_map_over_nothing_is_a_success() -> None:
    output = Workflow(steps=[Map(branch("a"), over="input", name="each"), branch("b")]).run([])
    assert (output.step_results[0].steps, output.step_results[0].success) == ([], True)
    assert output.content == "b done"


@pytest.mark.anyio
async def test_a_map_keeps_to_its_max_concurrency() -> None:
    running = most = 0

    async def work(step_input: StepInput) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        running -= 1

    await Workflow(steps=[Map(work, over=lambda step_input: range(20), max_concurrency=3)]).arun()
    assert most == 3


def test_a_map_may_hold_any_step(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        inner = Workflow(name="inner", steps=[Step("echo", executor=lambda step_input: f"<{step_input.input}>")])
        box = Steps(name="box", steps=[Step(name="call", workflow=inner)])
        return Workflow(name="w", steps=[Map(box, over="input", name="each")], db=db, store_events=True)

    ran = verb(make, ["a", "b"], ordered=False)
    leaves = [leaf.content for leaf in ran.output.step_results[0].walk() if leaf.step_name == "echo"]
    assert leaves == ["<a>", "<b>"]


@pytest.mark.parametrize(
    ("over", "error", "message"),
    [
        ("nowhere.x", LookupError, "'nowhere' is none of input, previous, session_state, additional_data, before"),
        ("input", TypeError, "over gave str, not a collection"),
        (lambda step_input: 7, TypeError, "over gave int, not a collection"),
    ],
)
def test_items_that_cannot_be_found_say_what_is_wrong(over: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Workflow(steps=[branch("before"), Map(branch("a"), over=over, name="m")]).run("text")


def test_over_must_be_a_callable_or_a_path() -> None:
    with pytest.raises(BuildError, match=r"over=\[1, 2\] must be a callable or a dotted path"):
        Map(branch("a"), over=[1, 2], name="m")  # type: ignore[arg-type]  # that it is refused is the point
