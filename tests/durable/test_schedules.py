"""Schedules: a run for each tick, once, however many Runtimes there are, and also over a restart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    InputError,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    StorageError,
    Workflow,
)
from workflow_runtime.engine.start.ticks import next_tick
from workflow_runtime.storage.base import RunFilter
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Number(BaseModel):
    n: int


def made(step_input: StepInput) -> str:
    return f"made {step_input.input}"


def clock_at(start: datetime = START) -> FakeClock:
    clock = FakeClock()
    clock.advance(start.timestamp() - clock.time())
    return clock


def workflow_on(db: BaseDb, clock: Any, **options: Any) -> Workflow:
    return Workflow(name="w", db=db, steps=[Step("step", executor=made)], clock=clock, **options)


async def next_round(workflow: Workflow) -> None:
    """Let Runtimes look again, which they do once a second."""
    assert isinstance(workflow.clock, FakeClock)
    workflow.clock.advance(1)
    await anyio.sleep(0.01)


async def runs_of(workflow: Workflow, count: int) -> list[str]:
    """The ids of the runs in the order of their creation, once that many have ended."""
    assert workflow.db is not None
    with anyio.fail_after(60):
        while True:
            rows = await workflow.db.list_runs(RunFilter())
            if len(rows) >= count and all(row.status is RunStatus.completed for row in rows):
                return [row.run_id for row in reversed(rows)]
            await next_round(workflow)


async def moved_on(workflow: Workflow, after: datetime) -> datetime:
    """The time of the next run, once it is after ``after``."""
    with anyio.fail_after(60):
        while True:
            [schedule] = await workflow.alist_schedules()
            if schedule.next_at > after:
                return schedule.next_at
            await next_round(workflow)


async def test_each_tick_is_one_run_over_several_runtimes(again: Again) -> None:
    clock = clock_at()
    workflows = [workflow_on(again(), clock) for _ in range(3)]
    made_schedule = await workflows[0].aschedule("hourly", every=3_600, input="x", user_id="ada", priority=2)
    assert made_schedule.next_at == START + timedelta(hours=1)
    async with Runtime(workflows[0]) as first, Runtime(workflows[1]) as second, Runtime(workflows[2]) as third:
        for number in range(1, 4):
            clock.advance(3_600)
            assert len(await runs_of(workflows[0], number)) == number
            await moved_on(workflows[0], START + timedelta(hours=number))
    ids = ["w-hourly-20260301T130000Z", "w-hourly-20260301T140000Z", "w-hourly-20260301T150000Z"]
    assert await runs_of(workflows[0], 3) == ids
    assert sorted(first.report.scheduled + second.report.scheduled + third.report.scheduled) == ids
    output = await workflows[0].aget_run(ids[0])
    assert output is not None
    assert (output.content, output.user_id, output.session_id) == ("made x", "ada", ids[0])


async def test_missed_ticks_are_one_run_after_a_restart(again: Again) -> None:
    clock = clock_at()
    await workflow_on(again(), clock).aschedule("nightly", cron="0 3 * * *", session_id="s")
    clock.advance(5 * 86_400)
    workflow = workflow_on(again(), clock)
    assert (await workflow.aschedule("nightly", cron="0 3 * * *", session_id="s")).next_at == datetime(
        2026, 3, 2, 3, tzinfo=UTC
    )
    async with Runtime(workflow):
        assert await runs_of(workflow, 1) == ["w-nightly-20260302T030000Z"]
        assert await moved_on(workflow, START + timedelta(days=5)) == datetime(2026, 3, 7, 3, tzinfo=UTC)
    output = await workflow.aget_run("w-nightly-20260302T030000Z")
    assert output is not None
    assert output.session_id == "s"


async def test_a_process_that_died_after_it_queued_the_run_leaves_the_rest_to_another(again: Again) -> None:
    clock = clock_at()
    workflow = workflow_on(again(), clock)
    await workflow.aschedule("hourly", every=timedelta(hours=1))
    await workflow.arun(None, background=True, queue="default", run_id="w-hourly-20260301T130000Z")
    clock.advance(3_600)
    async with Runtime(workflow) as runtime:
        await moved_on(workflow, START + timedelta(hours=1))
        assert await runs_of(workflow, 1) == ["w-hourly-20260301T130000Z"]
    assert runtime.report.scheduled == []


async def test_a_schedule_is_listed_replaced_and_deleted(again: Again) -> None:
    clock = clock_at()
    workflow = workflow_on(again(), clock)
    first = await workflow.aschedule("nightly", cron="0 3 * * *", tz="Europe/Berlin", input={"full": True})
    assert first.next_at == datetime(2026, 3, 2, 2, tzinfo=UTC)
    await workflow.aschedule("often", every=5.5, queue="slow")
    assert [(item.name, item.every, item.queue, item.input) for item in await workflow.alist_schedules()] == [
        ("nightly", None, "default", {"full": True}),
        ("often", 5.5, "slow", None),
    ]
    clock.advance(60)
    assert await workflow.aschedule("nightly", cron="0 3 * * *", tz="Europe/Berlin", input={"full": True}) == first
    changed = await workflow.aschedule("nightly", cron="0 4 * * *", tz="Europe/Berlin")
    assert changed.next_at == datetime(2026, 3, 2, 3, tzinfo=UTC)
    assert await workflow.adelete_schedule("nightly")
    assert not await workflow.adelete_schedule("nightly")
    assert [item.name for item in await workflow.alist_schedules()] == ["often"]


def test_schedules_without_await(again: Again) -> None:
    workflow = workflow_on(again(), clock_at())
    schedule = workflow.schedule("nightly", cron="0 3 * * *")
    assert workflow.list_schedules() == [schedule]
    assert workflow.delete_schedule("nightly")


async def test_a_schedule_that_fails_keeps_no_other_from_its_run(
    again: Again, caplog: pytest.LogCaptureFixture
) -> None:
    clock = clock_at()
    await workflow_on(again(), clock).aschedule("bad", every=100_000, input="no number")
    workflow = workflow_on(again(), clock, input_schema=Number)
    await workflow.aschedule("good", every=100_000, input=Number(n=1))
    clock.advance(100_000)
    async with Runtime(workflow) as runtime:
        await runs_of(workflow, 1)
    assert [run_id.split("-")[1] for run_id in runtime.report.scheduled] == ["good"]
    assert "schedule bad of workflow w could not be run" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs cron= or every="),
        ({"cron": "0 3 * * *", "every": 5}, "and not both"),
        ({"cron": "0 3 * *"}, "cron='0 3 \\* \\*' is not valid"),
        ({"cron": "0 0 30 2 *"}, "cron="),
        ({"cron": "0 3 * * *", "tz": "Europe/Nowhere"}, "tz='Europe/Nowhere' is not a time zone"),
        ({"cron": "0 3 * * * *"}, "is not valid \\(Wrong number of fields\\)"),
        ({"every": 0.5}, "every=0.5"),
        ({"every": float("inf")}, "every=inf"),
        ({"every": 1e300}, "every=1e\\+300"),
        ({"every": 5, "priority": 1.5}, "priority=1.5"),
        ({"every": 5, "user_id": 5}, "user_id=5"),
    ],
)
async def test_a_schedule_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    workflow = workflow_on(InMemoryDb(), clock_at())
    with pytest.raises(InputError, match=message):
        await workflow.aschedule("x", **options)
    with pytest.raises(InputError, match="name"):
        await workflow.aschedule("x" * 101, every=5)
    with pytest.raises(InputError, match="name"):
        await workflow.aschedule("", every=5)
    assert await workflow.alist_schedules() == []


async def test_a_schedule_needs_a_database() -> None:
    with pytest.raises(StorageError, match="schedule"):
        await Workflow(name="w", steps=[made]).aschedule("x", every=5)


def test_a_nightly_run_has_one_time_each_day_also_when_the_clocks_change() -> None:
    last = datetime(2026, 3, 27, 12, tzinfo=UTC).timestamp()
    found = []
    for _ in range(4):
        last = next_tick("30 1 * * *", None, "Europe/Berlin", last, last)
        found.append(datetime.fromtimestamp(last, UTC).isoformat())
    assert found == [
        "2026-03-28T00:30:00+00:00",
        "2026-03-29T00:30:00+00:00",
        "2026-03-29T23:30:00+00:00",
        "2026-03-30T23:30:00+00:00",
    ]
