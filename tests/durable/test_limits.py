"""Limits of queued runs: how many work at once, begin in a time and wait, for each key; and runs that are the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from servers import TestServer

from workflow_runtime import (
    BaseDb,
    BuildError,
    HumanReview,
    InMemoryDb,
    InputError,
    Limit,
    QueuedRun,
    QueueFull,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    Workflow,
)
from workflow_runtime.backends import PostgresDb, SqliteDb
from workflow_runtime.storage.base import RunFilter
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]


class Gate:
    """A step that waits until the test lets it go, and counts how many of each user are in it."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.open = anyio.Event()
        self.order: list[str] = []
        self.inside: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.changed = anyio.Event()
        if is_open:
            self.open.set()

    async def __call__(self, step_input: StepInput) -> str:
        key = str(step_input.input).partition(" ")[0]
        self.order.append(str(step_input.input))
        self.inside[key] = self.inside.get(key, 0) + 1
        self.most[key] = max(self.most.get(key, 0), self.inside[key])
        self.changed.set()
        self.changed = anyio.Event()
        await self.open.wait()
        await anyio.lowlevel.checkpoint()
        self.inside[key] -= 1
        return f"made {step_input.input}"

    async def wait_for(self, count: int) -> None:
        with anyio.fail_after(60):
            while len(self.order) < count:
                await self.changed.wait()


def made(step_input: StepInput) -> str:
    return f"made {step_input.input}"


def workflow_on(db: BaseDb, *limits: Limit, step: Any = made, **options: Any) -> Workflow:
    return Workflow(name="w", db=db, steps=[Step("step", executor=step)], limits=limits or None, **options)


async def end_of(workflow: Workflow, run_id: str | None) -> Any:
    with anyio.fail_after(60):
        async for _ in workflow.subscribe(run_id or ""):
            pass
    return await workflow.aget_run(run_id or "")


async def test_no_more_runs_of_a_user_work_at_once_over_several_runtimes(again: Again) -> None:
    limit = Limit(key="user_id", concurrency=2)
    gate = Gate()
    producer = workflow_on(again(), limit, step=gate)
    runs = [
        (await producer.arun(f"{user} {number}", user_id=user, background=True)).run_id
        for number in range(4)
        for user in ("ada", "bob")
    ]
    async with (
        Runtime(workflow_on(again(), limit, step=gate), concurrency=8),
        Runtime(workflow_on(again(), limit, step=gate), concurrency=8),
    ):
        await gate.wait_for(4)
        rows = await producer.db.list_runs(RunFilter(statuses=frozenset({RunStatus.running})))  # type: ignore[union-attr]
        assert sorted(row.user_id or "" for row in rows) == ["ada", "ada", "bob", "bob"]
        gate.open.set()
        outputs = [await end_of(producer, run_id) for run_id in runs]
    assert {output.status for output in outputs} == {RunStatus.completed}
    assert gate.most == {"ada": 2, "bob": 2}


async def test_a_user_with_many_runs_keeps_no_other_waiting(again: Again) -> None:
    gate = Gate(is_open=True)
    workflow = workflow_on(again(), Limit(key="user_id", concurrency=5), step=gate)
    runs = [(await workflow.arun(f"ada {n}", user_id="ada", background=True)).run_id for n in range(6)]
    runs.append((await workflow.arun("bob 0", user_id="bob", background=True)).run_id)
    async with Runtime(workflow, concurrency=1):
        for run_id in runs:
            await end_of(workflow, run_id)
    assert gate.order.index("bob 0") == 1


async def test_a_limit_counts_by_what_a_function_says(again: Again) -> None:
    seen: list[QueuedRun] = []

    def tenant(run: QueuedRun) -> str | None:
        seen.append(run)
        return run.metadata["tenant"] if run.metadata else None

    gate = Gate()
    workflow = workflow_on(again(), Limit(key=tenant, concurrency=1), step=gate)
    for name in ("x 1", "x 2", "y 1"):
        await workflow.arun(
            name, background=True, metadata={"tenant": name[0]}, user_id="u", tags=["t"], queue="default"
        )
    free = [(await workflow.arun(f"free {n}", background=True)).run_id for n in range(2)]
    first = seen[0]
    assert (first.workflow_id, first.input, first.user_id, first.tags, first.queue) == (
        "w",
        "x 1",
        "u",
        ("t",),
        "default",
    )
    async with Runtime(workflow):
        await gate.wait_for(4)
        assert sorted(gate.order) == ["free 0", "free 1", "x 1", "y 1"]
        gate.open.set()
        for run_id in free:
            await end_of(workflow, run_id)
        await gate.wait_for(5)


