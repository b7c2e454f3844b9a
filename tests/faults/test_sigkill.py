"""A worker is killed with SIGKILL at every event of the workload, and another process goes on. (D3, D6, D7)"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workflow_runtime import InMemoryDb, Workflow, WorkflowRunOutput
from workflow_runtime.storage.registry import open_url

from .processes import ForkServer
from .workload import build, executions

pytestmark = pytest.mark.anyio

# For a long run: make faults ROUNDS=20 SEED=7
ROUNDS = int(os.environ.get("WORKFLOW_RUNTIME_FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("WORKFLOW_RUNTIME_FAULT_SEED", "1"))


async def undisturbed(tmp_path: Path) -> WorkflowRunOutput:
    output = await build(InMemoryDb(), tmp_path / "undisturbed").arun("x", run_id="00_run", session_id="s")
    return output


def contents(output: WorkflowRunOutput) -> list[Any]:
    return [[step.step_name, step.content] for top in output.step_results for step in top.walk()]


def covered(events: list[Any]) -> list[int]:
    """The numbers that a list of stored events covers, merged text taken apart."""
    return [seq for event in events for seq in range(event.seq, (getattr(event, "last_seq", None) or event.seq) + 1)]


async def killed_and_recovered(
    workers: ForkServer, url: str, tmp_path: Path, seq: int, durability: str, turns: int
) -> tuple[Workflow, dict[str, int], dict[str, int], list[Any]]:
    """(the workflow, executions before the kill at ``seq``, executions in all, steps that had finished at the kill)."""
    effects, seen = tmp_path / f"effects{seq}-{turns}", tmp_path / f"seen{seq}-{turns}"
    code = workers.run(
        "run_until_killed",
        url=url,
        effects=str(effects),
        run_id="00_run",
        seq=seq,
        durability=durability,
        seen=str(seen),
        turns=turns,
    )
    assert code == -9 or (turns and code == 0)  # it had ended by then
    before = executions(effects)
    db = open_url(url)
    workflow = build(db, effects)
    row = await db.load_run("00_run")
    if row is None or row.status.is_final:  # before the first commit, or with the end stored and not yet shown
        return workflow, before, before, []
    finished = [entry.path for entry in await workflow.history("00_run") if entry.status in ("done", "memo")]
    assert workers.run("recover", url=url, effects=str(effects), run_id="00_run", durability=durability) == 0
    return workflow, before, executions(effects), finished


async def check(
    workflow: Workflow,
    expected: WorkflowRunOutput,
    before: dict[str, int],
    after: dict[str, int],
    finished: list[Any],
    seen: Path,
) -> None:
    output = await workflow.aget_run("00_run")
    assert output is not None
    assert output.status == "COMPLETED", (output.last_seq, finished, before, after, seen)
    assert output.content == expected.content
    assert contents(output) == contents(expected)
    assert await workflow.aget_session_state("s") == expected.session_state
    assert output.events is not None
    numbers = covered(output.events)
    assert numbers == list(range(1, len(numbers) + 1))
    for path in finished:
        assert after.get(path, 0) == before.get(path, 0), f"{path} had finished and ran again"
    assert all(count <= 2 for count in after.values()), after
    await check_reader(workflow, seen)


async def check_reader(workflow: Workflow, seen: Path) -> None:
    """A reader that had seen everything live, and then reconnects with its last id, has one unbroken sequence."""
    lines = [json.loads(line) for line in seen.read_text().splitlines()]
    last = lines[-1][0] if lines else 0
    rest = [event async for event in workflow.subscribe("00_run", after=last)]
    first = rest[0].seq if rest else None
    known = [int(line[0].split("-")[1]) for line in lines]
    kept = [seq for seq in known if first is None or seq < first]
    numbers = kept + covered(rest)
    assert numbers == list(range(1, len(numbers) + 1))
    if first is not None and first <= max(known, default=0):
        # Of a run that was killed before its first events were stored only the id is there: it begins again.
        again = "WorkflowStarted" if first == 1 and rest[0].epoch > 1 else None
        assert rest[0].event in ("WorkflowResumed", again)


def moments(events: int) -> Iterator[tuple[int, int]]:
    """When to kill: at each event, then, ``ROUNDS`` - 1 times, up to 200 turns of the loop after each event."""
    yield from ((seq, 0) for seq in range(1, events + 1))
    chance = random.Random(SEED)
    for _ in range(ROUNDS - 1):
        yield from ((seq, chance.randint(1, 200)) for seq in range(1, events + 1))


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_worker_killed_at_any_event_is_recovered_with_the_same_result(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path, durability: str
) -> None:
    expected = await undisturbed(tmp_path)
    assert expected.last_seq >= 60
    lost = 0
    for seq, turns in moments(expected.last_seq):
        url = new_url()
        workflow, before, after, finished = await killed_and_recovered(workers, url, tmp_path, seq, durability, turns)
        assert workflow.db is not None
        if await workflow.db.load_run("00_run") is None:
            lost += turns == 0  # killed before anything of the run was promised to be stored
        else:
            await check(workflow, expected, before, after, finished, tmp_path / f"seen{seq}-{turns}")
        await workflow.db.aclose()
    if durability == "sync":
        assert lost <= 1  # only the first event comes before the run's first commit
