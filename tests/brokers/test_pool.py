"""A pool of workers in processes of their own, over PostgreSQL, with NATS and without: real servers, real kills."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from nats_servers import NatsServer, left_to_the_collector, nats_server, new_prefix
from servers import TestServer

from workflow_runtime import RunNotPaused, RunStatus, Runtime, Workflow
from workflow_runtime.backends import PostgresDb, SqliteDb
from workflow_runtime_nats import NatsBroker

from . import flows
from .workers import Worker

pytestmark = pytest.mark.anyio
PATIENCE = 120.0


class Pool:
    """A database, maybe a broker, and the workers of a test."""

    def __init__(self, directory: Path, db: str, broker: str | None) -> None:
        self.directory, self.db, self.broker = directory, db, broker
        self.workers: list[Worker] = []
        self.opened: list[Any] = []

    async def worker(self, *targets: str, arguments: tuple[str, ...] = ()) -> Worker:
        make = lambda: Worker(self.directory, self.db, self.broker, *targets, arguments=arguments)  # noqa: E731
        self.workers.append(await anyio.to_thread.run_sync(make))
        return self.workers[-1]

    def workflow(self, of: Workflow) -> Workflow:
        """The workflow as a producer has it: it shares database and broker with the workers, and nothing else."""
        db = SqliteDb(self.db) if self.db.startswith("sqlite") else PostgresDb(self.db)
        broker = None if self.broker is None else NatsBroker(self.broker)
        self.opened += [db, *([broker] if broker is not None else [])]
        return Workflow(name=of.name, steps=of.steps, lease=of.lease, limits=of.limits, db=db, broker=broker)

    def bodies(self) -> Counter[str]:
        path = self.directory / "bodies"
        return Counter(path.read_text().splitlines() if path.exists() else [])

    def open(self) -> None:
        (self.directory / "open").touch()

    async def wait_for(self, what: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE):
            while not what():
                await anyio.sleep(0.02)


@pytest.fixture(params=["local", "nats"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: TestServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pool]:
    broker = None
    if request.param == "nats":
        server: NatsServer = request.getfixturevalue("nats")
        broker = f"{server.url}?prefix={new_prefix()}"
    monkeypatch.setenv("POOL_DIRECTORY", str(tmp_path))
    made = Pool(tmp_path, postgres.new_database(), broker)
    yield made
    for worker in made.workers:
        worker.kill()


@pytest.fixture
async def pool(place: Pool) -> AsyncIterator[Pool]:
    yield place
    for item in reversed(place.opened):
        await item.aclose()


async def queued(workflow: Workflow, given: Any = "x", **options: Any) -> str:
    if workflow.broker is None:
        options["queue"] = options.get("queue", "default")
    return (await workflow.arun(given, background=True, **options)).run_id or ""


async def events_of(workflow: Workflow, run_id: str) -> list[Any]:
    with anyio.fail_after(PATIENCE):
        return [event async for event in workflow.subscribe(run_id)]


def check_log(events: list[Any]) -> None:
    """One history: numbers from 1 without a gap or a duplicate, and one end."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.epoch for event in events] == sorted(event.epoch for event in events)
    assert events[-1].event == "WorkflowCompleted"


async def test_a_run_is_handed_to_a_worker_and_streamed_from_it(pool: Pool) -> None:
    await pool.worker("flows.py:pool")
    workflow = pool.workflow(flows.pool)
    options: dict[str, Any] = {} if workflow.broker is not None else {"queue": "default"}
    async with workflow.arun("x", background=True, stream=True, stream_events=True, **options) as stream:
        with anyio.fail_after(PATIENCE):
            events = [event async for event in stream]
            output = await stream.result()
    check_log(events)
    assert output.content == "three"
    assert [result.content for result in output.step_results] == ["one", "two", "three"]
    assert await events_of(workflow, output.run_id or "") == events
    assert set(pool.bodies().values()) == {1}


async def test_live_text_reaches_a_reader_elsewhere_as_it_is_made(pool: Pool) -> None:
    await pool.worker("flows.py:talking")
    workflow = pool.workflow(flows.talking)
    run_id = await queued(workflow)
    events: list[Any] = []
    spoken = 0
    with anyio.fail_after(PATIENCE):
        (pool.directory / "say0").touch()
        async for event in workflow.subscribe(run_id):
            events.append(event)
            if event.event == "StepContent":
                spoken += event.delta.count("word")
                (pool.directory / f"say{spoken}").touch()
    text = "".join(event.delta for event in events if event.event == "StepContent")
    assert text == "word0 word1 word2 word3 word4 "
    ends = [(event.seq, getattr(event, "last_seq", None) or event.seq) for event in events]
    numbers = [number for first, last in ends for number in range(first, last + 1)]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_reader_that_comes_late_sees_what_is_not_stored_yet(pool: Pool) -> None:
    """The step has begun and nothing of it is committed: its worker is asked."""
    if pool.broker is None:
        return  # without a relay readers elsewhere see what is stored
    await pool.worker("flows.py:gated")
    workflow = pool.workflow(flows.gated)
    run_id = await queued(workflow)
    await pool.wait_for(lambda: any("gate" in line for line in pool.bodies()))
    events: list[Any] = []
    with anyio.fail_after(PATIENCE):
        async for event in workflow.subscribe(run_id):
            events.append(event)
            if event.event == "StepStarted" and event.step_name == "gate":
                pool.open()
    check_log(events)
    assert events == await events_of(workflow, run_id)


