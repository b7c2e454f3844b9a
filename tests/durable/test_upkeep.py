"""What a Runtime does beside its runs: it prunes its own workflows only, and no run that it cannot recover stops it."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import anyio
import pytest

from workflow_runtime import InMemoryDb, Retention, RunStatus, Runtime, Step, StepInput, Workflow
from workflow_runtime.storage.base import Batch, RunRow
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio


class CountingDb(InMemoryDb):
    """Counts calls, and the rows that listings give."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.calls: Counter[str] = Counter()

    async def prune(self, **options: Any) -> Any:
        self.calls["prune"] += 1
        return await super().prune(**options)

    async def load_steps(self, run_id: str) -> Any:
        self.calls["load_steps"] += 1
        return await super().load_steps(run_id)

    async def list_runs(self, where: Any, **options: Any) -> Any:
        found = await super().list_runs(where, **options)
        if where.expired:
            self.calls["interrupted"] += len(found)
        return found


def make(name: str, db: InMemoryDb, clock: FakeClock, **options: Any) -> Workflow:
    async def work(step_input: StepInput) -> str:
        return "done"

    return Workflow(name=name, id=name, db=db, clock=clock, steps=[Step("work", executor=work)], **options)


async def test_a_retention_deletes_runs_of_its_own_workflow_only() -> None:
    clock = FakeClock()
    db = InMemoryDb(clock=clock)
    short = make("short", db, clock, retention=Retention(runs=60))
    kept = [make("kept", db, clock), make("long", db, clock, retention=Retention(runs=3600)), make("away", db, clock)]
    outputs = [await workflow.arun("x") for workflow in (short, *kept)]
    clock.advance(100)
    async with Runtime(short, *kept[:2]) as runtime:
        assert runtime.report.pruned == 1
    assert [await db.load_run(str(output.run_id)) is not None for output in outputs] == [False, True, True, True]


async def test_a_run_is_kept_while_a_fork_of_it_is() -> None:
    clock = FakeClock()
    db = InMemoryDb(clock=clock)
    workflow = make("w", db, clock, retention=Retention(runs=60))
    first = await workflow.arun("x", run_id="first")
    clock.advance(40)
    await workflow.fork(str(first.run_id), new_run_id="second")
    clock.advance(40)
    async with Runtime(workflow) as runtime:
        assert runtime.report.pruned == 0
        assert [entry.path for entry in await workflow.history("second")] == ["0.work"]
    clock.advance(40)
    for _ in ("the fork", "then its origin"):
        async with Runtime(workflow) as runtime:
            assert runtime.report.pruned == 1
    assert await db.load_run("first") is None


async def test_what_is_kept_for_long_is_not_looked_for_each_second() -> None:
    clock = FakeClock()
    db = CountingDb(clock)
    workflow = make("w", db, clock, retention=Retention(runs=86400, events=3600, deltas=600))
    await workflow.arun("x")
    async with Runtime(workflow):
        assert db.calls["prune"] == 3
        for _ in range(5):
            await clock.wait_sleeping()
            clock.advance(1)
        await clock.wait_sleeping()
        assert db.calls["prune"] == 3
        clock.advance(6)
        await clock.wait_sleeping()
        assert db.calls["prune"] == 4


async def test_more_than_one_slice_is_pruned_in_a_round() -> None:
    clock = FakeClock()
    db = InMemoryDb(clock=clock)
    for number in range(1000):
        row = RunRow(run_id=f"r{number}", session_id="s", status=RunStatus.completed, workflow_id="w", updated_at=1.0)
        await db.commit(Batch(run=row))
    async with Runtime(make("w", db, clock, retention=Retention(runs=60))) as runtime:
        assert runtime.report.pruned == 1000


def interrupted(run_id: str, **fields: Any) -> Batch:
    values: dict[str, Any] = {
        "workflow_id": "w",
        "status": RunStatus.running,
        "owner": "dead",
        "lease_until": 1.0,
        **fields,
    }
    return Batch(run=RunRow(run_id=run_id, **{"session_id": "s", **values}))


async def test_runs_that_cannot_be_recovered_are_logged_once_and_looked_at_less_and_less(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    db = CountingDb(clock)
    workflow = make("w", db, clock)
    for number in range(5):
        await db.commit(interrupted(f"fork{number}", forked_from="gone@3"))
        await db.commit(interrupted(f"unknown{number}", workflow_id="other"))
    with caplog.at_level(logging.WARNING, "workflow_runtime"):
        async with Runtime(workflow) as runtime:
            for _ in range(10):
                await clock.wait_sleeping()
                clock.advance(1)
            await clock.wait_sleeping()
            assert sorted(runtime.report.unknown) == [f"unknown{number}" for number in range(5)]
            assert runtime.report.recovered == []
            # Rounds without time between them look at the runs whose leases ran out just now, and there are none.
            assert db.calls["interrupted"] == 10
            assert db.calls["load_steps"] == 5
            await db.commit(
                interrupted("late", lease_until=clock.time() - 5, fingerprint=workflow.definition().plan.fingerprint)
            )
            clock.advance(1)
            await clock.wait_sleeping()
            assert runtime.report.recovered == ["late"]
    told = [record.getMessage() for record in caplog.records if "left alone" in record.getMessage()]
    assert len(told) == 10
    stored = await db.load_run("fork1")
    assert stored is not None
    assert (stored.status, stored.attempt) == (RunStatus.running, 1)


async def test_thousands_of_interrupted_runs_do_not_delay_the_start() -> None:
    clock = FakeClock()
    db = InMemoryDb(clock=clock)
    workflow = make("w", db, clock)
    for number in range(250):
        await db.commit(
            interrupted(f"r{number:03}", fingerprint=workflow.definition().plan.fingerprint, session_id=f"s{number}")
        )
    async with Runtime(workflow) as runtime:
        assert len(runtime.report.recovered) == 100
        with anyio.fail_after(20):
            while len(runtime.report.recovered) < 250:
                await anyio.lowlevel.checkpoint()
