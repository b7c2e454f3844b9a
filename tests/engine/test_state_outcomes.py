"""Session state becomes real with the outcome of the step that changed it: once, whatever interrupts the step."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from workflow_runtime import (
    BaseDb,
    Condition,
    InMemoryDb,
    Map,
    Parallel,
    Retry,
    RunContext,
    Step,
    StepChanged,
    StepInput,
    Steps,
    Workflow,
)

pytestmark = pytest.mark.anyio


async def add_one(run_context: RunContext, key: str = "n") -> None:
    async with run_context.edit_state() as state:
        state[key] = state.get(key, 0) + 1


async def answer(workflow: Workflow, output: Any, value: Any = 1) -> Any:
    await anyio.wait_all_tasks_blocked()  # with evict_after=0 the waiting step is let go
    requirement = output.active_step_requirements[0]
    requirement.set_user_input(value=value)
    return await workflow.acontinue_run(run_id=output.run_id, step_requirements=[requirement])


def build(db: BaseDb | None, *steps: Any, **options: Any) -> Workflow:
    return Workflow(name="W", steps=list(steps), db=db, session_id="s", **{"store_events": True, **options})


async def stored(workflow: Workflow) -> dict[str, Any]:
    return await workflow.aget_session_state("s")


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("then", ["nothing", "once", "sleep", "text"])
async def test_an_edit_stands_while_its_step_goes_on(db: BaseDb, durability: str, then: str) -> None:
    edited, finish = anyio.Event(), anyio.Event()

    async def edits(run_context: RunContext) -> Any:
        await add_one(run_context)
        if then == "once":
            await run_context.once("charge", lambda: "charged")
        elif then == "sleep":
            await run_context.sleep(0)
        elif then == "text":
            yield "words"
        edited.set()
        await finish.wait()

    first = build(db, edits, durability=durability)
    second = build(db, add_one, durability=durability)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.arun)
            await edited.wait()
            assert await stored(second) == {"n": 1}
            await second.arun()
            finish.set()
    assert await stored(first) == {"n": 2}


@pytest.mark.parametrize("inside_once", [False, True])
async def test_an_edit_is_done_once_in_a_step_that_is_entered_again(db: BaseDb, inside_once: bool) -> None:
    seen: list[int] = []

    async def count(run_context: RunContext) -> None:
        if inside_once:
            await run_context.once("count", lambda: add_one(run_context))
        else:
            await add_one(run_context)
        await add_one(run_context)
        seen.append((run_context.session_state or {})["n"])
        await run_context.ask("go on?", int)

    workflow = build(db, count, evict_after=0)
    output = await workflow.arun()
    await build(db, add_one).arun()
    output = await answer(build(db, count), output)
    assert await stored(workflow) == {"n": 3}
    assert seen == [2, 2], "the step finds the values that its edits left"
    assert not [event for event in output.events if event.event == "SessionStateConflict"]


async def test_a_step_that_edits_other_keys_when_it_is_entered_again_fails(db: BaseDb) -> None:
    keys = iter(["first", "second"])

    async def edit(run_context: RunContext) -> None:
        await add_one(run_context, next(keys))
        await run_context.ask("go on?", int)

    workflow = build(db, edit, evict_after=0)
    output = await workflow.arun()
    with pytest.raises(StepChanged, match="'first' when the step first ran and changes 'second' now"):
        await answer(build(db, edit), output)
    assert await stored(workflow) == {"first": 1}


@pytest.mark.parametrize("with_db", [False, True])
async def test_an_edit_counts_once_in_a_step_that_is_tried_again(with_db: bool) -> None:
    async def flaky(run_context: RunContext) -> None:
        await add_one(run_context)
        if run_context.attempt < 3:
            raise ValueError("again")
        await add_one(run_context)

    step = Step(name="flaky", executor=flaky, retry=Retry(attempts=3, delay=0))
    output = await build(InMemoryDb() if with_db else None, step).arun()
    assert output.session_state == {"n": 2}


async def test_once_gives_the_keys_back_that_its_function_changed(db: BaseDb) -> None:
    calls: list[str] = []

    async def pay(run_context: RunContext) -> Any:
        state = run_context.session_state

        def charge() -> str:
            calls.append("charged")
            state["receipt"] = {"number": len(calls)}
            return "paid"

        await run_context.once("charge", charge)
        state["seen"] = [*state.get("seen", []), state["receipt"]["number"]]
        await run_context.ask("go on?", int)

    workflow = build(db, pay, evict_after=0)
    output = await workflow.arun()
    assert await stored(workflow) == {"receipt": {"number": 1}}
    assert output.session_state == {"receipt": {"number": 1}}, "a paused run shows what is committed"
    await answer(build(db, pay), output)
    assert await stored(workflow) == {"receipt": {"number": 1}, "seen": [1]}
    assert calls == ["charged"]


@pytest.mark.parametrize("evict_after", [0, 300])
async def test_what_a_step_changed_before_it_asks_is_changed_once(db: BaseDb, evict_after: float) -> None:
    async def order(session_state: dict[str, Any], run_context: RunContext) -> list[int]:
        session_state["orders"] = session_state.get("orders", 0) + 1
        return [await run_context.ask("size?", int), await run_context.ask("colour?", int)]

    workflow = build(db, order, evict_after=evict_after)
    output = await workflow.arun()
    while output.is_paused:
        output = await answer(workflow, output)
    assert await stored(workflow) == {"orders": 1}
    assert output.session_state == {"orders": 1}


async def test_what_a_condition_changed_is_not_changed_back_when_it_ends(db: BaseDb) -> None:
    def decide(session_state: dict[str, Any]) -> bool:
        session_state["n"] = session_state.get("n", 0) + 1
        return True

    async def add(session_state: dict[str, Any], run_context: RunContext) -> None:
        session_state["n"] += 10
        await run_context.ask("go on?", int)

    workflow = build(db, Condition(name="maybe", steps=[add], evaluator=decide), evict_after=0)
    output = await workflow.arun()
    assert output.session_state == {"n": 1}, "the decision is stored with what it changed"
    output = await answer(build(db, Condition(name="maybe", steps=[add], evaluator=decide)), output)
    assert output.session_state == await stored(workflow) == {"n": 11}
    history = {entry.path: entry.changes for entry in await workflow.history(output.run_id)}
    assert history == {"0.maybe": {"n": (None, 1)}, "0.maybe/if.0.add": {"n": (1, 11)}}


# -- branches ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_db", [False, True])
async def test_branches_work_on_copies_that_are_merged_with_their_outcomes(with_db: bool) -> None:
    changed, ended = anyio.Event(), anyio.Event()
    seen: list[Any] = []

    async def start(session_state: dict[str, Any]) -> None:
        session_state["list"] = [0]

    async def first(session_state: dict[str, Any]) -> None:
        session_state["list"].append(1)
        session_state["mine"] = 1
        changed.set()

    async def after_first() -> None:
        ended.set()

    async def second(session_state: dict[str, Any]) -> None:
        await changed.wait()
        seen.append(session_state.get("early"))
        await ended.wait()
        seen.append((session_state["list"], session_state["mine"]))

    async def last(session_state: dict[str, Any]) -> Any:
        return dict(session_state)

    steps = [start, Parallel(Steps(name="one", steps=[first, after_first]), second), last]
    with anyio.fail_after(20):
        output = await build(InMemoryDb() if with_db else None, *steps).arun()
    assert seen == [None, ([0, 1], 1)]
    assert output.content == {"list": [0, 1], "mine": 1}


@pytest.mark.parametrize("with_db", [False, True])
async def test_two_branches_that_change_one_key_leave_the_later_value_and_say_so(with_db: bool) -> None:
    read, wrote = anyio.Event(), anyio.Event()

    async def early(session_state: dict[str, Any]) -> None:
        await read.wait()
        session_state["n"] = session_state.get("n", 0) + 1

    async def tell() -> None:
        wrote.set()

    async def late(session_state: dict[str, Any]) -> None:
        value = session_state.get("n", 0)
        read.set()
        await wrote.wait()
        session_state["n"] = value + 1

    steps = [Parallel(Steps(name="one", steps=[early, tell]), Step(name="late", executor=late), name="both")]
    with anyio.fail_after(20):
        output = await build(InMemoryDb() if with_db else None, *steps).arun()
    assert output.session_state == {"n": 1}
    (event,) = [event for event in output.events if event.event == "SessionStateConflict"]
    assert (event.key, event.ours, event.theirs) == ("n", 1, 1)
    assert (event.our_path, event.their_path) == ("0.both/1.late", "0.both/0.one/0.early")


async def test_a_branch_that_is_cut_off_leaves_nothing_in_the_state(db: BaseDb) -> None:
    begun = anyio.Event()

    async def slow(session_state: dict[str, Any]) -> None:
        session_state["slow"] = True
        begun.set()
        await anyio.sleep_forever()

    async def fast(session_state: dict[str, Any]) -> None:
        await begun.wait()
        session_state["fast"] = True

    with anyio.fail_after(20):
        output = await build(db, Parallel(slow, fast, wait_for="first")).arun()
    assert output.session_state == await stored(build(db, fast)) == {"fast": True}


async def test_edits_of_branches_count_exactly(db: BaseDb) -> None:
    async def item(step_input: StepInput, run_context: RunContext) -> None:
        await add_one(run_context)
        run_context.session_state[f"item{step_input.input}"] = True

    workflow = build(db, Map(Step(name="item", executor=item), over=lambda step_input: list(range(8)), name="each"))
    output = await workflow.arun()
    assert output.session_state == await stored(workflow) == {"n": 8, **{f"item{n}": True for n in range(8)}}


async def test_a_removed_key_is_removed_by_its_branch(db: BaseDb) -> None:
    async def remove(session_state: dict[str, Any]) -> None:
        del session_state["a"]

    async def keep(session_state: dict[str, Any]) -> None:
        assert session_state["b"] == 2

    workflow = build(db, Parallel(remove, keep), session_state={"a": 1, "b": 2})
    await workflow.arun()
    assert await stored(workflow) == {"b": 2}


async def test_steps_of_a_function_that_run_at_once_keep_their_changes_apart(db: BaseDb) -> None:
    async def flow(run_context: RunContext) -> Any:
        async def work(step_input: StepInput, run_context: RunContext) -> None:
            state = run_context.session_state
            state[f"{step_input.input}"] = run_context.attempt
            await anyio.lowlevel.checkpoint()
            if run_context.attempt < 2:
                raise ValueError("again")

        async with anyio.create_task_group() as tasks:
            for name in ("a", "b", "c"):
                tasks.start_soon(
                    lambda name=name: run_context.step(name, work, input=name, retry=Retry(attempts=2, delay=0))
                )
        return dict(run_context.session_state)

    workflow = Workflow(name="F", steps=flow, db=db, session_id="s")
    output = await workflow.arun()
    assert output.content == {"a": 2, "b": 2, "c": 2}
    assert await stored(workflow) == {"a": 2, "b": 2, "c": 2}