async def test_a_cancel_reaches_the_worker(pool: Pool) -> None:
    await pool.worker("flows.py:gated")
    workflow = pool.workflow(flows.gated)
    run_id = await queued(workflow)
    await pool.wait_for(lambda: any("gate" in line for line in pool.bodies()))
    assert await workflow.acancel_run(run_id)
    assert (await events_of(workflow, run_id))[-1].event == "WorkflowCancelled"


async def test_a_paused_run_is_answered_from_elsewhere(pool: Pool) -> None:
    await pool.worker("flows.py:asking", arguments=("--concurrency", "1"))
    workflow = pool.workflow(flows.asking)
    ids = [await queued(workflow, number) for number in range(2)]
    with anyio.fail_after(PATIENCE):
        while len(await workflow.alist_pending()) < 2:  # a paused run holds no slot
            await anyio.sleep(0.02)
    for run_id in ids:
        paused = await workflow.aget_run(run_id)
        assert paused is not None
        for requirement in paused.active_step_requirements:
            requirement.confirm()
        output = await workflow.acontinue_run(paused)
        assert (output.status, output.content) == (RunStatus.completed, "two")
        check_ends(await events_of(workflow, run_id))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_background_continue_is_handed_to_a_worker(pool: Pool, stream: bool) -> None:
    if pool.broker is None:
        return  # there it is the caller's
    await pool.worker("flows.py:asking")
    workflow = pool.workflow(flows.asking)
    run_id = await queued(workflow)
    with anyio.fail_after(PATIENCE):
        while not await workflow.alist_pending():
            await anyio.sleep(0.02)
    paused = await workflow.aget_run(run_id)
    assert paused is not None
    for requirement in paused.active_step_requirements:
        requirement.confirm()
    with anyio.fail_after(PATIENCE):
        if stream:
            async with workflow.acontinue_run(paused, background=True, stream=True, stream_events=True) as events:
                names = [event.event async for event in events]
                output = await events.result()
            assert names[-1] == "WorkflowCompleted"
            assert "StepContinued" in names
            assert output.content == "two"
        else:
            answered = await workflow.acontinue_run(paused, background=True)
            assert answered.status is RunStatus.pending
    check_ends(await events_of(workflow, run_id))
    with pytest.raises(RunNotPaused):
        await workflow.acontinue_run(paused, background=True)
    row = await workflow.db.load_run(run_id)  # type: ignore[union-attr]
    assert row is not None
    assert {line.split()[0] for line in pool.bodies()} == {run_id}


def check_ends(events: list[Any]) -> None:
    assert events[-1].event == "WorkflowCompleted"
    assert [event.event for event in events].count("StepContinued") == 1


async def test_a_worker_that_is_killed_loses_no_run_and_no_outcome(pool: Pool) -> None:
    first, second = await pool.worker("flows.py:gated"), await pool.worker("flows.py:gated")
    workflow = pool.workflow(flows.gated)
    ids = [await queued(workflow, number) for number in range(12)]
    await pool.wait_for(lambda: sum("gate" in line for line in pool.bodies()) == 12)
    first.kill()
    pool.open()
    logs = {run_id: await events_of(workflow, run_id) for run_id in ids}
    for run_id, events in logs.items():
        check_log(events)
        names = [event.event for event in events]
        assert names.count("StepCompleted") == 2, names
        output = await workflow.aget_run(run_id)
        assert output is not None
        assert output.status is RunStatus.completed
    bodies = pool.bodies()
    assert all(bodies[f"{run_id} one"] == 1 for run_id in ids)  # had an outcome, so it never runs again
    again = [line for line in bodies if "gate" in line]
    assert {line.split()[0] for line in again} == set(ids)
    assert len(again) <= 24
    assert second.process.poll() is None


