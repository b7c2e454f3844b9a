"""Pausing is invisible to the result: whatever the tree, wherever it pauses and however it is continued, it ends as the
uninterrupted run does. (D7, D8)"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from servers import TestServer
from strategies import Leaf, Tree, executor, make_step, trees
from verbs import same_events, same_output

from workflow_runtime import (
    BaseDb,
    HumanReview,
    InMemoryDb,
    Loop,
    Router,
    RunContext,
    Step,
    StepInput,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.backends import PostgresDb, SqliteDb

# What only an interrupted run publishes.
PAUSING = {"StepPaused", "RouterPaused", "StepOutputReview", "StepContinued", "WorkflowPaused"}

NOTHING, CONFIRM, FILL, REVIEW, ASK = range(5)


@dataclass(frozen=True)
class Guarded:
    """A tree, and for each of its nodes, in order, what a person is asked there. ``asked=False`` is the tree without."""

    tree: Tree
    guards: tuple[int, ...]

    def workflow(self, db: BaseDb, ran: list[str], *, asked: bool, evict_after: float = 0.0) -> Workflow:
        def guard_of(name: str) -> int:
            number = int("".join(filter(str.isdigit, name)))
            return self.guards[number % len(self.guards)]

        def make_leaf(leaf: Leaf, name: str) -> Step:
            if guard_of(name) != ASK or leaf.kind == "agent":
                return make_step(leaf, name, ran)
            body = executor(Leaf("coroutine", leaf.does), name, ran)

            async def asks(step_input: StepInput, session_state: dict[str, Any], run_context: RunContext) -> Any:
                run_context.progress(1, 2)
                if asked:
                    assert await run_context.ask("How many?", int) == 3
                run_context.progress(2, 2)
                return await body(step_input, session_state, run_context)

            async def asks_between_chunks(
                step_input: StepInput, session_state: dict[str, Any], run_context: RunContext
            ) -> AsyncIterator[Any]:
                yield "before "
                run_context.emit(note="before")
                if asked:
                    assert await run_context.ask("How many?", int) == 3
                yield "between "
                if asked:
                    assert await run_context.ask("How many?", int) == 3
                yield str(await body(step_input, session_state, run_context))

            asking = asks_between_chunks if "generator" in leaf.kind else asks
            return Step(name=name, executor=asking, on_error="skip" if leaf.does == "skip" else "fail")

        def decorate(made: Any, name: str) -> None:
            if asked:
                made.human_review = review_of(made, guard_of(name))

        return self.tree.workflow(
            make_leaf=make_leaf, decorate=decorate, db=db, store_events=True, evict_after=evict_after
        )


def review_of(made: Any, guard: int) -> HumanReview:
    """The guard as this kind of step can have it."""
    if guard in (NOTHING, ASK):
        return HumanReview()
    if isinstance(made, Loop) and guard == REVIEW:
        return HumanReview(requires_iteration_review=True, on_reject="retry")
    if isinstance(made, (Step, Router)) and guard == REVIEW:
        return HumanReview(requires_output_review=True)
    if isinstance(made, Step) and guard == FILL:
        fields = [{"name": "seats", "field_type": "int"}]
        return HumanReview(requires_confirmation=True, requires_user_input=True, user_input_schema=fields)
    return HumanReview(requires_confirmation=True)


ANSWERS: dict[str, dict[str, Any]] = {
    "confirmation": {"confirmed": True},
    "user_input": {"confirmed": True, "user_input": {"seats": 2}},
    "ask": {"user_input": {"value": 3}},
    "output_review": {"confirmed": True},
    "iteration_review": {"confirmed": False},  # with on_reject="retry": the next iteration
}


@st.composite
def guarded(draw: st.DrawFn) -> Guarded:
    guards = draw(st.lists(st.integers(NOTHING, ASK), min_size=1, max_size=8).map(tuple))
    return Guarded(draw(trees(max_leaves=6)), guards)


# -- running it ----------------------------------------------------------------------------------------------------------

Open = Callable[[], BaseDb]


async def stored(workflow: Workflow, output: WorkflowRunOutput) -> WorkflowRunOutput:
    found = await workflow.aget_run_output(str(output.run_id))
    assert found is not None
    return found


async def started(workflow: Workflow) -> WorkflowRunOutput:
    try:
        return await stored(workflow, await workflow.arun("in"))
    finally:
        await closed(workflow)


async def continued(workflow: Workflow, run_id: str, turn: int) -> WorkflowRunOutput:
    """Answer some of what is open, chosen by ``turn``, and go on."""
    try:
        paused = await workflow.aget_run_output(run_id)
        assert paused is not None
        waiting = [item for item in paused.active_step_requirements if item.answered_at is None]
        some = [item for i, item in enumerate(waiting) if i == turn % len(waiting) or turn >> i & 1]
        for item in some:
            item.answer(ANSWERS[item.kind])
        return await stored(workflow, await workflow.acontinue_run(run_id=run_id, step_requirements=some))
    finally:
        await closed(workflow)


async def closed(workflow: Workflow) -> None:
    if not isinstance(workflow.db, InMemoryDb):
        assert workflow.db is not None
        await workflow.db.aclose()


def interrupted(case: Guarded, open_db: Open, ran: list[str], turns: list[int], backend: str) -> WorkflowRunOutput:
    """Run it and continue it until nothing is open. Each continuation has an event loop, a database object and a workflow
    of its own, so that all it knows is what is stored."""
    output: WorkflowRunOutput = anyio.run(started, case.workflow(open_db(), ran, asked=True), backend=backend)
    for number in range(400):
        if not output.is_paused:
            return output
        workflow = case.workflow(open_db(), ran, asked=True)
        turn = turns[number % len(turns)]
        output = anyio.run(continued, workflow, str(output.run_id), turn, backend=backend)
    raise AssertionError("it pauses again and again")


async def in_one_process(workflow: Workflow, turns: list[int]) -> WorkflowRunOutput:
    """The same on one event loop with one workflow, where steps that ask wait, and are not entered again."""
    output = await stored(workflow, await workflow.arun("in"))
    for number in range(400):
        if not output.is_paused:
            return output
        output = await continued(workflow, str(output.run_id), turns[number % len(turns)])
    raise AssertionError("it pauses again and again")


def same(case: Guarded, open_db: Open, turns: list[int], backend: str, *, one_process: bool = False) -> None:
    once: list[str] = []
    paused: list[str] = []
    expected = anyio.run(started, case.workflow(open_db(), once, asked=False), backend=backend)
    if one_process:
        workflow = case.workflow(open_db(), paused, asked=True, evict_after=300.0)
        found = anyio.run(in_one_process, workflow, turns, backend=backend)
    else:
        found = interrupted(case, open_db, paused, turns, backend)
    assert Counter(paused) == Counter(once), "a body did not run exactly once"
    assert (found.status, found.content) == (expected.status, expected.content)
    for output in (found, expected):
        output.step_requirements = output.paused_step_index = output.paused_step_name = output.pause_kind = None
        output.last_seq = output.epoch = 0
    numbers = [event.seq for event in found.events or ()]
    ends = [event.last_seq if getattr(event, "last_seq", None) else event.seq for event in found.events or ()]
    assert numbers == [1, *(end + 1 for end in ends[:-1])], "the numbers have a gap"
    assert same_output(found, ordered=False) == same_output(expected, ordered=False)
    events = [event for event in found.events or () if event.event not in PAUSING]
    assert without_epoch(events, found) == without_epoch(expected.events or [], expected)


def without_epoch(events: list[Any], output: WorkflowRunOutput) -> Any:
    paths: dict[str, list[dict[str, Any]]] = same_events(events, output.run_id, ordered=False)
    return {path: [{k: v for k, v in item.items() if k != "epoch"} for item in items] for path, items in paths.items()}


@pytest.fixture(params=["memory-asyncio", "memory-trio", "sqlite-asyncio", "postgres-asyncio"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[[], Open], str, int]:
    """A maker of fresh databases, each as a function that opens it; the event loop; how many of ten examples it gets."""
    kind, backend = request.param.split("-")
    count = iter(range(10**6))

    def fresh() -> Open:
        if kind == "memory":
            db = InMemoryDb()
            return lambda: db
        if kind == "postgres":
            server: TestServer = request.getfixturevalue("postgres")
            url = server.new_database()
            return lambda: PostgresDb(url)
        path = tmp_path / f"runs{next(count)}.db"
        return lambda: SqliteDb(path)

    return fresh, backend, {"memory": 10, "sqlite": 3, "postgres": 1}[kind] if backend == "asyncio" else 3


def test_a_run_that_pauses_ends_as_one_that_does_not(place: tuple[Callable[[], Open], str, int]) -> None:
    fresh, backend, share = place
    kept = fresh()  # a run has an id of its own; a database for all examples is as good as one for each

    @settings(max_examples=max(1, settings().max_examples * share // 10))
    @given(case=guarded(), turns=st.lists(st.integers(0, 15), min_size=1, max_size=4))
    def check(case: Guarded, turns: list[int]) -> None:
        note(f"{case!r} {turns}")
        same(case, kept, turns, backend)

    check()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_that_is_continued_where_its_steps_wait_ends_as_one_that_does_not_pause(backend: str) -> None:
    @settings(max_examples=max(1, settings().max_examples // 2))
    @given(case=guarded(), turns=st.lists(st.integers(0, 15), min_size=1, max_size=4))
    def check(case: Guarded, turns: list[int]) -> None:
        note(f"{case!r} {turns}")
        db = InMemoryDb()
        same(case, lambda: db, turns, backend, one_process=True)

    check()