async def test_a_limit_without_a_key_is_for_all_runs_of_the_workflow(again: Again) -> None:
    gate = Gate()
    workflow = workflow_on(again(), Limit(concurrency=2), step=gate)
    runs = [(await workflow.arun(f"all {n}", user_id=f"u{n}", background=True)).run_id for n in range(4)]
    async with Runtime(workflow):
        await gate.wait_for(2)
        gate.open.set()
        for run_id in runs:
            await end_of(workflow, run_id)
    assert gate.most == {"all": 2}


async def test_a_rate_is_kept_by_the_workflows_clock(again: Again) -> None:
    clock = FakeClock()
    gate = Gate(is_open=True)
    workflow = workflow_on(again(), Limit(key="user_id", rate="2/minute"), step=gate, clock=clock)
    runs = [(await workflow.arun(f"ada {n}", user_id="ada", background=True)).run_id for n in range(3)]
    async with Runtime(workflow):
        for run_id in runs[:2]:
            await end_of(workflow, run_id)
        stored = await workflow.aget_run(runs[2] or "")
        assert stored is not None
        assert stored.status is RunStatus.pending
        clock.advance(60)
        await end_of(workflow, runs[2])
    assert gate.order[2] == "ada 2"


async def test_a_paused_run_leaves_its_place_to_another(again: Again) -> None:
    review = HumanReview(requires_confirmation=True)
    workflow = Workflow(
        name="asks",
        db=again(),
        steps=[Step("ask", executor=made, human_review=review)],
        limits=[Limit(key="user_id", concurrency=1)],
    )
    for number in range(3):
        await workflow.arun(number, user_id="ada", background=True)
    async with Runtime(workflow):
        with anyio.fail_after(60):
            while len(await workflow.alist_pending()) < 3:
                await anyio.sleep(0.01)


async def test_a_full_queue_refuses_a_run_and_stores_nothing(again: Again) -> None:
    workflow = workflow_on(again(), Limit(key="user_id", max_queued=2))
    for number in range(2):
        await workflow.arun(number, user_id="ada", background=True)
    with pytest.raises(QueueFull, match="workflow 'w' has 2 queued runs of user_id 'ada' \\(max_queued=2\\)") as caught:
        await workflow.arun("third", user_id="ada", background=True, run_id="third")
    assert (caught.value.key, caught.value.max_queued) == ("user_id 'ada'", 2)
    assert await workflow.aget_run("third") is None
    await workflow.arun("other", user_id="bob", background=True)
    stream = workflow.arun("third", user_id="ada", background=True, stream=True)
    with pytest.raises(QueueFull):
        async for _ in stream:
            pass
    async with Runtime(workflow):
        with anyio.fail_after(60):
            while True:
                try:
                    again_run = await workflow.arun("third", user_id="ada", background=True)
                    break
                except QueueFull:
                    await anyio.sleep(0.01)
        assert (await end_of(workflow, again_run.run_id)).content == "made third"


async def test_runs_without_a_user_count_together(again: Again) -> None:
    workflow = workflow_on(again(), Limit(key="user_id", max_queued=1))
    await workflow.arun("x", background=True)
    with pytest.raises(QueueFull, match="1 queued runs of no user_id"):
        await workflow.arun("x", background=True)


async def test_a_run_that_is_waited_for_has_no_limit(again: Again) -> None:
    workflow = workflow_on(again(), Limit(concurrency=1, max_queued=1, rate="1/day"))
    outputs = [await workflow.arun("x") for _ in range(3)]
    assert [output.content for output in outputs] == ["made x"] * 3