async def test_a_worker_that_is_told_to_end_hands_its_runs_over(pool: Pool) -> None:
    first = await pool.worker("flows.py:gated", arguments=("--grace", "0.1"))
    workflow = pool.workflow(flows.gated)
    ids = [await queued(workflow, number) for number in range(3)]
    await pool.wait_for(lambda: sum("gate" in line for line in pool.bodies()) == 3)
    first.terminate()
    assert await anyio.to_thread.run_sync(first.wait) == 0
    assert "3 released" in first.said()
    pool.open()
    await pool.worker("flows.py:gated")
    for run_id in ids:
        check_log(await events_of(workflow, run_id))
        row = await workflow.db.load_run(run_id)  # type: ignore[union-attr]
        assert row is not None
        assert row.deaths == 0


async def test_a_worker_that_stood_still_beyond_its_lease_is_refused(pool: Pool) -> None:
    first = await pool.worker("flows.py:gated")
    workflow = pool.workflow(flows.gated)
    run_id = await queued(workflow)
    await pool.wait_for(lambda: any("gate" in line for line in pool.bodies()))
    first.stop()
    await pool.worker("flows.py:gated")
    await pool.wait_for(lambda: sum("gate" in line for line in pool.bodies()) == 2)
    first.go_on()
    pool.open()
    events = await events_of(workflow, run_id)
    check_log(events)
    assert [event.event for event in events].count("StepCompleted") == 2
    await pool.wait_for(lambda: "was taken over" in first.said())
    later = await queued(workflow)  # and both go on working
    check_log(await events_of(workflow, later))


async def test_health_and_metrics(pool: Pool) -> None:
    worker = await pool.worker("flows.py:gated", arguments=("--health-port", "0", "--concurrency", "2"))
    ask = worker.ask
    assert await anyio.to_thread.run_sync(ask, "/health") == (200, "ok\n")
    assert await anyio.to_thread.run_sync(ask, "/ready") == (200, "ready\n")
    workflow = pool.workflow(flows.gated)
    ids = [await queued(workflow, number) for number in range(5)]
    await pool.wait_for(lambda: sum("gate" in line for line in pool.bodies()) == 2)
    status, text = await anyio.to_thread.run_sync(ask, "/metrics")
    assert status == 200
    lines = text.splitlines()
    assert "wfr_worker_slots 2" in lines
    assert "wfr_worker_slots_used 2" in lines
    assert "wfr_worker_taken_total 2" in lines
    assert 'wfr_queue_waiting{queue="default"} 3' in lines
    assert 'wfr_queue_running{queue="default"} 2' in lines
    worker.terminate()
    code, said = await anyio.to_thread.run_sync(ask, "/ready")
    assert code == 503 or said == "ready\n"  # it may not have heard yet
    pool.open()
    assert await anyio.to_thread.run_sync(worker.wait) == 0
    await pool.worker("flows.py:gated")
    for run_id in ids:
        check_log(await events_of(workflow, run_id))


@pytest.fixture
def url(postgres: TestServer) -> str:
    return postgres.new_database()


@left_to_the_collector
async def test_a_broker_that_dies_and_comes_back_loses_nothing(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POOL_DIRECTORY", str(tmp_path))
    with nats_server(tmp_path / "nats", own=True) as server:
        pool = Pool(tmp_path, url, server.url)
        try:
            await pool.worker("flows.py:pool")
            workflow = pool.workflow(flows.pool)
            ids = [await queued(workflow, 1)]
            await events_of(workflow, ids[0])
            server.kill()
            # The database takes them all the same, and workers look there by themselves.
            ids += [await queued(workflow, number) for number in range(3)]
            for run_id in ids:
                check_log(await events_of(workflow, run_id))
            await anyio.to_thread.run_sync(server.start)
            ids += [await queued(workflow, number) for number in range(10)]
            for run_id in ids:
                check_log(await events_of(workflow, run_id))
            assert set(pool.bodies().values()) == {1}
            assert len(pool.bodies()) == 3 * len(ids)
        finally:
            for item in reversed(pool.opened):
                await item.aclose()
            for worker in pool.workers:
                worker.kill()
            gc.collect()


async def test_a_service_leaves_the_runs_of_a_pool_to_its_workers(pool: Pool) -> None:
    """Its Runtime takes no queues: of a worker that died it takes nothing over."""
    if pool.broker is None:
        return  # there the processes that share the database are the workers
    first = await pool.worker("flows.py:gated")
    workflow = pool.workflow(flows.gated)
    run_id = await queued(workflow)
    await pool.wait_for(lambda: any("gate" in line for line in pool.bodies()))
    async with Runtime(workflow, interval=0.05) as runtime:
        first.kill()
        pool.open()
        await pool.worker("flows.py:gated")
        check_log(await events_of(workflow, run_id))
        assert (runtime.report.recovered, runtime.report.taken) == ([], [])
