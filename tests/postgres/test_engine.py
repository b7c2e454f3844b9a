"""Workflows on PostgreSQL: every mode, pauses, cancellation and readers, also from another process's point of view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from verbs import Verb

from workflow_runtime import (
    BaseDb,
    Loop,
    Parallel,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StepOutput,
    Workflow,
)
from workflow_runtime.model.events import WorkflowCancelledEvent, WorkflowPausedEvent
from workflow_runtime_postgres import PostgresDb

from .processes import finish, start, wait_for

New = Callable[..., PostgresDb]


def shout(step_input: StepInput) -> str:
    return str(step_input.get_input_as_string()).upper()


async def words(step_input: StepInput) -> AsyncIterator[str]:
    for word in str(step_input.input).split():
        yield f"{word} "


async def remember(step_input: StepInput, run_context: RunContext) -> int:
    state = run_context.session_state
    assert state is not None
    state["count"] = state.get("count", 0) + 1
    return int(state["count"])


def tree(db: BaseDb, **options: Any) -> Workflow:
    """Streams, branches, iterations and session state."""
    return Workflow(
        name="tree",
        steps=[
            Step(name="words", executor=words),
            Parallel(Step(name="left", executor=shout), Step(name="right", executor=remember), name="both"),
            Loop(name="again", steps=[Step(name="shout", executor=shout)], max_iterations=3),
        ],
        db=db,
        store_events=True,
        **options,
    )


@pytest.fixture
def verb(new_db: New) -> Iterator[Verb]:
    opened: list[PostgresDb] = []
    numbers = count()

    def database() -> PostgresDb:
        opened.append(new_db(schema=f"mode {next(numbers)}"))
        return opened[-1]

    yield Verb(database, "asyncio", {})
    for found in opened:
        anyio.run(found.aclose)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_run_is_the_same_in_every_mode(verb: Verb, durability: str) -> None:
    ran = verb(lambda db: tree(db, durability=durability), "one two", ordered=False)
    assert ran.status is RunStatus.completed
    assert ran.state == {"count": 1}


def test_a_url_is_enough_and_the_plain_verbs_wait(url: str) -> None:
    workflow = Workflow(name="w", steps=[shout, remember], db=f"{url}?schema=plain", session_id="s")
    assert workflow.run(input="hello").content == 1
    assert workflow.run(input="hello").content == 2
    assert [event.event for event in workflow.run(input="hello", stream=True, stream_events=True)][
        -1
    ] == "WorkflowCompleted"
    assert workflow.get_session_state() == {"count": 3}
    last = workflow.get_last_run_output()
    assert last is not None
    assert last.content == 3
    assert isinstance(workflow.db, PostgresDb)
    anyio.run(workflow.db.aclose)


@pytest.mark.anyio
async def test_a_run_that_paused_is_continued_by_another_object(db: PostgresDb, new_db: New) -> None:
    ran: list[str] = []

    def make(database: PostgresDb) -> Workflow:
        def first(step_input: StepInput) -> str:
            ran.append("first")
            return "first"

        def work(step_input: StepInput) -> str:
            ran.append("work")
            return "worked"

        steps = [Step(name="first", executor=first), Step(name="work", executor=work, requires_confirmation=True)]
        return Workflow(name="w", steps=steps, db=database)

    events = [event async for event in make(db).arun(input="x", stream=True, stream_events=True, session_id="s")]
    assert isinstance(events[-1], WorkflowPausedEvent)
    run_id = str(events[-1].run_id)
    other_db = new_db()
    other = make(other_db)
    [requirement] = await other.alist_pending()
    requirement.confirm()
    output = await other.acontinue_run(run_id=run_id, session_id="s", step_requirements=[requirement])
    assert (output.status, output.content, ran) == (RunStatus.completed, "worked", ["first", "work"])
    assert await other.alist_pending() == []
    await other_db.aclose()


@pytest.mark.anyio
async def test_a_run_is_cancelled_through_another_object(db: PostgresDb, new_db: New) -> None:
    entered = asyncio.Event()

    async def wait(step_input: StepInput) -> StepOutput:
        entered.set()
        await anyio.sleep_forever()
        raise AssertionError

    workflow = Workflow(name="w", steps=[Step(name="wait", executor=wait)], db=db)
    events: list[Any] = []

    async def read() -> None:
        async for event in workflow.arun(input="x", stream=True, stream_events=True, session_id="s", run_id="r"):
            events.append(event)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await entered.wait()
            assert await workflow.acancel_run("r")
    assert isinstance(events[-1], WorkflowCancelledEvent)
    row = await db.load_run("r")
    assert row is not None
    assert row.status is RunStatus.cancelled


@pytest.mark.anyio
async def test_a_run_of_another_process_is_followed_cancelled_and_read(
    db: PostgresDb, url: str, tmp_path: Path
) -> None:
    process = start(
        """
        async def wait(step_input):
            await asyncio.Event().wait()
        def first(step_input):
            return "first"
        async def main():
            workflow = Workflow(name="w", steps=[Step(name="first", executor=first), Step(name="wait", executor=wait)],
                                db=database(), durability="sync", store_events=True)
            events = []
            async for event in workflow.arun("x", run_id="r", session_id="s", stream=True, stream_events=True):
                events.append(event.event)
                if event.event == "StepStarted" and event.step_name == "wait":
                    print("waiting", flush=True)
            print(events[-1])
        asyncio.run(main())
        """,
        url,
    )
    with anyio.fail_after(60):
        await anyio.to_thread.run_sync(wait_for, process, "waiting")
        workflow = Workflow(name="w", steps=[shout], db=db)
        seen: list[str] = []
        async for event in workflow.subscribe("r"):
            seen.append(event.event)
            if len(seen) == 1:
                assert await workflow.acancel_run("r")
        said = await anyio.to_thread.run_sync(finish, process)
    assert said == "WorkflowCancelled\n"
    assert (seen[0], seen[-1]) == ("WorkflowStarted", "WorkflowCancelled")
    row = await db.load_run("r")
    assert row is not None
    assert row.status is RunStatus.cancelled
