"""A run whose caller named its id runs once, over any number of processes; the others are refused, or join it. (D7)"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from workflow_runtime import BaseDb, InMemoryDb, InputError, RunExists, RunStatus, SessionBusy, Step, Workflow
from workflow_runtime.engine.loop.process import Process, current, enter

pytestmark = pytest.mark.anyio

DURABILITY = ("sync", "async", "exit")
Again = Callable[[], BaseDb]


@pytest.fixture
def elsewhere() -> Iterator[Callable[[], None]]:
    """From its call on, this interpreter is another process, in which the runs of the first are not known."""
    before = current()
    yield lambda: enter(Process())
    enter(before)


class Slow:
    """A workflow whose one step waits until it is let go, and counts how often it ran."""

    def __init__(self, db: BaseDb | None, **options: Any) -> None:
        self.ran = 0
        self.began, self.go = anyio.Event(), anyio.Event()
        self.workflow = Workflow(id="w", steps=[Step("work", executor=self.work)], db=db, **options)

    async def work(self) -> str:
        self.ran += 1
        self.began.set()
        await self.go.wait()
        return "done"


@pytest.mark.parametrize("durability", DURABILITY)
async def test_an_id_that_runs_in_another_process_is_refused(
    again: Again, durability: str, elsewhere: Callable[[], None]
) -> None:
    first, second = Slow(again(), durability=durability), Slow(again(), durability=durability)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: first.workflow.arun("x", run_id="r"))
        await first.began.wait()
        here = current()
        elsewhere()
        for verb in ("arun", "stream", "background"):
            with pytest.raises(RunExists, match="run 'r' exists already"):
                await _call(second.workflow, verb, "x", run_id="r")
        enter(here)
        first.go.set()
    assert (first.ran, second.ran) == (1, 0)


async def _call(workflow: Workflow, verb: str, *args: Any, **options: Any) -> Any:
    if verb == "stream":
        async with workflow.arun(*args, stream=True, stream_events=True, **options) as stream:
            return await stream.result()
    return await workflow.arun(*args, background=verb == "background", **options)


@pytest.mark.parametrize("durability", DURABILITY)
@pytest.mark.parametrize("verb", ["arun", "stream"])
async def test_a_second_process_joins_the_run_and_gets_its_output(
    again: Again, durability: str, verb: str, elsewhere: Callable[[], None]
) -> None:
    first = Slow(again(), durability=durability, store_events=True)
    second = Slow(again(), durability=durability, store_events=True)
    results: list[Any] = []
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: first.workflow.arun("x", run_id="r", session_id="s"))
        await first.began.wait()
        here = current()
        elsewhere()
        join = {"run_id": "r", "session_id": "s", "if_exists": "join"}
        pending = await second.workflow.arun("x", background=True, **join)
        assert pending.run_id == "r"

        async def joined() -> None:
            results.append(await _call(second.workflow, verb, "x", **join))

        group.start_soon(joined)
        enter(here)
        first.go.set()
    assert (first.ran, second.ran) == (1, 0)
    assert [(output.status, output.content) for output in results] == [(RunStatus.completed, "done")]


async def test_joining_streams_the_log_of_the_run_from_its_beginning(again: Again) -> None:
    workflow = Slow(again(), store_events=True)
    workflow.go.set()
    first = await workflow.workflow.arun("x", run_id="r")
    stream = workflow.workflow.arun("x", run_id="r", stream=True, stream_events=True, if_exists="join")
    events = [event async for event in stream]
    assert [event.id for event in events] == [event.id for event in first.events or ()]
    assert (await stream.result()).content == "done"
    assert workflow.ran == 1


async def test_of_a_run_without_a_log_joining_streams_the_end(again: Again) -> None:
    workflow = Slow(again())
    workflow.go.set()
    await workflow.workflow.arun("x", run_id="r")
    stream = workflow.workflow.arun("x", run_id="r", stream=True, stream_events=True, if_exists="join")
    assert [event.event async for event in stream] == ["WorkflowCompleted"]


async def test_joining_a_run_of_this_process_streams_what_it_does_from_now_on(again: Again) -> None:
    work = Slow(again(), store_events=True)
    seen: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: work.workflow.arun("x", run_id="r"))
        await work.began.wait()
        stream = work.workflow.arun("x", run_id="r", stream=True, stream_events=True, if_exists="join")
        async for event in stream:
            seen.append(event.event)
            if event.event == "StepStarted":
                work.go.set()
    assert seen == ["WorkflowStarted", "StepStarted", "StepOutput", "StepCompleted", "WorkflowCompleted"]
    assert work.ran == 1


async def test_leaving_the_stream_of_a_run_that_was_joined_leaves_the_run_alone(again: Again) -> None:
    work = Slow(again(), store_events=True)
    async with anyio.create_task_group() as group:
        outputs: list[Any] = []

        async def first() -> None:
            outputs.append(await work.workflow.arun("x", run_id="r"))

        group.start_soon(first)
        await work.began.wait()
        async with work.workflow.arun("x", run_id="r", stream=True, if_exists="join"):
            pass
        work.go.set()
    assert [output.status for output in outputs] == [RunStatus.completed]


async def test_a_run_that_goes_on_after_a_pause_is_joined_to_its_end(again: Again) -> None:
    workflow = Workflow(
        id="w", steps=[Step("pay", executor=lambda: "paid", requires_confirmation=True)], db=again(), store_events=True
    )
    paused = await workflow.arun("x", run_id="r")
    assert (await workflow.arun("x", run_id="r", if_exists="join")).status is RunStatus.paused
    paused.active_step_requirements[0].confirm()
    await workflow.acontinue_run(run_id="r", step_requirements=paused.active_step_requirements)
    names = [
        event.event async for event in workflow.arun("x", run_id="r", stream=True, stream_events=True, if_exists="join")
    ]
    assert (names.count("WorkflowPaused"), names[-1]) == (1, "WorkflowCompleted")


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"input": "y"}, "input"),
        ({"user_id": "other"}, "user"),
        ({"session_id": "other"}, "session"),
        ({"additional_data": {"a": 1}}, "input"),
    ],
)
async def test_a_run_that_differs_is_not_joined(again: Again, other: dict[str, Any], differs: str) -> None:
    work = Slow(again())
    work.go.set()
    call = {"input": "x", "user_id": "u", "session_id": "s", "run_id": "r"}
    await work.workflow.arun(**call)
    with pytest.raises(RunExists, match=f"of another {differs}"):
        await work.workflow.arun(**{**call, **other}, if_exists="join")
    assert (await work.workflow.arun(**call, if_exists="join")).content == "done"


async def test_a_run_of_another_workflow_is_not_joined(again: Again) -> None:
    db = again()
    await Workflow(id="a", steps=[lambda: "a"], db=db).arun("x", run_id="r", session_id="s")
    with pytest.raises(RunExists, match="of another workflow"):
        await Workflow(id="b", steps=[lambda: "b"], db=db).arun("x", run_id="r", session_id="s", if_exists="join")


async def test_without_a_database_the_runs_of_this_process_are_joined() -> None:
    work = Slow(None)
    outputs: list[Any] = []

    async def call() -> None:
        outputs.append(await work.workflow.arun("x", run_id="r", if_exists="join"))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await work.began.wait()
        group.start_soon(call)
        with pytest.raises(RunExists):
            await work.workflow.arun("x", run_id="r")
        work.go.set()
    assert (work.ran, [output.content for output in outputs]) == (1, ["done", "done"])


def test_the_synchronous_verbs_refuse_and_join(again: Again) -> None:
    work = Workflow(id="w", steps=[lambda: "done"], db=again(), store_events=True)
    first = work.run("x", run_id="r")
    with pytest.raises(RunExists):
        work.run("x", run_id="r")
    with pytest.raises(RunExists):
        list(work.run("x", run_id="r", stream=True))
    assert work.run("x", run_id="r", if_exists="join").content == "done"
    stream = work.run("x", run_id="r", if_exists="join", stream=True, stream_events=True)
    assert [event.id for event in stream] == [event.id for event in first.events or ()]


async def test_joining_needs_an_id() -> None:
    workflow = Workflow(steps=[lambda: "x"])
    with pytest.raises(InputError, match="needs the run_id"):
        workflow.arun("x", if_exists="join")
    with pytest.raises(InputError, match="did you mean 'join'"):
        workflow.arun("x", run_id="r", if_exists="joined")  # type: ignore[call-overload]


# -- what the id costs ---------------------------------------------------------------------------------------------------


class Counting(InMemoryDb):
    """Counts its commits."""

    commits = 0

    async def commit(self, batch: Any) -> Any:
        self.commits += 1
        return await super().commit(batch)


@pytest.mark.parametrize(("durability", "generated"), [("sync", 3), ("exit", 1)])
async def test_an_id_that_was_named_costs_one_commit_more_than_one_that_was_made(
    durability: str, generated: int
) -> None:
    db = Counting()
    workflow = Workflow(steps=[lambda: "x"], db=db, durability=durability)
    await workflow.arun("x")
    assert db.commits == generated
    await workflow.arun("x", run_id="r")
    assert db.commits == 2 * generated + 1


# -- "exit": only the id is stored ---------------------------------------------------------------------------------------


async def test_with_exit_the_id_of_a_run_that_died_is_free_again(again: Again, elsewhere: Callable[[], None]) -> None:
    first, second = Slow(again(), durability="exit", lease=0.05), Slow(again(), durability="exit", lease=0.05)
    second.go.set()
    async with anyio.create_task_group() as group:
        stream = first.workflow.arun("x", run_id="r", stream=True)
        group.start_soon(anext, stream)
        await first.began.wait()
        here, db = current(), first.workflow.db
        assert db is not None
        row = await db.load_run("r")
        assert row is not None
        assert row.reserved
        assert await db.load_session(row.session_id) is None
        for run in list(here.live.values()):
            run.evict()  # as where the process dies
        elsewhere()
        while not (row := await db.load_run("r")) or not row.expired:
            await anyio.lowlevel.checkpoint()
        assert (await second.workflow.arun("x", run_id="r")).content == "done"
        enter(here)
    assert second.ran == 1


async def test_recovery_deletes_the_reservation_of_a_run_that_died(again: Again) -> None:
    work = Slow(again(), durability="exit", lease=0.05)
    stream = work.workflow.arun("x", run_id="r", stream=True)
    async with anyio.create_task_group() as group:
        group.start_soon(anext, stream)
        await work.began.wait()
        for run in list(current().live.values()):
            run.evict()
    db = work.workflow.db
    assert db is not None
    while (row := await db.load_run("r")) is not None:
        if row.expired:
            assert await work.workflow.recover() == []
        await anyio.lowlevel.checkpoint()
    assert work.ran == 1


async def test_a_busy_session_refuses_a_run_and_leaves_its_id_free(again: Again) -> None:
    work = Slow(again(), session_policy="reject")
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: work.workflow.arun("x", run_id="a", session_id="s"))
        await work.began.wait()
        with pytest.raises(SessionBusy):
            await work.workflow.arun("x", run_id="b", session_id="s")
        work.go.set()
    assert (await work.workflow.arun("x", run_id="b", session_id="s")).content == "done"


@pytest.mark.parametrize("durability", DURABILITY)
async def test_a_fork_whose_id_is_taken_is_refused_before_it_runs(again: Again, durability: str) -> None:
    work = Slow(again(), durability=durability)
    work.go.set()
    await work.workflow.arun("x", run_id="r")
    for name in ("r", "fork", "fork"):
        try:
            await work.workflow.fork("r", "0.work", new_run_id=name)
        except RunExists:
            assert work.ran == 1 or name == "fork"
    assert work.ran == 2


# -- many processes ------------------------------------------------------------------------------------------------------

_PROCESS = """
import asyncio, sys
from workflow_runtime import RunExists, Step, Workflow