async def test_the_same_deduplication_id_is_the_same_run_until_it_ends(again: Again) -> None:
    producer, elsewhere = workflow_on(again()), workflow_on(again())
    first = await producer.arun("x", background=True, deduplication_id="import", user_id="ada")
    second = await elsewhere.arun("y", background=True, deduplication_id="import", user_id="ada")
    assert (second.run_id, second.status, second.input) == (first.run_id, RunStatus.pending, "x")
    assert second.session_id == first.session_id
    other = await producer.arun("y", background=True, deduplication_id="import", user_id="bob")
    assert other.run_id != first.run_id
    assert len(await producer.db.list_runs(RunFilter())) == 2  # type: ignore[union-attr]
    async with Runtime(workflow_on(again())):
        stream = elsewhere.arun("y", background=True, deduplication_id="import", user_id="ada", stream=True)
        with anyio.fail_after(60):
            output = await stream.result()
        assert (stream.run_id, output.run_id, output.content) == (first.run_id, first.run_id, "made x")
        third = await producer.arun("z", background=True, deduplication_id="import", user_id="ada")
        assert third.run_id != first.run_id
        assert (await end_of(producer, third.run_id)).content == "made z"


async def test_calls_at_once_with_a_deduplication_id_are_one_run(again: Again) -> None:
    workflows = [workflow_on(again()) for _ in range(3)]
    found: set[str | None] = set()

    async def call(workflow: Workflow) -> None:
        found.add((await workflow.arun("x", background=True, deduplication_id="import", user_id="ada")).run_id)

    async with anyio.create_task_group() as tasks:
        for number in range(9):
            tasks.start_soon(call, workflows[number % 3])
    assert len(found) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "limits nothing"),
        ({"key": "user", "concurrency": 1}, "must be 'user_id', 'session_id', a function, or None"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"rate": "10 per minute"}, "as in '10/minute'"),
        ({"rate": "0/minute"}, "as in '10/minute'"),
        ({"max_queued": 1.5}, "max_queued=1.5"),
        ({"concurency": 1}, "concurrency"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((BuildError, TypeError), match=message):
        Limit(**options)


async def test_limits_need_a_database_and_names_of_their_own() -> None:
    without = Workflow(name="w", steps=[made], limits=[Limit(concurrency=1)])
    assert (await without.arun("x")).content == "made x"
    with pytest.raises(InputError, match="limits= needs a database"):
        await without.arun("x", background=True)
    with pytest.raises(BuildError, match="two limits are named 'user_id'"):
        workflow_on(InMemoryDb(), Limit(key="user_id", concurrency=1), Limit(key="user_id", rate="1/hour"))
    with pytest.raises(BuildError, match="must be a list of Limit"):
        Workflow(name="w", steps=[made], db=InMemoryDb(), limits=Limit(concurrency=1))  # type: ignore[arg-type]


async def test_a_key_that_is_no_text_is_refused() -> None:
    workflow = workflow_on(InMemoryDb(), Limit(key=lambda run: run.input, concurrency=1))
    with pytest.raises(
        InputError, match=r"the key of limit '<lambda>' must be a string or None, .* returned 5; return str"
    ):
        await workflow.arun(5, background=True)
    broken = workflow_on(InMemoryDb(), Limit(key=lambda run: run.metadata["tenant"], concurrency=1))
    with pytest.raises(
        InputError, match=r"limit '<lambda>' cannot be found: its function raised TypeError: .*return None"
    ):
        await broken.arun("x", background=True)
    with pytest.raises(InputError, match="deduplication_id= is for runs in the background"):
        await workflow.arun("x", deduplication_id="x")


@pytest.fixture
def server(postgres: TestServer) -> PostgresDb:
    return PostgresDb(postgres.new_database())


async def test_limits_whose_runs_are_deleted_leave_no_rows(tmp_path: Path, server: PostgresDb) -> None:
    file = SqliteDb(tmp_path / "runs.db")
    for db in (file, server):
        workflow = workflow_on(db, Limit(key="session_id", concurrency=1))
        for number in range(3):
            await workflow.arun(number, session_id=f"s{number}", background=True)
        for number in range(2):
            assert await workflow.adelete_session(f"s{number}")
    [left] = await server._fetch("SELECT (SELECT count(*) FROM @.limits), (SELECT count(*) FROM @.keys)")
    assert tuple(left) == (1, 1)
    await server.aclose()
    await file.aclose()
    assert await anyio.to_thread.run_sync(rows_of, tmp_path / "runs.db") == [1, 1]


def rows_of(file: Path) -> list[int]:
    with closing(sqlite3.connect(file)) as connection:
        tables = ("workflow_limits", "workflow_keys")
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
