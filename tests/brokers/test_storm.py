"""Everything fails: workers are killed, NATS is killed, PostgreSQL restarts. Every run completes, with one history."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from nats_servers import left_to_the_collector, nats_server
from servers import PostgresServer, TestServer, postgres_server

from . import flows
from .test_pool import Pool, check_log, events_of, queued

pytestmark = pytest.mark.anyio

RUNS = 90
WORKERS = 3
CONCURRENCY = 8


@pytest.fixture
def own_postgres() -> Iterator[TestServer]:
    with postgres_server(own=True) as server:
        yield server


@pytest.fixture
def url(own_postgres: TestServer) -> str:
    return own_postgres.new_database()


def standing(events: list[Any]) -> list[Any]:
    """Without what a reader saw of a dead process beyond its last commit, which the next attempt supersedes."""
    found: list[Any] = []
    for event in events:
        while found and found[-1].seq >= event.seq:
            assert event.epoch > found.pop().epoch, "the same number twice, at one attempt"
        found.append(event)
    return found


@left_to_the_collector
async def test_every_run_completes_with_one_history_whatever_is_killed(
    own_postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POOL_DIRECTORY", str(tmp_path))
    with tempfile.TemporaryDirectory() as folder, nats_server(Path(folder), own=True) as nats:
        pool = Pool(tmp_path, url, nats.url)
        arguments = ("--concurrency", str(CONCURRENCY))
        try:
            for _ in range(WORKERS):
                await pool.worker("flows.py:pool", arguments=arguments)
            workflow = pool.workflow(flows.pool)
            logs: dict[str, list[Any]] = {}
            ids: list[str] = []
            kills = 0

            async def follow(run_id: str) -> None:
                logs[run_id] = await events_of(workflow, run_id)

            async with anyio.create_task_group() as readers:
                for part in range(6):
                    for number in range(RUNS // 6):
                        ids.append(await queued(workflow, number))
                        readers.start_soon(follow, ids[-1])
                    done = len(logs)
                    await pool.wait_for(lambda done=done: len(logs) > min(done + 3, len(ids) - 1))
                    pool.workers[-WORKERS].kill()  # the oldest that lives
                    kills += 1
                    await pool.worker("flows.py:pool", arguments=arguments)
                    if part == 2:
                        nats.kill()
                        await anyio.to_thread.run_sync(nats.start)
                    if part == 4:
                        await anyio.to_thread.run_sync(own_postgres.restart)
            assert len(logs) == len(ids) == RUNS
            bodies = pool.bodies()
            for run_id, events in logs.items():
                history = standing(events)  # as it was followed, through all of this
                check_log(history)
                assert history == await events_of(workflow, run_id)
                assert [event.event for event in history].count("StepCompleted") == 3
                steps = await workflow.db.load_steps(run_id)  # type: ignore[union-attr]
                done_once = [step.path for step in steps if step.status == "done"]
                assert len(done_once) == len(set(done_once)) == 3
                assert all(bodies[f"{run_id} {name}"] >= 1 for name in ("one", "two", "three"))
            again = sum(count - 1 for count in bodies.values())
            assert again <= (kills + WORKERS) * CONCURRENCY  # those that were running, and no others
        finally:
            for item in reversed(pool.opened):
                await item.aclose()
            for worker in pool.workers:
                worker.kill()
    gc.collect()
