"""Limits over workers in processes of their own: many users, at most two runs of each at a time, one of them killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import anyio
import pytest
from nats_servers import NatsServer, new_prefix
from servers import TestServer

from workflow_runtime import RunStatus
from workflow_runtime.storage.base import RunFilter

from . import flows
from .test_pool import PATIENCE, Pool, check_log, events_of, queued

pytestmark = pytest.mark.anyio

USERS = 12
EACH = 8
MANY = 60  # runs of one more user, who called first


@pytest.fixture(params=["sqlite", "postgres", "nats"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    broker = None
    if request.param == "nats":
        server: NatsServer = request.getfixturevalue("nats")
        broker = f"{server.url}?prefix={new_prefix()}"
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'runs.db'}"
    else:
        postgres: TestServer = request.getfixturevalue("postgres")
        url = postgres.new_database()
    monkeypatch.setenv("POOL_DIRECTORY", str(tmp_path))
    made = Pool(tmp_path, url, broker)
    yield made
    for worker in made.workers:
        worker.kill()


@pytest.fixture
async def pool(place: Pool) -> AsyncIterator[Pool]:
    yield place
    for item in reversed(place.opened):
        await item.aclose()


def most_at_once(lines: list[str]) -> Counter[str]:
    """How many runs of each user were in the step at the same time, as the lines say. A run that began twice was killed
    in between: it is counted once, from its first line to its last."""
    last = {line.split()[2]: number for number, line in enumerate(lines)}
    inside: dict[str, set[str]] = {}
    most: Counter[str] = Counter()
    for number, line in enumerate(lines):
        _, user, run_id = line.split()
        inside.setdefault(user, set()).add(run_id)
        most[user] = max(most[user], len(inside[user]))
        if last[run_id] == number and line.startswith("end"):
            inside[user].discard(run_id)
    assert not any(inside.values())
    return most


async def test_no_user_has_more_than_two_runs_at_once_and_all_end(pool: Pool, record_property: Any) -> None:
    workflow = pool.workflow(flows.limited)
    users = [f"u{number}" for number in range(USERS)]
    runs = [(await queued(workflow, user_id="many")) for _ in range(MANY)]
    runs += [await queued(workflow, user_id=user) for _ in range(EACH) for user in users]
    for _ in range(3):
        await pool.worker("flows.py:limited", arguments=("--concurrency", "8"))
    db = workflow.db
    assert db is not None
    running = frozenset({RunStatus.running})
    highest: Counter[str] = Counter()
    await pool.wait_for(lambda: sum(pool.bodies().values()) >= 2 * (USERS + 1) - 2)
    pool.open()
    with anyio.fail_after(PATIENCE):
        while True:
            rows = await db.list_runs(RunFilter(statuses=running), limit=1_000)
            highest |= Counter(row.user_id or "" for row in rows)
            done = await db.list_runs(RunFilter(statuses=frozenset({RunStatus.completed})), limit=1_000)
            if len(done) > len(runs) // 4 and pool.workers[0].process.poll() is None:
                await anyio.to_thread.run_sync(pool.workers[0].kill)
            if len(done) == len(runs):
                break
            await anyio.sleep(0.02)
    assert max(highest.values()) <= 2
    lines = (pool.directory / "bodies").read_text().splitlines()
    assert max(most_at_once(lines).values()) <= 2
    waits: dict[str, list[float]] = {}
    for run_id in runs:
        events = await events_of(workflow, run_id)
        check_log(events)
        row, steps = await db.load_run(run_id), await db.load_steps(run_id)
        assert row is not None
        began = min(step.started_at for step in steps if step.started_at is not None)
        waits.setdefault("many" if row.user_id == "many" else "others", []).append(began - row.created_at)
    order = [line.split()[1] for line in lines if line.startswith("begin")]
    # Turns, not age: the users with a few runs were not held up by the one whose many runs are older.
    assert {*users} <= {*order[: 4 * USERS]}
    for who, times in waits.items():
        record_property(f"wait of {who}", f"longest {max(times):.2f} s, mean {mean(times):.2f} s")
