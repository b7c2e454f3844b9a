"""Leases, fences and requests among processes that share a database."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from workflow_runtime import RunStatus, Runtime, Step, StepInput, Workflow
from workflow_runtime.storage.registry import open_url

from .jobs import holding
from .processes import ForkServer, is_alive, kill

pytestmark = pytest.mark.anyio


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for another process; its only signal is what it leaves behind."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.005)


async def until_stored(url: str) -> None:
    """Wait until the run that another process has begun is in the database: before that, nothing of it is promised."""
    db = open_url(url)
    with anyio.fail_after(60):
        while await db.load_run("00_r") is None:
            await db.changed("00_r", seen=0, timeout=0.1)
    await db.aclose()


def files(tmp_path: Path) -> dict[str, str]:
    return {"started": str(tmp_path / "started"), "release": str(tmp_path / "release")}


async def test_a_run_is_cancelled_from_another_process(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path
) -> None:
    url, verdict = new_url(), tmp_path / "verdict"
    workers.start("hold", url=url, run_id="00_r", verdict=str(verdict), **files(tmp_path))
    await until((tmp_path / "started").exists)
    await until_stored(url)
    workflow = holding(url, lease=15.0, **files(tmp_path))
    assert await workflow.acancel_run("00_r") is True
    await until(verdict.exists)
    assert verdict.read_text() == "CANCELLED"
    output = await workflow.aget_run("00_r")
    assert output is not None
    assert output.status is RunStatus.cancelled
    assert await workflow.acancel_run("00_r") is False
    assert workflow.db is not None
    await workflow.db.aclose()


async def test_a_process_that_slept_through_its_lease_cannot_write(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path
) -> None:
    url, verdict, other = new_url(), tmp_path / "verdict", tmp_path / "other"
    zombie = workers.start("hold", url=url, run_id="00_r", verdict=str(verdict), lease=0.4, **files(tmp_path))
    await until((tmp_path / "started").exists)
    await until_stored(url)
    kill(zombie, signal.SIGSTOP)
    (tmp_path / "started").unlink()
    for _ in range(200):  # the lease has to run out by the machine's clock
        if (tmp_path / "started").exists():
            break
        workers.start("take_over", url=url, run_id="00_r", verdict=str(other), **files(tmp_path))
        await until(lambda: other.exists() or (tmp_path / "started").exists())
        if other.exists():
            assert other.read_text() == "LOST"
            other.unlink()
    (tmp_path / "release").touch()
    await until(other.exists)
    assert other.read_text() == "WON"
    kill(zombie, signal.SIGCONT)
    await until(verdict.exists)
    assert verdict.read_text() == "FENCED"
    await until(lambda: not is_alive(zombie))
    workflow = Workflow(name="holding", db=open_url(url), steps=[])
    output = await workflow.aget_run("00_r")
    assert output is not None
    assert (output.status, output.content, output.epoch) == (RunStatus.completed, "after waited", 2)
    assert workflow.db is not None
    await workflow.db.aclose()


async def test_two_processes_recover_one_run_and_one_wins(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path
) -> None:
    url = new_url()
    dead = workers.start("hold", url=url, run_id="00_r", verdict=str(tmp_path / "v"), lease=0.05, **files(tmp_path))
    await until((tmp_path / "started").exists)
    await until_stored(url)
    kill(dead)
    await until(lambda: not is_alive(dead))
    (tmp_path / "release").touch()
    await anyio.sleep(0.06)  # the lease of the dead
    verdicts = [tmp_path / f"verdict{number}" for number in range(4)]
    for verdict in verdicts:
        workers.start("take_over", url=url, run_id="00_r", verdict=str(verdict), **files(tmp_path))
    await until(lambda: all(verdict.exists() for verdict in verdicts))
    assert sorted(verdict.read_text() for verdict in verdicts) == ["LOST", "LOST", "LOST", "WON"]


async def test_a_run_of_an_unknown_workflow_is_left_alone_and_reported(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path
) -> None:
    url = new_url()
    dead = workers.start("hold", url=url, run_id="00_r", verdict=str(tmp_path / "v"), lease=0.05, **files(tmp_path))
    await until((tmp_path / "started").exists)
    await until_stored(url)
    kill(dead)
    await until(lambda: not is_alive(dead))
    await anyio.sleep(0.06)  # the lease of the dead

    async def step(step_input: StepInput) -> str:
        return "x"

    other = Workflow(name="another", db=open_url(url), steps=[Step("only", executor=step)])
    async with Runtime(other) as runtime:
        assert runtime.report.unknown == ["00_r"]
        assert runtime.report.recovered == []
    output = await other.aget_run("00_r")
    assert output is not None
    assert output.status in (RunStatus.pending, RunStatus.running)  # how far the log had come when it was killed
    assert other.db is not None
    await other.db.aclose()


async def test_twenty_processes_add_two_hundred_keys_to_one_session(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path
) -> None:
    url = new_url()
    pids = [workers.start("add_keys", url=url, process=number, runs=10) for number in range(20)]
    await until(lambda: not any(is_alive(pid) for pid in pids), 60)
    workflow = Workflow(name="keys", db=open_url(url), steps=[])
    state = await workflow.aget_session_state("shared")
    assert len(state) == 200
    session = await workflow.aget_session("shared")
    assert session is not None
    assert len(session.runs or ()) == 200
    assert workflow.db is not None
    await workflow.db.aclose()