url, durability, log = sys.argv[1:]

async def work(run_context):
    with open(log, "a") as file:
        file.write(run_context.run_id + "\\n")
    return "done"

async def main():
    workflow = Workflow(id="w", db=url, durability=durability, steps=[Step("a", executor=work), Step("b", executor=work)])
    await workflow.arun("x")
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(10):
        output = await workflow.arun("x", run_id=f"r{number}", session_id="s", if_exists="join")
        print(output.status.value)

asyncio.run(main())
"""


@pytest.mark.parametrize("durability", DURABILITY)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_processes_that_start_the_same_ids_at_once_run_each_once(
    kind: str, durability: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/r.db" if kind == "sqlite" else request.getfixturevalue("postgres").new_database()
    log = tmp_path / "ran"
    command = [sys.executable, "-c", _PROCESS, url, durability, str(log)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0].split() for process in processes]
    assert said == [["COMPLETED"] * 10] * 3
    ran = Counter(name for name in log.read_text().split() if name.startswith("r"))
    assert ran == {f"r{number}": 2 for number in range(10)}


async def test_calls_at_once_in_one_process_join_one_run(again: Again) -> None:
    work = Slow(again())
    work.go.set()
    outputs = await asyncio.gather(*(work.workflow.arun("x", run_id="r", if_exists="join") for _ in range(5)))
    assert [output.content for output in outputs] == ["done"] * 5
    assert work.ran == 1


@pytest.mark.parametrize("beyond", ["1-1", "1-2", "0"])
async def test_a_run_that_died_before_its_first_event_was_stored_says_that_it_was_resumed(
    again: Again, elsewhere: Callable[[], None], beyond: str
) -> None:
    async def die() -> None:
        for run in list(current().live.values()):
            run.evict()  # as where the process dies
        await anyio.sleep_forever()

    first = Workflow(id="w", steps=[Step("work", executor=die)], db=again(), durability="async", lease=0.05)
    second = Slow(again(), lease=0.05, store_events=True)
    second.go.set()
    here = current()
    seen: list[Any] = []

    async def see() -> None:
        async for event in first.arun("x", run_id="r", stream=True, stream_events=True):
            seen.append(event)

    async with anyio.create_task_group() as group:
        group.start_soon(see)
        db = second.workflow.db
        assert db is not None
        while (row := await db.load_run("r")) is None or not row.expired:
            await anyio.lowlevel.checkpoint()
        assert (row.status, row.seq) == (RunStatus.pending, 0)
        elsewhere()
        while not await second.workflow.recover():
            await anyio.lowlevel.checkpoint()
        events = [event async for event in second.workflow.subscribe("r", after=beyond)]
        enter(here)
        group.cancel_scope.cancel()
    assert [event.event for event in events][:3] == ["WorkflowStarted", "WorkflowResumed", "StepStarted"]
    assert (events[1].after_seq, events[1].attempt) == (1, 2)
    assert events[-1].event == "WorkflowCompleted"
