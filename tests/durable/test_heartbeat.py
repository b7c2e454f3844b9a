"""Leases: all of a process in one call of the database, measured with the database's clock."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from workflow_runtime import InMemoryDb, Step, StepInput, Workflow
from workflow_runtime.storage.base import Fence, LeaseState
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio

RUNS = 50


class CountingDb(InMemoryDb):
    """Notes how many leases each call renews."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.renewals: list[int] = []
        self.renewed = anyio.Event()

    async def renew(self, leases: Sequence[tuple[Fence, float]]) -> list[LeaseState]:
        self.renewals.append(len(leases))
        states = await super().renew(leases)
        self.renewed.set()
        return states


class Waiting:
    """A workflow whose runs wait until ``leave`` is set."""

    def __init__(self, db: InMemoryDb, clock: FakeClock) -> None:
        self.leave, self.entered, self._here = anyio.Event(), anyio.Event(), 0

        async def wait(step_input: StepInput) -> str:
            self._here += 1
            if self._here == RUNS:
                self.entered.set()
            await self.leave.wait()
            return "done"

        self.workflow = Workflow(name="w", db=db, steps=[Step("wait", executor=wait)], clock=clock, durability="sync")

    async def start(self) -> list[str]:
        outputs = [await self.workflow.arun(str(number), background=True) for number in range(RUNS)]
        await self.entered.wait()
        return [output.run_id or "" for output in outputs]


@pytest.mark.parametrize("ahead", [0, 3600, -3600])
async def test_all_leases_of_a_process_are_renewed_in_one_call_in_time(ahead: float) -> None:
    """``ahead``: by how many seconds the process's clock is fast; it passes as the database's does."""
    clock, servers = FakeClock(1_700_000_000.0 + ahead), FakeClock(1_700_000_000.0)
    db = CountingDb(servers)
    waiting = Waiting(db, clock)
    with anyio.fail_after(20):
        run_ids = await waiting.start()
        for _ in range(4):
            assert await waiting.workflow.recover() == []
            db.renewed = anyio.Event()
            clock.advance(6)
            servers.advance(6)
            await db.renewed.wait()
        assert db.renewals == [RUNS] * 4
        for run_id in run_ids:
            row = await db.load_run(run_id)
            assert row is not None
            assert row.lease_until == servers.time() + 15
        waiting.leave.set()
        for run_id in run_ids:
            async for _ in waiting.workflow.subscribe(run_id):
                pass
