"""The graph, the timeline and the changes of a run, from its events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from workflow_runtime import (
    Condition,
    InMemoryDb,
    Loop,
    Map,
    Outline,
    Parallel,
    Retry,
    Router,
    RunContext,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)
from workflow_runtime.testing import FakeClock
from workflow_runtime.view.diff import GONE, Change, differences
from workflow_runtime.view.gantt import spans
from workflow_runtime.view.graph import Graph, graph
from workflow_runtime.view.recall import recall
from workflow_runtime.view.tree import View


def work(step_input: StepInput) -> str:
    return "done"


def step(name: str, executor: Any = work, **options: Any) -> Step:
    return Step(name=name, executor=executor, **options)


async def view_of(workflow: Workflow, input: Any = "x") -> View:
    """The view of one finished run, from its events and its journal."""
    workflow.db = workflow.db or InMemoryDb()
    workflow.store_events = True
    output = await workflow.arun(input, background=False)
    view = View(workflow.name, workflow.outline())
    recall(view, output, await workflow.history(str(output.run_id)), output.events or ())
    return view


def names(parts: tuple[Outline, ...]) -> list[Any]:
    return [part.name if not part.children else (part.name, names(part.children)) for part in parts]


def states(found: Graph) -> dict[str, str]:
    return {path.rpartition(".")[2]: state for path, state in found.states.items()}


@pytest.mark.anyio
async def test_the_graph_shows_what_was_taken_and_what_was_not() -> None:
    workflow = Workflow(
        name="w",
        steps=[
            Condition([step("yes")], evaluator=False, else_steps=[step("no")], name="ok"),
            Router([step("mail"), step("call")], lambda step_input: "call", name="way"),
            Parallel(step("a"), Steps(name="group", steps=[step("b")]), name="both"),
        ],
    )
    found = graph(await view_of(workflow), 0.0)
    assert names(found.parts) == [
        ("ok", ["yes", "no"]),
        ("way", ["mail", "call"]),
        ("both", ["a", ("group", ["b"])]),
    ]
    seen = states(found)
    assert {name: seen[name] for name in ("yes", "no", "mail", "call", "a", "b")} == {
        "yes": "unused",
        "no": "done",
        "mail": "unused",
        "call": "done",
        "a": "done",
        "b": "done",
    }
    assert [part.branch for part in found.parts[0].children] == ["if", "else"]


@pytest.mark.anyio
async def test_a_loop_shows_its_last_rounds_and_a_map_some_of_its_items() -> None:
    loop = Loop([step("first"), step("again")], name="rounds", max_iterations=5)
    many = Map(step("each"), over=lambda step_input: list(range(300)), name="many")
    found = graph(await view_of(Workflow(name="w", steps=[loop, many])), 0.0)
    rounds, items = found.parts
    assert [part.name for part in rounds.children] == ["… 2 earlier", "#3", "#4", "#5"]
    assert [part.name for part in rounds.children[1].children] == ["first", "again"]
    assert items.children[-1].name == "… 294 more"
    assert len(items.children) == 7


@pytest.mark.anyio
async def test_the_steps_of_a_workflow_within_an_item_are_seen() -> None:
    inner = Workflow(name="inner", steps=[step("deep"), step("deeper")])
    each = Map(Step(name="nested", workflow=inner), over=lambda step_input: [1, 2], name="many")
    (many,) = graph(await view_of(Workflow(name="w", steps=[each])), 0.0).parts
    assert names(many.children) == [("#1", [("nested", ["deep", "deeper"])]), ("#2", [("nested", ["deep", "deeper"])])]


@pytest.mark.anyio
async def test_a_graph_that_grows_too_large_is_narrowed() -> None:
    inner = Loop([step("a"), step("b")], name="inner", max_iterations=4)
    many = Map(Steps(name="s", steps=[inner, step("c")]), over=lambda step_input: list(range(50)), name="many")
    outer = Loop([many], name="outer", max_iterations=4)
    found = graph(await view_of(Workflow(name="w", steps=[outer])), 0.0)
    assert len(found.states) <= 120
    assert not found.is_cut


@pytest.mark.anyio
async def test_a_graph_before_the_run_is_the_declared_one() -> None:
    workflow = Workflow(name="w", steps=[step("one"), Loop([step("two")], name="l", max_iterations=3)])
    found = graph(View("w", workflow.outline()), 0.0)
    assert names(found.parts) == ["one", ("l", ["two"])]
    assert set(found.states.values()) == {"pending"}


@pytest.mark.anyio
async def test_what_was_asked_in_a_run_that_is_over_waits_no_more() -> None:
    steps = [Step(name=name, executor=work, requires_confirmation=True) for name in ("first", "second")]
    workflow = Workflow(name="w", steps=[Parallel(*steps, name="both")], db=InMemoryDb())
    output = await workflow.arun("x")
    asked = {item.step_name: item for item in output.active_step_requirements}
    asked["first"].reject()
    asked["second"].confirm()
    output = await workflow.acontinue_run(output)
    view = View(workflow.name, workflow.outline())
    recall(view, output, await workflow.history(str(output.run_id)))
    assert [node.state for node in view.root.walk()][1:] == ["done", "skipped", "done"]
    assert view.questions == []


def boom(step_input: StepInput) -> str:
    raise ValueError("boom")


def says_so(step_input: StepInput) -> StepOutput:
    return StepOutput("Step a skipped: rejected by a person", success=False)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["step", "steps", "condition", "loop", "router", "parallel", "nested"])
@pytest.mark.parametrize(
    ("executor", "options", "answer", "state", "note"),
    [
        (boom, {"on_error": "pause"}, lambda asked: asked.skip(), "skipped", "boom"),
        (work, {"requires_confirmation": True}, lambda asked: asked.reject(), "skipped", "rejected"),
        (work, {"requires_confirmation": True}, lambda asked: asked.reject("too dear"), "skipped", "too dear"),
        (says_so, {"requires_confirmation": True}, lambda asked: asked.confirm(), "failed", ""),
        (boom, {"on_error": "skip", "requires_confirmation": True}, lambda asked: asked.confirm(), "failed", ""),
    ],
    ids=["failure-skipped", "rejected", "rejected-with-reason", "failed-with-the-words", "failed"],
)
async def test_a_stored_run_shows_as_skipped_what_a_person_skipped(
    kind: str, executor: Any, options: dict[str, Any], answer: Any, state: str, note: str
) -> None:
    inner = step("a", executor, **options)
    around: dict[str, Any] = {
        "step": inner,
        "steps": Steps("outer", steps=[inner]),
        "condition": Condition([inner], name="outer"),
        "loop": Loop([inner], name="outer", max_iterations=1),
        "router": Router([inner], lambda: "a", name="outer"),
        "parallel": Parallel(inner, step("b"), name="outer"),
        "nested": Step("outer", workflow=Workflow(name="inner", steps=[inner])),
    }
    workflow = Workflow(name="w", steps=[around[kind], step("last")], db=InMemoryDb())
    output = await workflow.arun("x")
    (asked,) = [*output.active_step_requirements, *output.active_error_requirements]
    answer(asked)
    output = await workflow.acontinue_run(output)
    assert output.status == "COMPLETED"
    view = View(workflow.name, workflow.outline())
    recall(view, output, await workflow.history(str(output.run_id)))
    (found,) = [node for node in view.root.walk() if node.name == "a"]
    assert (found.state, found.note) == (state, note)


def in_a_function() -> Any:
    async def walk(run_context: RunContext) -> None:
        with suppress(ValueError):
            await run_context.step("caught", boom)
        await run_context.step("a", work)
        await run_context.step("fails", boom)

    return walk


FAILING: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "step": (lambda: [step("fails", boom)], ["0.fails"]),
    "retried": (lambda: [step("fails", boom, retry=Retry(attempts=2, delay=0))], ["0.fails"]),
    "steps": (lambda: [Steps("outer", steps=[step("a"), step("fails", boom)])], ["0.outer", "0.outer/1.fails"]),
    "condition": (lambda: [Condition([step("fails", boom)], name="c")], ["0.c", "0.c/if.0.fails"]),
    "evaluator": (lambda: [Steps("outer", steps=[Condition([step("a")], boom, name="c")])], ["0.outer", "0.outer/0.c"]),
    "loop": (lambda: [Loop([step("fails", boom)], name="l")], ["0.l", "0.l#0", "0.l#0/0.fails"]),
    "end": (lambda: [Loop([step("a")], name="l", end_condition=boom)], ["0.l"]),
    "router": (lambda: [Router([step("fails", boom)], lambda: "fails", name="r")], ["0.r", "0.r/0.fails"]),
    "selector": (lambda: [Router([step("a")], lambda: "b", name="r")], ["0.r"]),
    "parallel": (lambda: [Parallel(step("fails", boom), step("a"), name="p")], ["0.p", "0.p/0.fails"]),
    "branches": (
        lambda: [Parallel(step("f", boom), step("a"), step("g", boom), name="p", fail_fast=False)],
        ["0.p", "0.p/0.f", "0.p/2.g"],
    ),
    "map": (
        lambda: [Map(step("fails", boom), lambda: [1], name="m")],
        ["0.m", "0.m#0", "0.m#0/0.fails"],
    ),
    "items": (lambda: [Map(step("a"), lambda: 5, name="m")], ["0.m"]),
    "nested": (
        lambda: [Step("n", workflow=Workflow(name="i", steps=[step("a"), step("fails", boom)]))],
        ["0.n", "0.n/1.fails"],
    ),
    "caught": (
        lambda: [Condition([step("a", boom)], name="c", on_error="skip"), step("fails", boom)],
        ["0.c", "0.c/if.0.a", "1.fails"],
    ),
    "timeout": (lambda: [Steps("outer", steps=[step("a", anyio.sleep_forever)], timeout=0.01)], ["0.outer"]),
    "function": (in_a_function, ["caught", "fails"]),
}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", FAILING)
async def test_a_failed_run_names_the_step_that_failed_without_its_events(kind: str) -> None:
    make, places = FAILING[kind]
    workflow = Workflow(name="w", steps=make(), db=InMemoryDb(), clock=FakeClock() if kind == "retried" else None)
    with pytest.raises(Exception) as failure:
        await workflow.arun("x", run_id="r1")
    output = await workflow.aget_run("r1")
    assert output is not None
    assert output.events is None
    view = View(workflow.name)
    recall(view, output, await workflow.history("r1"))
    assert [node.path for node in view.root.walk() if node.state == "failed"] == places
    assert view.failed is not None
    assert view.failed.path == places[-1] or kind == "branches"
    failed = {step.path for step in output.failed_steps or ()}
    assert {places[-1], view.failed.path} <= failed <= set(places)
    if not isinstance(failure.value, ExceptionGroup):
        assert (view.failed.error, view.failed.error_type) == (str(failure.value), type(failure.value).__name__)


@pytest.mark.anyio
async def test_a_run_that_goes_on_after_a_failure_names_none() -> None:
    flaky = iter([ValueError("once")])

    def fails(step_input: StepInput) -> str:
        for error in flaky:
            raise error
        return "done"

    inner = Workflow(name="i", steps=[step("fails", fails)])
    retried = Step("n", workflow=inner, retry=Retry(attempts=2, delay=0))
    lost = Parallel(step("loses", boom), step("wins"), name="p", wait_for="first", fail_fast=False)

    async def last(run_context: RunContext) -> None:
        await workflow.acancel_run(run_context.run_id)
        await anyio.sleep_forever()

    workflow = Workflow(name="w", steps=[retried, lost, step("last", last)], db=InMemoryDb())
    output = await workflow.arun("x")
    assert (output.status, output.failed_steps) == ("CANCELLED", None)

    async def walk(run_context: RunContext) -> str:
        with suppress(ValueError):
            await run_context.step("caught", boom)
        return "done"

    output = await Workflow(name="w", steps=walk, db=InMemoryDb()).arun("x")
    assert (output.status, output.failed_steps) == ("COMPLETED", None)


@pytest.mark.anyio
async def test_each_attempt_of_a_step_is_a_bar_of_its_own() -> None:
    clock = FakeClock()
    took = iter([4.0, 1.0])

    async def flaky() -> str:
        for seconds in took:
            clock.advance(seconds)
            raise ValueError(f"after {seconds}")
        clock.advance(5.0)
        return "at last"

    workflow = Workflow(name="w", steps=[step("flaky", flaky, retry=Retry(attempts=3, delay=0, jitter=0))], clock=clock)
    view = await view_of(workflow)
    view.root.started_at, view.root.ended_at = view.nodes["0.flaky"].started_at, view.nodes["0.flaky"].ended_at
    bars = list(spans(view, view.nodes["0.flaky"], 0.0))
    assert [(bar.start, bar.end, bar.state, bar.attempt, bar.error) for bar in bars] == [
        (0.0, 0.4, "failed", 1, "after 4.0"),
        (0.4, 0.5, "failed", 2, "after 1.0"),
        (0.5, 1.0, "done", 3, ""),
    ]


def test_differences_are_the_smallest_places_that_differ() -> None:
    before = {"n": 1, "cart": {"items": [1, 2], "open": True}, "gone": None, "same": [1]}
    after = {"n": 2, "cart": {"items": [1, 3, 4], "open": True}, "same": [1], "new": {}}
    assert list(differences(before, after)) == [
        Change("n", 1, 2),
        Change("cart.items[1]", 2, 3),
        Change("cart.items[2]", GONE, 4),
        Change("gone", None, GONE),
        Change("new", GONE, {}),
    ]
    assert list(differences({"a": 1}, {"a": True})) == [Change("a", 1, True)]
    assert list(differences(before, before)) == []
