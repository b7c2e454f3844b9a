"""Paused runs among processes: many that continue one, some that are killed, a database that goes away, a newer schema."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from servers import PostgresServer, TestServer, postgres_server

import workflow_runtime_postgres.schema as postgres_schema
import workflow_runtime_sqlite.schema as sqlite_schema
from workflow_runtime import RunNotPaused, RunStatus, StepRetryEvent, WorkflowRunOutput

from .workers import ANSWERS, build, lines, start

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_blocked_loop() -> None:
    """These tests wait for other processes, and nothing else runs on their loop."""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.db"
    server: TestServer = request.getfixturevalue("postgres")
    return f"{server.new_database()}?max_size=4"


async def pause(url: str, effects: Path, kind: str, run_id: str) -> None:
    workflow = build(url, str(effects), kind, evict_after=0.0)
    assert (await workflow.arun("x", run_id=run_id)).is_paused
    assert workflow.db is not None
    await workflow.db.aclose()


async def proceed(url: str, effects: Path, kind: str, run_id: str) -> WorkflowRunOutput:
    """Answer all that is open, and go on."""
    workflow = build(url, str(effects), kind)
    try:
        paused = await workflow.aget_run_output(run_id)
        assert paused is not None
        waiting = [item for item in paused.active_step_requirements if item.answered_at is None]
        for item in waiting:
            item.answer(ANSWERS[item.kind])
        return await workflow.acontinue_run(run_id=run_id, session_id=paused.session_id, step_requirements=waiting)
    finally:
        assert workflow.db is not None
        await workflow.db.aclose()


@pytest.mark.parametrize("kind", ["gate", "ask"])
async def test_of_twenty_continues_in_four_processes_one_runs_and_nineteen_are_refused(
    url: str, tmp_path: Path, kind: str
) -> None:
    effects = tmp_path / "effects"
    await pause(url, effects, kind, "r1")
    processes = [start("go_on", url, effects, kind, "r1", 5) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes: Counter[str] = Counter()
    for process in processes:
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        outcomes.update(json.loads(printed))
    assert outcomes == {"COMPLETED": 1, "RunNotPaused": 19}
    ran = Counter(lines(effects))
    assert (ran["first"], ran["last"], ran["gate"] + ran["asked"], ran["drawn"]) == (1, 1, 1, kind == "ask")


@pytest.mark.parametrize("kind", ["gate", "ask", "both"])
async def test_a_paused_run_survives_sigkill(url: str, tmp_path: Path, kind: str) -> None:
    effects = tmp_path / "effects"
    process = start("hold", url, effects, kind, "r1")
    assert process.stdout is not None
    assert process.stdout.readline() == "PAUSED\n"
    process.kill()
    process.communicate()
    output = await proceed(url, effects, kind, "r1")
    assert (output.status, output.content) == (RunStatus.completed, "last")
    ran = Counter(lines(effects))
    # The body of the step that asks is entered again, and gets back what was drawn and what was answered.
    asks = kind != "gate"
    assert ran == Counter(first=1, last=1, gate=kind != "ask", entered=2 * asks, drawn=asks, asked=asks)


async def test_a_step_goes_on_in_the_attempt_that_asked_when_its_process_was_killed(url: str, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    process = start("hold", url, effects, "retry", "r1")
    assert process.stdout is not None
    assert process.stdout.readline() == "PAUSED\n"
    process.kill()
    process.communicate()
    output = await proceed(url, effects, "retry", "r1")
    assert output.status is RunStatus.completed
    assert lines(effects) == ["attempt1", "attempt2", "attempt2", "attempt3", "first", "last"]
    told = [(event.attempt, event.error) for event in output.events or () if isinstance(event, StepRetryEvent)]
    assert told == [(1, "in attempt 1"), (2, "in attempt 2")]


async def test_a_model_refuses_an_answer_in_a_process_in_which_nothing_waits(url: str, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    process = start("hold", url, effects, "trip", "r1")
    assert process.stdout is not None
    assert process.stdout.readline() == "PAUSED\n"
    process.kill()
    process.communicate()
    given = [json.dumps({"user_input": {"days": 2, "nights": nights}}) for nights in (3, 1)]
    printed, _ = start("answer", url, effects, "trip", "r1", *given).communicate(timeout=120)
    refused = "cannot continue, nothing was changed:\n- trip: Field 'user_input': Value error, more nights than days"
    assert json.loads(printed) == [refused, "COMPLETED"]
    assert lines(effects) == ["entered", "entered", "first", "last"]  # the bad answer did not reach the step


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    with postgres_server(own=True, fsync=True) as server:
        assert isinstance(server, PostgresServer)
        yield server


@pytest.mark.parametrize("kind", ["gate", "ask"])
async def test_a_paused_run_survives_a_restart_of_the_database(
    own_server: PostgresServer, tmp_path: Path, kind: str
) -> None:
    url, effects = await anyio.to_thread.run_sync(own_server.new_database), tmp_path / "effects"
    workflow = build(url, str(effects), kind)
    paused = await workflow.arun("x", run_id="r1")
    assert paused.is_paused
    await anyio.to_thread.run_sync(own_server.restart, "kill")
    (item,) = paused.active_step_requirements
    item.answer(ANSWERS[item.kind])
    with anyio.fail_after(60):
        output = await workflow.acontinue_run(run_id="r1", step_requirements=[item])
    assert output.status is RunStatus.completed
    assert Counter(lines(effects))["entered"] == (kind == "ask")  # its process lived on
    with pytest.raises(RunNotPaused):
        await workflow.acontinue_run(run_id="r1", step_requirements=[item])
    assert workflow.db is not None
    await workflow.db.aclose()


LATER = "ADD COLUMN later text DEFAULT 'new';"
UPGRADES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "sqlite": lambda patch: _following(patch, sqlite_schema, f"ALTER TABLE workflow_runs {LATER}"),
    "postgres": lambda patch: _following(patch, postgres_schema, (f"ALTER TABLE @.runs {LATER}",)),
}


def _following(patch: pytest.MonkeyPatch, schema: Any, migration: Any) -> None:
    following = (*schema.MIGRATIONS, migration)
    patch.setattr(schema, "MIGRATIONS", following)
    patch.setattr(schema, "VERSION", len(following))


@pytest.mark.parametrize("kind", ["gate", "ask"])
async def test_a_paused_run_survives_an_upgrade_of_the_schema(
    url: str, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = tmp_path / "effects"
    await pause(url, effects, kind, "r1")
    UPGRADES[url.partition(":")[0].replace("postgresql", "postgres")](monkeypatch)
    output = await proceed(url, effects, kind, "r1")
    assert (output.status, output.content) == (RunStatus.completed, "last")
    assert Counter(lines(effects))["last"] == 1
