"""Load on a workflow: what is sent, and what is told of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from workflow_runtime import InMemoryDb, StepInput, Workflow
from workflow_runtime.bench.load import Load, Outcome, apply
from workflow_runtime.bench.table import outcome_lines
from workflow_runtime.storage.base import RunFilter

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])


def workflow(function: Any, **options: Any) -> Workflow:
    return Workflow(name="loaded", steps=[function], **options)


async def echo(step_input: StepInput) -> str:
    return f"{step_input.input}"


async def fails_at_odd(step_input: StepInput, run_context: Any) -> str:
    if int(run_context.session_id.rpartition("-")[2]) % 2:
        raise ValueError("odd")
    return "even"


@pytest.mark.anyio
async def test_so_many_runs_are_sent_each_in_a_session_of_its_own() -> None:
    db = InMemoryDb()
    outcome = await apply(workflow(echo, db=db), Load(runs=7, concurrency=3), "x")
    assert (outcome.runs, dict(outcome.statuses), dict(outcome.errors)) == (7, {"COMPLETED": 7}, {})
    assert len(outcome.latencies) == 7
    sessions = {row.session_id for row in await db.list_runs(RunFilter(), limit=100)}
    assert len(sessions) == 7


@pytest.mark.anyio
async def test_all_runs_share_a_session_if_asked() -> None:
    db = InMemoryDb()
    await apply(workflow(echo, db=db), Load(runs=4, session=True), "x")
    rows = await db.list_runs(RunFilter(), limit=100)
    assert (len(rows), len({row.session_id for row in rows})) == (4, 1)


@pytest.mark.anyio
async def test_no_more_runs_than_places_are_going_at_once() -> None:
    going, most = 0, 0

    async def counts(step_input: StepInput) -> str:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await anyio.lowlevel.checkpoint()
        going -= 1
        return "x"

    await apply(workflow(counts), Load(runs=20, concurrency=4))
    assert most == 4


@pytest.mark.anyio
async def test_errors_are_counted_by_what_they_say_and_have_no_latency() -> None:
    outcome = await apply(workflow(fails_at_odd), Load(runs=6, concurrency=2))
    assert (dict(outcome.errors), outcome.messages) == ({"ValueError": 3}, {"ValueError": "odd"})
    assert dict(outcome.statuses) == {"COMPLETED": 3}
    assert len(outcome.latencies) == 3
    assert "failed       3 x ValueError: odd" in "\n".join(outcome_lines(outcome))


@pytest.mark.anyio
async def test_with_a_rate_waiting_for_a_place_counts_as_latency() -> None:
    """One place, ten arrivals a second, each run takes a second by the test's clock: the third waits 1.8 seconds."""
    now = 0.0

    class Slow:
        async def arun(self, input: Any = None, *, session_id: str | None = None) -> Any:
            nonlocal now
            now += 1.0
            return type("Output", (), {"status": "COMPLETED"})

    outcome = await apply(Slow(), Load(runs=3, concurrency=1, rate=10.0), clock=lambda: now)
    assert list(outcome.latencies) == pytest.approx([1.0, 1.9, 2.8])


@pytest.mark.anyio
async def test_no_run_begins_after_the_time() -> None:
    now = 0.0

    class Slow:
        async def arun(self, input: Any = None, *, session_id: str | None = None) -> Any:
            nonlocal now
            now += 1.0
            return type("Output", (), {"status": "COMPLETED"})

    outcome = await apply(Slow(), Load(seconds=2.5, concurrency=1), clock=lambda: now)
    assert outcome.runs == 3


def test_a_share_of_the_latencies(anyio_backend: Any) -> None:
    outcome = Outcome(latencies=[number / 100 for number in range(100, 0, -1)])
    assert (outcome.latency(0.5), outcome.latency(0.99), outcome.latency(1.0)) == (0.51, 1.0, 1.0)
    assert Outcome().latency(0.5) is None


@pytest.mark.parametrize("wrong", ["seconds", "concurrency", "rate", "runs"])
def test_a_load_of_nothing_is_refused(wrong: str, anyio_backend: Any) -> None:
    with pytest.raises(ValueError, match=f"{wrong} must be more than 0"):
        Load(**{wrong: 0})  # type: ignore[arg-type]


def test_the_example_for_users_runs(tmp_path: Path, anyio_backend: Any) -> None:
    file = ROOT / "benchmarks" / "user_workflow.py"
    command = [sys.executable, str(file), "--runs", "4", "--db", "sqlite:///load.db", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert (found["runs"], found["statuses"], found["errors"]) == (4, {"COMPLETED": 4}, {})
    assert found["latency_seconds"]["max"] > 0.02
