"""A commit that is cut off by a cancellation: nobody knows whether it is stored, and the run still ends once. (D6, D9)"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal

import anyio
import pytest

from workflow_runtime import BaseDb, RunStatus, Step, StepInput, StorageError, Workflow
from workflow_runtime.engine.run.host import find_live
from workflow_runtime.storage.base import Batch, Committed, RunRow
from workflow_runtime.testing.contract_rows import run

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]
COMMITS = {"sync": 5, "async": 2, "exit": 1}


async def turn(step_input: StepInput) -> str:
    await anyio.lowlevel.checkpoint()
    return "x"


def cancelling(db: BaseDb, number: int, cancel: Callable[[], Awaitable[None]]) -> list[Batch]:
    """Let ``db`` cancel its caller in the middle of its commit ``number``. The list fills with what was to be written."""
    commit, seen = db.commit, list[Batch]()

    async def cut(batch: Batch) -> Committed:
        seen.append(batch)
        if len(seen) == number:
            await cancel()
        return await commit(batch)

    db.commit = cut  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize("by", ["task", "run"])
@pytest.mark.parametrize(
    ("durability", "number"), [(kind, number + 1) for kind, count in COMMITS.items() for number in range(count)]
)
async def test_a_run_ends_once_whichever_commit_its_cancellation_cuts_off(
    again: Again, durability: Literal["sync", "async", "exit"], number: int, by: str
) -> None:
    db = again()
    steps = [Step(f"step{position}", executor=turn) for position in range(3)]
    workflow = Workflow(name="cut", db=db, steps=steps, durability=durability, store_events=True)

    async def cancel() -> None:
        if by == "task":
            task.cancel()
        else:
            calls.append(asyncio.create_task(workflow.acancel_run("r")))
            if not seen[-1].create:  # which the request waits for
                with anyio.CancelScope(shield=True):
                    await calls[0]

    calls: list[asyncio.Task[bool]] = []
    seen = cancelling(db, number, cancel)
    with anyio.fail_after(60):
        task = asyncio.create_task(workflow.arun("x", run_id="r", session_id="s"))
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert len(seen) >= number
        granted = [await call for call in calls]
        reader = Workflow(name="cut", db=again(), steps=steps)
        output = await reader.aget_run_output("r")
        metrics = await reader.aget_session_metrics("s")
    # A request that is stored before the end is granted. An end that was begun without one is brought to its end; before
    # it, a task that never waits again may complete its run.
    cut = seen[number - 1].run
    begun = cut is not None and cut.status is RunStatus.completed
    assert output is not None
    if granted == [True]:
        assert output.status is RunStatus.cancelled
    else:
        assert output.status in ({RunStatus.completed} if begun else {RunStatus.cancelled, RunStatus.completed})
    assert [event.seq for event in output.events or ()] == list(range(1, output.last_seq + 1))
    assert metrics is not None
    assert metrics.runs == 1


async def test_a_database_that_cannot_say_at_once_what_is_stored_is_asked_again(again: Again) -> None:
    db = again()
    load_run, asked = db.load_run, list[str]()

    async def cancel() -> None:
        task.cancel()

    async def away(run_id: str) -> RunRow | None:
        asked.append(run_id)
        if len(asked) == 2:  # behind the look whether the id is free
            raise StorageError("away")
        return await load_run(run_id)

    db.load_run = away  # type: ignore[method-assign]
    workflow = Workflow(name="cut", db=db, steps=[turn], durability="sync")
    cancelling(db, 1, cancel)
    with anyio.fail_after(60):
        task = asyncio.create_task(workflow.arun("x", run_id="r", session_id="s"))
        with contextlib.suppress(asyncio.CancelledError):
            await task
        row = await load_run("r")
    assert row is not None
    assert row.status.is_final


async def test_what_a_cancelled_step_had_said_is_kept_once_though_the_end_is_cut_off_too(again: Again) -> None:
    db, said = again(), anyio.Event()

    async def talk(step_input: StepInput) -> AsyncIterator[str]:
        yield "half"
        said.set()
        await anyio.sleep_forever()

    async def cancel() -> None:
        task.cancel()

    workflow = Workflow(name="cut", db=db, steps=[Step("talk", executor=talk)], durability="exit")
    cancelling(db, 1, cancel)
    with anyio.fail_after(60):
        task = asyncio.create_task(workflow.arun("x", run_id="r", session_id="s"))
        await said.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        output = await workflow.aget_run_output("r")
    assert output is not None
    assert (output.status, [step.content for step in output.step_results]) == (RunStatus.cancelled, ["half"])


async def test_an_id_that_is_taken_meanwhile_is_refused_although_a_commit_was_cut_off(again: Again) -> None:
    db = again()
    commit = db.commit
    workflow = Workflow(name="cut", db=db, steps=[turn], durability="sync")

    async def cancel() -> None:
        await commit(Batch(run=run("r", RunStatus.completed, session_id="s", data=b"another's"), create=True))
        task.cancel()

    cancelling(db, 1, cancel)
    with anyio.fail_after(60):
        task = asyncio.create_task(workflow.arun("second", run_id="r", session_id="s"))
        with contextlib.suppress(asyncio.CancelledError, StorageError):
            await task
        kept = await db.load_run("r")
    assert kept is not None
    assert (kept.data, kept.status) == (b"another's", RunStatus.completed)


async def test_a_run_whose_turn_is_given_up_under_a_cancellation_is_let_go(again: Again) -> None:
    db = again()
    release = db.release
    held: list[weakref.ref[Any]] = []

    async def work(step_input: StepInput) -> str:
        held.append(weakref.ref(find_live("r")))
        return "x"

    async def cut(name: str, *, owner: str) -> None:
        task.cancel()
        await release(name, owner=owner)
        await anyio.lowlevel.checkpoint()

    db.release = cut  # type: ignore[method-assign]
    workflow = Workflow(name="queued", db=db, steps=[work], session_policy="queue")

    async def call() -> None:  # in a task whose end holds no traceback
        with contextlib.suppress(asyncio.CancelledError):
            await workflow.arun("x", run_id="r", session_id="s")

    with anyio.fail_after(60):
        task = asyncio.create_task(call())
        await task
        output = await workflow.aget_run_output("r")
    assert output is not None
    assert output.status is RunStatus.completed
    gc.collect()
    assert [one() for one in held] == [None]


@pytest.mark.parametrize("how", ["step", "function", "background"])
async def test_a_loop_that_ends_ends_the_runs_that_wait_for_their_turn(again: Again, how: str) -> None:
    """As ``asyncio.run`` ends: every task is cancelled and waited for. (Those of the database are spared here.)"""
    begun = anyio.Event()

    async def work() -> None:
        begun.set()
        await anyio.sleep_forever()

    async def function(workflow: Workflow, execution_input: Any) -> None:
        await work()

    steps: Any = function if how == "function" else [lambda step_input: work()]
    workflow = Workflow(name="line", db=again(), steps=steps, session_policy="queue")

    async def call(run_id: str) -> None:
        await workflow.arun("x", run_id=run_id, session_id="s", background=how == "background")

    with anyio.fail_after(60):
        tasks = [asyncio.create_task(call("first"))]
        await begun.wait()
        tasks.append(asyncio.create_task(call("second")))
        while (second := find_live("second")) is None or second.turn is None:
            await anyio.lowlevel.checkpoint()
        while rest := [task for task in asyncio.all_tasks() if task in tasks or "run " in task.get_name()]:
            for task in rest:
                task.cancel()
            await asyncio.wait(rest)
        assert all(task.cancelled() for task in tasks) or how == "background"
        for run_id in ("first", "second"):
            output = await workflow.aget_run_output(run_id)
            assert output is not None
            assert output.status is RunStatus.cancelled
    assert find_live("second") is None


async def test_a_loop_that_ends_before_the_task_of_a_run_began_keeps_nobody_waiting(again: Again) -> None:
    async def function(workflow: Workflow, execution_input: Any) -> None:
        raise AssertionError("it began")

    workflow = Workflow(name="unborn", db=again(), steps=function, session_policy="queue")
    with anyio.fail_after(60):
        call = asyncio.create_task(workflow.arun("x", run_id="r", session_id="s"))
        while not (rest := [task for task in asyncio.all_tasks() if task.get_name() == "run r"]):
            await anyio.lowlevel.checkpoint()
        for task in (*rest, call):
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert find_live("r") is None
