"""A run whose process dies again and again in one step is put aside; a person starts it again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from workflow_runtime import (
    BaseDb,
    BuildError,
    Parallel,
    RunContext,
    RunNotFound,
    RunNotPaused,
    RunPutAside,
    RunStatus,
    Runtime,
    Step,
    Workflow,
)
from workflow_runtime.engine.run.host import live_runs
from workflow_runtime.storage.base import Fence

pytestmark = pytest.mark.anyio

Again = Callable[[], BaseDb]


class Deadly:
    """A workflow whose step ``poison`` begins, and waits for its process to die."""

    def __init__(self, db: BaseDb, **options: Any) -> None:
        self.db = db
        self.begun: list[str] = []
        self.harmless = False
        steps = [Step("fine", executor=lambda: "fine"), Step("poison", executor=self.poison)]
        self.workflow = Workflow(id="w", db=db, **{"steps": steps, "durability": "sync", **options})

    async def poison(self, run_context: RunContext) -> str:
        self.begun.append(run_context.path)
        if not self.harmless:
            await anyio.sleep_forever()
        return "survived"

    async def start(self) -> None:
        await self.workflow.arun("x", run_id="r", background=True)
        await self.until(1)

    async def until(self, begun: int) -> None:
        while len(self.begun) < begun:
            await anyio.lowlevel.checkpoint()

    async def die(self) -> None:
        """The process ends as by kill -9 once its first outcome is stored, and its lease runs out."""
        while "async" in self.workflow.durability and not await self.db.load_steps("r"):
            await anyio.lowlevel.checkpoint()
        for run in live_runs():
            if run.id == "r":
                run.evict()
                await run.wait_ended()
        row = await self.db.load_run("r")
        assert row is not None
        await self.db.renew([(Fence(run_id="r", attempt=row.attempt, owner=row.owner), -5000.0)])

    async def end(self) -> Any:
        """The recovered run, once it has ended."""
        assert await self.workflow.recover() == ["r"]
        while (row := await self.db.load_run("r")) is None or not row.status.is_final or live_runs():
            await anyio.lowlevel.checkpoint()
        return await self.workflow.aget_run("r")


@pytest.mark.parametrize("most", [0, 1, 5])
@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_run_is_put_aside_after_so_many_recoveries(
    again: Again, most: int, durability: str, caplog: pytest.LogCaptureFixture
) -> None:
    deadly = Deadly(again(), max_recoveries=most, durability=durability, store_events=True)
    await deadly.start()
    for number in range(most):
        await deadly.die()
        assert await deadly.workflow.recover() == ["r"]
        await deadly.until(number + 2)
    await deadly.die()
    with caplog.at_level(logging.ERROR):
        output = await deadly.end()
        while not caplog.records:
            await anyio.lowlevel.checkpoint()
    assert len(deadly.begun) == most + 1
    assert (output.status, output.error_type) == (RunStatus.error, "RunPutAside")
    assert "while step '1.poison' was executing" in output.error
    assert "wfr requeue r" in output.error
    assert [step.path for step in output.failed_steps] == ["1.poison"]
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [RunPutAside]
    events = [event.event async for event in deadly.workflow.subscribe("r")]
    assert events[-1] == "WorkflowError"
    assert await deadly.workflow.recover() == []


async def test_a_run_that_was_put_aside_is_requeued_and_goes_on_at_its_last_outcome(again: Again) -> None:
    deadly = Deadly(again(), max_recoveries=0, store_events=True)
    await deadly.start()
    await deadly.die()
    await deadly.end()
    deadly.harmless = True
    await deadly.workflow.requeue("r")
    with pytest.raises(RunNotPaused, match="was not put aside"):
        await deadly.workflow.requeue("r")
    output = await deadly.end()
    assert (output.status, output.content, output.error, output.failed_steps) == (
        RunStatus.completed,
        "survived",
        None,
        None,
    )
    names = [event.event async for event in deadly.workflow.subscribe("r")]
    assert (names.count("WorkflowError"), names[-1]) == (1, "WorkflowCompleted")
    assert [step.step_name for step in output.step_results] == ["fine", "poison"]


async def test_a_fork_of_a_run_that_was_put_aside_starts_it_again(again: Again) -> None:
    deadly = Deadly(again(), max_recoveries=0)
    await deadly.start()
    await deadly.die()
    await deadly.end()
    deadly.harmless = True
    assert (await deadly.workflow.fork("r")).content == "survived"


async def test_only_a_run_that_was_put_aside_is_requeued(again: Again) -> None:
    db = again()
    workflow = Workflow(id="w", steps=[lambda: "x"], db=db)
    await workflow.arun("x", run_id="r")
    with pytest.raises(RunNotPaused, match="run 'r' is COMPLETED and was not put aside"):
        await workflow.requeue("r")
    with pytest.raises(RunNotFound):
        await workflow.requeue("unknown")


async def test_each_new_outcome_counts_anew(again: Again) -> None:
    deadly = Deadly(again(), max_recoveries=1)

    async def first(run_context: RunContext) -> str:
        deadly.begun.append("first")
        if deadly.begun.count("first") < 2:
            await anyio.sleep_forever()
        return "first"

    async def memo(run_context: RunContext) -> str:
        await run_context.once("paid", lambda: "paid")
        deadly.begun.append("memo")
        if deadly.begun.count("memo") < 2:
            await anyio.sleep_forever()
        return "memo"

    steps = [Step("first", executor=first), Step("memo", executor=memo), Step("poison", executor=deadly.poison)]
    deadly.workflow = Workflow(id="w", db=deadly.db, steps=steps, durability="sync", max_recoveries=1)
    await deadly.start()
    for begun in (3, 5):  # first, then memo, which both succeed in their second process
        await deadly.die()
        assert await deadly.workflow.recover() == ["r"]
        await deadly.until(begun)
    await deadly.die()
    assert await deadly.workflow.recover() == ["r"]
    await deadly.until(6)
    await deadly.die()
    assert (await deadly.end()).error_type == "RunPutAside"
    assert deadly.begun == [*["first", "first", "memo", "memo", "1.poison", "1.poison"][:4], "2.poison", "2.poison"]


async def test_releases_are_no_deaths(again: Again) -> None:
    deadly = Deadly(again(), max_recoveries=1)
    await deadly.start()
    for number in range(4):
        for run in live_runs():
            await run.release()
        assert await deadly.workflow.recover() == ["r"]
        await deadly.until(number + 2)
    row = await deadly.db.load_run("r")
    assert row is not None
    assert row.deaths == 0


async def test_deaths_while_every_branch_sleeps_do_not_count(again: Again) -> None:
    deadly = Deadly(again(), max_recoveries=2)

    async def doze(run_context: RunContext) -> str:
        deadly.begun.append("doze")
        await run_context.sleep(3600)
        return "slept"

    parts = Parallel(Step("a", executor=doze), Step("b", executor=doze), name="both")
    deadly.workflow = Workflow(id="w", db=deadly.db, steps=[parts], durability="sync", max_recoveries=2)
    await deadly.workflow.arun("x", run_id="r", background=True)
    for number in range(6):
        await deadly.until(2 * number + 2)
        await _until_idle(deadly.db, first=number == 0)
        await deadly.die()
        assert await deadly.workflow.recover() == ["r"]
    await deadly.until(14)


async def _until_idle(db: BaseDb, *, first: bool) -> None:
    """Until the run, which has died once, has stored that it sleeps; or, the first time, what it sleeps for."""
    while True:
        row = await db.load_run("r")
        asleep = [item.path for item in await db.load_steps("r") if "!sleep" in item.path]
        if row is not None and len(asleep) == 2 and (first or row.deaths == 0):
            return
        await anyio.lowlevel.checkpoint()


async def test_a_branch_that_sleeps_does_not_hide_one_that_kills(again: Again) -> None:
    deadly = Deadly(again(), max_recoveries=1)

    async def doze(run_context: RunContext) -> None:
        await run_context.sleep(3600)

    parts = Parallel(Step("doze", executor=doze), Step("poison", executor=deadly.poison), name="both")
    deadly.workflow = Workflow(id="w", db=deadly.db, steps=[parts], durability="sync", max_recoveries=1)
    await deadly.start()
    while not any("!sleep" in item.path for item in await deadly.db.load_steps("r")):
        await anyio.lowlevel.checkpoint()
    await deadly.die()
    assert await deadly.workflow.recover() == ["r"]
    await deadly.until(2)
    await deadly.die()
    output = await deadly.end()
    assert "0.both/1.poison" in output.error


async def test_a_runtime_says_how_often_for_all_of_its_workflows(again: Again) -> None:
    deadly = Deadly(again())
    await deadly.start()
    await deadly.die()
    async with Runtime(deadly.workflow, max_recoveries=0):
        while (output := await deadly.workflow.aget_run("r")) is None or not output.status.is_final:
            await anyio.lowlevel.checkpoint()
    assert output.error_type == RunPutAside.__name__


async def test_a_cancel_of_a_deadly_run_is_granted(again: Again) -> None:
    deadly = Deadly(again(), max_recoveries=0)
    await deadly.start()
    await deadly.die()
    assert await deadly.workflow.acancel_run("r")
    output = await deadly.workflow.aget_run("r")
    if output is not None and not output.status.is_final:
        output = await deadly.end()
    assert output is not None
    assert output.status is RunStatus.cancelled


def test_odd_limits_are_refused() -> None:
    with pytest.raises(BuildError, match="max_recoveries"):
        Workflow(steps=[lambda: "x"], max_recoveries=-1)
    with pytest.raises(BuildError, match="recover_at_once"):
        Runtime(recover_at_once=0)


# -- how many are recovered at once --------------------------------------------------------------------------------------


async def test_so_many_recovered_runs_work_at_once(again: Again) -> None:
    db = again()
    begun: list[str] = []
    go: dict[str, anyio.Event] = {}

    async def work(run_context: RunContext) -> str:
        name = str(run_context.run_id)
        begun.append(name)
        await go.setdefault(name, anyio.Event()).wait()
        return "done"

    workflow = Workflow(id="w", db=db, steps=[Step("work", executor=work)], durability="sync")
    for number in range(5):
        await workflow.arun("x", run_id=f"r{number}", background=True)
    while len(begun) < 5:
        await anyio.lowlevel.checkpoint()
    for run in live_runs():
        run.evict()
        await run.wait_ended()
        fence = Fence(run_id=run.id, attempt=run.epoch, owner=run.owner)
        await db.renew([(fence, -5000.0)])
    begun.clear()
    go.clear()
    async with Runtime(workflow, recover_at_once=2, interval=0.01) as runtime:
        for ended in range(5):
            while len(begun) < min(5, ended + 2):
                await anyio.lowlevel.checkpoint()
            assert len(runtime.report.recovered) == min(5, ended + 2)
            go[begun[ended]].set()
    assert sorted(begun) == [f"r{number}" for number in range(5)]
