"""A function that waits for a person and works at the same time: in a workflow function and in a step, whenever the work
ends, whenever the answer comes. (D8)"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    RunContext,
    RunStatus,
    Step,
    StepRequirement,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.storage.registry import open_url

pytestmark = pytest.mark.anyio
Work = Callable[[], Awaitable[Any]]


class Moments:
    """What happens to the pause of a run, as events: its commit is entered, it is stored and shown."""

    def __init__(self, db: BaseDb) -> None:
        self.entered, self.shown = anyio.Event(), anyio.Event()
        self.may_commit = anyio.Event()
        commit = db.commit

        async def slow(batch: Any) -> Any:
            if batch.run is not None and batch.run.status is RunStatus.paused and not self.entered.is_set():
                self.entered.set()
                await self.may_commit.wait()
            return await commit(batch)

        db.commit = slow  # type: ignore[method-assign]  # a database that is slow at this one commit


@pytest.fixture(params=["asyncio-memory", "uvloop-memory", "trio-memory", "asyncio-sqlite", "asyncio-postgres"])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def anyio_backend(place: str) -> Any:
    loop = place.partition("-")[0]
    return ("trio", {}) if loop == "trio" else ("asyncio", {"use_uvloop": loop == "uvloop"})


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path, place: str) -> Iterator[BaseDb]:
    kind = place.partition("-")[2]
    if kind == "memory":
        yield InMemoryDb()
        return
    url = f"sqlite:///{tmp_path}/runs.db" if kind == "sqlite" else request.getfixturevalue("postgres").new_database()
    found = open_url(url)
    yield found
    anyio.run(found.aclose)


async def together(*works: Work) -> list[Any]:
    """As ``asyncio.gather``, on every event loop."""
    found: list[Any] = [None] * len(works)

    async def one(number: int, work: Work) -> None:
        found[number] = await work()

    async with anyio.create_task_group() as tasks:
        for number, work in enumerate(works):
            tasks.start_soon(one, number, work)
    return found


async def finished(workflow: Workflow, output: WorkflowRunOutput) -> WorkflowRunOutput:
    while output.is_paused:
        for item in output.active_step_requirements:
            if item.requires_confirmation:
                item.confirm()
            else:
                item.set_user_input(value="yes")
        output = await workflow.acontinue_run(run_id=output.run_id, step_requirements=output.active_step_requirements)
    return output


# -- a workflow that is a function ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("asks", ["in its middle", "before it"])
async def test_a_sibling_of_a_step_that_asks_ends_before_the_run_pauses(database: BaseDb, asks: str) -> None:
    ran: list[str] = []
    begun = anyio.Event()

    async def ask(run_context: RunContext) -> Any:
        begun.set()
        return await run_context.ask("a?", str) if asks == "in its middle" else "yes"

    async def work() -> str:
        if asks == "in its middle":
            await begun.wait()
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        ran.append("worked")
        return "worked"

    async def flow(run_context: RunContext) -> Any:
        return await together(
            lambda: run_context.step("ask", ask, requires_confirmation=asks == "before it"),
            lambda: run_context.step("work", work),
        )

    workflow = Workflow(name="w", steps=flow, db=database)
    output = await workflow.arun("x", run_id="r")
    assert (output.status, ran) == (RunStatus.paused, ["worked"])
    output = await finished(workflow, output)
    assert (output.status, output.content, ran) == (RunStatus.completed, ["yes", "worked"], ["worked"])


async def test_an_answer_may_come_while_the_sibling_works(database: BaseDb) -> None:
    answered, ran = anyio.Event(), []

    async def ask(run_context: RunContext) -> Any:
        return await run_context.ask("a?", str)

    async def work() -> str:
        ran.append("worked")
        await answered.wait()
        return "worked"

    async def flow(run_context: RunContext) -> Any:
        return await together(lambda: run_context.step("ask", ask), lambda: run_context.step("work", work))

    workflow = Workflow(name="w", steps=flow, db=database)
    found: list[WorkflowRunOutput] = []

    async def own() -> None:
        found.append(await workflow.arun("x", run_id="r"))

    async def answer() -> None:
        while not (pending := await workflow.alist_pending()):
            await anyio.lowlevel.checkpoint()
        (question,) = pending
        question.set_user_input(value="yes")
        found.append(await workflow.acontinue_run(run_id="r", step_requirements=[question]))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own)
            tasks.start_soon(answer)
            while not await _is_answered(database):
                await anyio.lowlevel.checkpoint()
            answered.set()
    assert [(output.status, output.content) for output in found] == [(RunStatus.completed, ["yes", "worked"])] * 2
    assert ran == ["worked"]


async def _is_answered(db: BaseDb) -> bool:
    return any(row.answered_at is not None for row in await db.load_requirements("r"))


async def test_the_parts_that_follow_each_other_run_beside_a_question(database: BaseDb) -> None:
    async def ask(run_context: RunContext) -> Any:
        return await run_context.ask("a?", str)

    async def flow(run_context: RunContext) -> Any:
        async def chain() -> list[str]:
            found = []
            for number in range(3):
                found.append(await run_context.step("part", lambda: "done", input=number))
                for _ in range(20):  # between its steps nothing of it is known
                    await anyio.lowlevel.checkpoint()
            return found

        return await together(lambda: run_context.step("ask", ask), chain)

    workflow = Workflow(name="w", steps=flow, db=database)
    output = await finished(workflow, await workflow.arun("x", run_id="r"))
    assert (output.status, output.content) == (RunStatus.completed, ["yes", ["done"] * 3])


# -- a step --------------------------------------------------------------------------------------------------------------

PARTS = ("question", "once", "sleep", "progress", "nothing", "failure")


async def part(kind: str, context: RunContext) -> Any:
    if kind == "question":
        return await context.ask("b?", str)
    if kind == "once":
        return await context.once("charge", lambda: "charged")
    if kind == "sleep":
        await context.sleep(0)
        return "slept"
    if kind == "progress":
        context.progress(0.5)
        context.emit({"note": "x"})
        return "told"
    if kind == "failure":
        raise ValueError("the other part failed")
    return "nothing"


RESULTS = {"question": "yes", "once": "charged", "sleep": "slept", "progress": "told", "nothing": "nothing"}


@pytest.mark.parametrize("mode", ["await", "stream", "background"])
@pytest.mark.parametrize("moment", ["entered", "shown"])
@pytest.mark.parametrize("kind", PARTS)
async def test_a_part_of_a_step_acts_while_the_pause_of_another_is_stored_or_stands(
    database: BaseDb, kind: str, moment: str, mode: str
) -> None:
    moments = Moments(database)

    async def step(run_context: RunContext) -> Any:
        async def other() -> Any:
            await getattr(moments, moment).wait()
            return await part(kind, run_context)

        return await together(lambda: run_context.ask("a?", str), other)

    async def watch() -> None:
        await moments.entered.wait()
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        moments.may_commit.set()

    workflow = Workflow(name="w", steps=[Step("step", executor=step)], db=database, store_events=True)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            if mode == "await":
                output = await workflow.arun("x", run_id="r")
            elif mode == "stream":
                output = await workflow.arun("x", run_id="r", stream=True).result()
            else:
                await workflow.arun("x", run_id="r", background=True)
                async for event in workflow.subscribe("r"):
                    if event.event == "WorkflowPaused":
                        break
                found = await workflow.aget_run("r")
                assert found is not None
                output = found
            assert output.status is RunStatus.paused
        moments.shown.set()
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        if kind == "failure":
            with pytest.raises((ValueError, ExceptionGroup)) as caught:
                await finished(workflow, output)
            assert "the other part failed" in repr(caught.value)
            return
        output = await finished(workflow, output)
    assert (output.status, output.content) == (RunStatus.completed, ["yes", RESULTS[kind]])
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    seqs = [event.seq for event in stored.events or ()]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_one_of_two_answers_of_one_step_lets_its_part_go_on(database: BaseDb) -> None:
    used: list[str] = []

    async def step(run_context: RunContext) -> Any:
        async def one(name: str) -> Any:
            answer = await run_context.ask(f"{name}?", str)
            used.append(name)
            return await run_context.once(name, lambda: answer)

        return await together(lambda: one("a"), lambda: one("b"))

    workflow = Workflow(name="w", steps=[Step("step", executor=step)], db=database)
    with anyio.fail_after(30):
        output = await workflow.arun("x", run_id="r")
        first = output.active_step_requirements[0]
        first.set_user_input(value="1")
        output = await workflow.acontinue_run(run_id="r", step_requirements=[first])
        assert (output.status, len(output.active_step_requirements), len(used)) == (RunStatus.paused, 1, 1)
        output = await finished(workflow, output)
    assert output.status is RunStatus.completed
    assert set(output.content) == {"1", "yes"}


async def test_once_of_one_key_at_the_same_time_is_computed_once(database: BaseDb) -> None:
    made: list[int] = []

    async def make() -> int:
        made.append(1)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        if len(made) == 1:
            raise ConnectionError("the first time")
        return 7

    async def step(run_context: RunContext) -> Any:
        async def one() -> Any:
            try:
                return await run_context.once("key", make)
            except ConnectionError:
                return "failed"

        return await together(one, one, one)

    output = await Workflow(name="w", steps=[Step("step", executor=step)], db=database).arun("x")
    assert (sorted(map(str, output.content)), len(made)) == (["7", "7", "failed"], 2)


def test_a_task_group_of_asyncio_may_hold_parts_that_ask() -> None:
    async def flow(run_context: RunContext) -> Any:
        async def ask(run_context: RunContext) -> Any:
            return await run_context.ask("a?", str)

        async with asyncio.TaskGroup() as group:
            asked = group.create_task(run_context.step("ask", ask))
            guarded = group.create_task(run_context.step("guarded", lambda: "yes", requires_confirmation=True))
            worked = group.create_task(run_context.step("work", lambda: "worked"))
        return [asked.result(), guarded.result(), worked.result()]

    async def main() -> WorkflowRunOutput:
        workflow = Workflow(name="w", steps=flow, db=InMemoryDb())
        output = await workflow.arun("x")
        assert len(output.active_step_requirements) == 2
        one = next(item for item in output.active_step_requirements if isinstance(item, StepRequirement))
        one.confirm() if one.requires_confirmation else one.set_user_input(value="yes")
        output = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[one])
        return await finished(workflow, output)

    output = asyncio.run(main())
    assert (output.status, output.content) == (RunStatus.completed, ["yes", "yes", "worked"])
