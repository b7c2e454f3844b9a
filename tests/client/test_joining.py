"""Two clients that start one run id: one run, which both have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from server.serving import Served

import workflow_runtime
from workflow_runtime import InputError, Step, Workflow
from workflow_runtime.client import Client, RunExists

from .flows import database, talking

pytestmark = pytest.mark.anyio

Serve = Callable[..., Served]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def counting(tmp_path: Path, ran: list[str]) -> Workflow:
    def work() -> str:
        ran.append("work")
        return "done"

    return Workflow(id="count", steps=[Step("work", executor=work)], db=database(tmp_path))


async def test_a_run_of_the_same_call_is_joined(served: Serve, tmp_path: Path) -> None:
    ran: list[str] = []
    async with Client(served(counting(tmp_path, ran)).url) as client:
        call = {"run_id": "mine", "session_id": "s", "if_exists": "join"}
        outputs = [await client.run("count", "x", **call) for _ in range(2)]
        events = [event.event async for event in client.run("count", "x", stream_events=True, **call)]
        pending = await client.arun("count", "x", background=True, run_id="mine", if_exists="join")
    assert ran == ["work"]
    assert [output.content for output in outputs] == ["done", "done"]
    assert (events[0], events[-1], pending.run_id) == ("WorkflowStarted", "WorkflowCompleted", "mine")


async def test_a_run_of_another_call_is_not_joined(served: Serve, tmp_path: Path) -> None:
    ran: list[str] = []
    async with Client(served(counting(tmp_path, ran)).url) as client:
        await client.run("count", "x", run_id="mine")
        with pytest.raises(RunExists):
            await client.run("count", "y", run_id="mine", if_exists="join")
        with pytest.raises(workflow_runtime.RunExists):
            await client.run("count", "x", run_id="mine")
        with pytest.raises(InputError, match="needs the run_id"):
            client.run("count", "x", if_exists="join")
    assert ran == ["work"]


async def test_who_leaves_a_joined_run_leaves_it_alone(served: Serve, tmp_path: Path) -> None:
    async with Client(served(talking(tmp_path, words=200)).url) as client:
        call = {"run_id": "mine", "session_id": "s", "if_exists": "join"}
        async with anyio.create_task_group() as group:
            outputs = []

            async def first() -> None:
                outputs.append(await client.run("talking", "x", **call))

            group.start_soon(first)
            async with client.run("talking", "x", stream_events=True, **call) as run:
                async for _ in run:
                    break
    assert [str(output.status) for output in outputs] == ["COMPLETED"]
