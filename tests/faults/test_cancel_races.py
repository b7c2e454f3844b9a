"""A cancel races, from another process, with whatever else can happen to a run.

A cancel that was granted holds: the run ends as cancelled, no step begins after that end is stored, and nothing is left
that waits, is open or can be recovered. One that was not granted came after the run's end.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from workflow_runtime import RunStatus, Workflow
from workflow_runtime.storage.registry import open_url

from .processes import ForkServer, is_alive, kill
from .workload import raced

pytestmark = pytest.mark.anyio

# 200 races of each kind on each database: make faults ROUNDS=20
ROUNDS = int(os.environ.get("WORKFLOW_RUNTIME_FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("WORKFLOW_RUNTIME_FAULT_SEED", "1"))
RACES = 10 * ROUNDS


class Race:
    """One run that another process works on. ``lines``: what its steps have left behind."""

    def __init__(self, workers: ForkServer, url: str, effects: Path, chance: random.Random) -> None:
        self._workers, self._url, self._effects, self._chance = workers, url, effects, chance
        self._pids: list[int] = []
        self.workflow: Workflow = raced(open_url(url), effects)

    def start(self, does: str, evict_after: float = 300.0) -> int:
        arguments = {"url": self._url, "effects": str(self._effects), "does": does, "evict_after": evict_after}
        pid = self._workers.start("race", **arguments)
        self._pids.append(pid)
        return pid

    def lines(self) -> list[str]:
        return self._effects.read_text().splitlines() if self._effects.exists() else []

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(60):
            while not condition():
                await anyio.sleep(0.001)

    async def until_ended(self) -> None:
        await self.until(lambda: not any(is_alive(pid) for pid in self._pids))

    async def until_paused(self) -> None:
        assert self.workflow.db is not None
        with anyio.fail_after(60):
            while (row := await self.workflow.db.load_run("00_r")) is None or row.status is not RunStatus.paused:
                await self.workflow.db.changed("00_r", seen=row.seq if row is not None else 0, timeout=0.01)

    async def wait_a_little(self) -> None:
        await anyio.sleep(self._chance.choice([0.0, 0.002, 0.005, 0.01, 0.03]) * self._chance.random())


async def completion(race: Race) -> None:
    """The steps after the answer, and the end."""
    race.start("run")
    await race.until_paused()
    race.start("answer")
    await race.until(lambda: any("True" in line for line in race.lines()))


async def a_pause(race: Race) -> None:
    race.start("run")
    await race.until(lambda: bool(race.lines()))


async def a_continue(race: Race) -> None:
    race.start("run")
    await race.until_paused()
    race.start("answer")


async def two_continues(race: Race) -> None:
    race.start("run")
    await race.until_paused()
    race.start("answer")
    race.start("answer")


async def recovery(race: Race) -> None:
    dead = race.start("run")
    await race.until_paused()
    await race.until(lambda: not is_alive(dead))
    dead = race.start("answer")
    await race.until(lambda: any("True" in line for line in race.lines()))
    await race.wait_a_little()
    kill(dead)
    await race.until(lambda: not is_alive(dead))
    race.start("recover")


async def eviction(race: Race) -> None:
    race.start("run", evict_after=0.01)
    await race.until_paused()


KINDS = {kind.__name__: kind for kind in (completion, a_pause, a_continue, two_continues, recovery, eviction)}


async def cancelled(race: Race) -> bool:
    """Cancel as soon as the run is stored: before that its id means nothing to another process."""
    assert race.workflow.db is not None
    with anyio.fail_after(60):
        while await race.workflow.db.load_run("00_r") is None:
            await race.workflow.db.changed("00_r", seen=0, timeout=0.01)
    return await race.workflow.acancel_run("00_r")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_granted_cancel_holds(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path, kind: str
) -> None:
    chance = random.Random(f"{SEED} {kind}")
    granted = 0
    for number in range(RACES):
        race = Race(workers, new_url(), tmp_path / f"effects{number}", chance)
        workflow = race.workflow
        assert workflow.db is not None
        try:
            await KINDS[kind](race)
            await race.wait_a_little()
            held = await cancelled(race)
            granted += held
            with anyio.fail_after(60):
                while not (row := await workflow.db.load_run("00_r")) or not row.status.is_final:
                    await workflow.db.changed("00_r", seen=row.seq if row else 0, timeout=0.02)
            worked = race.lines()
            await race.until_ended()
            assert race.lines() == worked, "a step began after the stored end"
            output = await workflow.aget_run("00_r")
            assert output is not None
            assert output.status is (RunStatus.cancelled if held else RunStatus.completed)
            assert await workflow.alist_pending() == []
            assert await workflow.recover() == []
            assert await workflow.acancel_run("00_r") is False
        finally:
            await race.until_ended()
            await workflow.db.aclose()
    assert granted
