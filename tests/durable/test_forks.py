"""Forks and the history of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workflow_runtime import (
    BaseDb,
    Condition,
    Loop,
    Parallel,
    Retry,
    Router,
    RunContext,
    RunNotFound,
    RunStatus,
    Step,
    StepInput,
    StepOutput,
    Steps,
    StorageError,
    Workflow,
)

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]


class Work:
    """A workflow that counts in its session state and notes which steps ran."""

    def __init__(self, db: BaseDb | None) -> None:
        self.ran: list[str] = []

        async def step(step_input: StepInput, run_context: RunContext) -> str:
            self.ran.append(run_context.path)
            state = run_context.session_state
            state["n"] = state.get("n", 0) + 1
            return f"{run_context.step_name} after {step_input.previous_step_content} with {state['n']}"

        self.workflow = Workflow(
            name="w",
            db=db,
            store_events=True,
            session_state={"start": True},
            steps=[
                Step("one", executor=step),
                Parallel(Step("left", executor=step), Step("right", executor=step), name="both"),
                Loop([Step("again", executor=step)], name="loop", max_iterations=2),
                Condition([Step("yes", executor=step)], evaluator=True, name="if"),
                Step("last", executor=step),
            ],
        )


async def test_a_fork_at_a_step_runs_that_step_and_what_follows(again: Again) -> None:
    work = Work(again())
    source = await work.workflow.arun("x", session_id="s")
    assert source.run_id is not None
    work.ran.clear()
    fork = await work.workflow.fork(source.run_id, at="4.last")
    assert work.ran == ["4.last"]
    assert fork.run_id != source.run_id
    assert (fork.status, fork.content) == (RunStatus.completed, source.content)
    assert fork.session_state == source.session_state
    assert [step.content for step in fork.step_results] == [step.content for step in source.step_results]
    assert await work.workflow.aget_session_state("s") == source.session_state


async def test_a_fork_inside_a_container_keeps_what_was_done_before_it(again: Again) -> None:
    work = Work(again())
    source = await work.workflow.arun("x")
    assert source.run_id is not None
    work.ran.clear()
    fork = await work.workflow.fork(source.run_id, at="2.loop#1/0.again")
    assert work.ran == ["2.loop#1/0.again", "3.if/if.0.yes", "4.last"]
    assert fork.content == source.content


async def test_a_fork_inside_a_nested_workflow_has_all_of_its_retries(again: Again) -> None:
    ran: list[str] = []

    def fails(*times: int) -> Callable[[], str]:
        def step() -> str:
            ran.append("step")
            if len(ran) in times:
                raise ConnectionError(f"at call {len(ran)}")
            return "well"

        return step

    inner = Workflow(name="in", steps=[Step("one", executor=lambda: "one"), Step("two", executor=fails(1, 3))])
    step = Step("inner", workflow=inner, retry=Retry(attempts=2, delay=0.001))
    workflow = Workflow(name="w", steps=[step], db=again())
    source = await workflow.arun("x")
    fork = await workflow.fork(str(source.run_id), at="0.inner/1.two")
    assert (fork.status, fork.content, len(ran)) == (RunStatus.completed, "well", 4)


async def test_a_fork_at_an_event_keeps_what_had_happened_by_then(again: Again) -> None:
    work = Work(again())
    source = await work.workflow.arun("x")
    assert source.run_id is not None
    assert source.events is not None
    seq = next(
        event.seq for event in source.events if event.event == "StepCompleted" and event.path.startswith("2.loop#0")
    )
    work.ran.clear()
    fork = await work.workflow.fork(source.run_id, at=seq)
    assert work.ran == ["2.loop#1/0.again", "3.if/if.0.yes", "4.last"]
    assert fork.content == source.content


async def test_a_fork_can_change_the_state_and_what_a_step_had_said(again: Again) -> None:
    work = Work(again())
    source = await work.workflow.arun("x")
    assert source.run_id is not None
    work.ran.clear()
    fork = await work.workflow.fork(
        source.run_id, at="4.last", session_state={"n": 40}, outputs={"3.if/if.0.yes": "other", "3.if": "other"}
    )
    assert work.ran == ["4.last"]
    assert fork.content == "last after other with 41"
    assert fork.session_state == {"start": True, "n": 41}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("0.box/0.first", "second(first)"),
        ("0.box/1.second", "NEW"),
        ("1.both/0.left", "## Parallel Execution Results\n\n### ✅ SUCCESS: left\nNEW\n\n### ✅ SUCCESS: right\nright"),
        ("2.loop#0/0.again", "NEW"),
        ("3.if/if.0.yes", "NEW"),
        ("4.route/0.chosen", "NEW"),
        ("5.inner/0.deep/0.deepest", "NEW"),
    ],
)
async def test_an_output_put_in_below_what_is_done_makes_that_anew(again: Again, path: str, content: str) -> None:
    ran: list[str] = []

    def step(name: str) -> Step:
        async def work(step_input: StepInput) -> str:
            ran.append(name)
            return f"{name}({step_input.previous_step_content})" if name == "second" else name

        return Step(name, executor=work)

    workflow = Workflow(
        name="w",
        db=again(),
        steps=[
            Steps(name="box", steps=[step("first"), step("second")]),
            Parallel(step("left"), step("right"), name="both"),
            Loop(
                [step("again")],
                name="loop",
                max_iterations=3,
                end_condition=lambda outputs: outputs[0].content == "NEW",
            ),
            Condition([step("yes")], evaluator=True, name="if"),
            Router([step("chosen")], selector=lambda step_input: "chosen", name="route"),
            Step(
                "inner",
                workflow=Workflow(name="in", steps=[Steps(name="deep", steps=[step("deepest")])]),
            ),
        ],
    )
    source = await workflow.arun("x")
    ran.clear()
    fork = await workflow.fork(str(source.run_id), outputs={path: "NEW"})
    assert fork.status == RunStatus.completed
    assert ran == []
    top = fork.step_results[int(path[0])]
    assert "NEW" in repr(top)
    while top.steps and top.step_type != "Parallel":
        top = top.steps[-1]
    assert top.content == content
    assert [entry.status for entry in await workflow.history(str(fork.run_id))].count("open") == 0
    with pytest.raises(LookupError, match=r"'2\.loop' is done, and '2\.loop#9/0\.again' did not run in it"):
        await workflow.fork(str(source.run_id), outputs={"2.loop#9/0.again": "NEW"})


async def test_a_fork_of_a_fork_shares_both_prefixes_and_stores_only_its_own(again: Again) -> None:
    db = again()
    work = Work(db)
    source = await work.workflow.arun("x")
    first = await work.workflow.fork(str(source.run_id), at="3.if")
    second = await work.workflow.fork(str(first.run_id), at="4.last")
    assert second.content == source.content
    paths = [entry.path for entry in await work.workflow.history(str(second.run_id))]
    assert paths == [entry.path for entry in await work.workflow.history(str(source.run_id))]
    own = [row.path for row in await db.load_steps(str(second.run_id)) if not row.path.startswith("!")]
    assert own == ["4.last"]


async def test_the_history_tells_times_attempts_and_outputs(again: Again) -> None:
    failures = iter([ValueError("once")])

    async def flaky(step_input: StepInput) -> str:
        for error in failures:
            raise error
        return "at last"

    workflow = Workflow(name="w", db=again(), steps=[Step("flaky", executor=flaky, max_retries=1)])
    output = await workflow.arun("x")
    (entry,) = await workflow.history(str(output.run_id))
    assert (entry.path, entry.kind, entry.status, entry.attempt) == ("0.flaky", "Step", "done", 2)
    assert entry.output is not None
    assert entry.output.content == "at last"
    assert entry.started_at is not None
    assert entry.finished_at is not None
    assert entry.started_at <= entry.finished_at


async def test_the_history_tells_what_each_step_changed_of_the_session_state(again: Again) -> None:
    def first(session_state: dict[str, Any]) -> None:
        session_state["n"] = session_state["n"] + 1
        session_state["new"] = [1]

    def second(session_state: dict[str, Any]) -> None:
        del session_state["n"]

    def third() -> None: ...

    workflow = Workflow(name="w", db=again(), steps=[first, second, third], session_state={"n": 1, "kept": True})
    output = await workflow.arun("x")
    assert [entry.changes for entry in await workflow.history(str(output.run_id))] == [
        {"n": (1, 2), "new": (None, [1])},
        {"n": (2, None)},
        None,
    ]


async def test_what_cannot_be_forked_is_refused_and_named(again: Again) -> None:
    work = Work(again())
    source = await work.workflow.arun("x")
    with pytest.raises(RunNotFound, match="no run '00_nobody'"):
        await work.workflow.fork("00_nobody")
    with pytest.raises(LookupError, match=r"no step at '9\.nowhere'; it has 0\.one"):
        await work.workflow.fork(str(source.run_id), at="9.nowhere")
    with pytest.raises(LookupError, match=r"no step at '7\.other'"):
        await work.workflow.fork(str(source.run_id), outputs={"7.other": 1})
    with pytest.raises(StorageError, match="needs a database"):
        await Work(None).workflow.fork("00_x")


async def test_a_fork_of_a_fork_starts_with_the_state_that_was_given_to_the_first(db: BaseDb) -> None:
    async def one(step_input: StepInput, session_state: dict[str, Any]) -> None:
        session_state["x"] = 1

    async def two(step_input: StepInput, session_state: dict[str, Any]) -> None:
        session_state["y"] = session_state["x"]

    async def three(step_input: StepInput) -> str:
        return "done"

    workflow = Workflow(name="w", steps=[one, two, three], db=db)
    await workflow.arun("x", run_id="first")
    second = await workflow.fork("first", "1.two", session_state={"x": 5}, new_run_id="second")
    third = await workflow.fork("second", "2.three", new_run_id="third")
    assert second.session_state == third.session_state == {"x": 5, "y": 5}
    assert (await workflow.fork("third", "1.two")).session_state == {"x": 5, "y": 5}


async def test_a_fork_has_the_state_that_an_attempt_changed_which_was_undone_since(db: BaseDb) -> None:
    tries: list[str] = []

    def route(step_input: StepInput) -> str:
        return "second" if tries else "first"

    async def first(step_input: StepInput, session_state: dict[str, Any]) -> None:
        session_state["first"] = True

    async def second(step_input: StepInput) -> str:
        return "second"

    async def flaky(step_input: StepInput) -> str:
        tries.append("flaky")
        if len(tries) == 1:
            raise ValueError("once")
        return "ok"

    def undo(step_output: StepOutput) -> None:
        tries.append("undo")

    one, two = Step(name="first", executor=first), Step(name="second", executor=second)
    router = Router(choices=[one, two], selector=route, name="route")
    inner = Workflow(name="inner", steps=[Step(name="book", executor=second, compensate=undo), router, flaky])
    nested = Step(name="n", workflow=inner, retry=Retry(attempts=2, delay=0))
    workflow = Workflow(name="w", steps=[nested, second], db=db)
    output = await workflow.arun("x", run_id="r")
    assert tries == ["flaky", "undo", "flaky"]
    fork = await workflow.fork("r", "1.second", session_id="other")
    assert output.session_state == fork.session_state == {"first": True}
    assert [entry.path for entry in await workflow.history("r") if "first" in entry.path] == []
