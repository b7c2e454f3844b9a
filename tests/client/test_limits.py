"""Limits of a served workflow: its runs wait for each other, and one too many is refused with 429."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

import anyio
import httpx2 as httpx
import pytest
from server.serving import Served

from workflow_runtime import Limit, QueueFull, RunStatus, Step, Workflow, WorkflowRunOutput
from workflow_runtime.client import Client, WorkflowClient

from .flows import database

pytestmark = pytest.mark.anyio

Serve = Callable[..., Served]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def stored(client: WorkflowClient, run: WorkflowRunOutput) -> WorkflowRunOutput:
    found = await client.aget_run(run.run_id or "")
    assert found is not None
    return found


async def test_a_run_too_many_is_refused_and_the_others_end(served: Serve, tmp_path: Path) -> None:
    opened = Event()

    def work(step_input: object) -> str:
        opened.wait(60)
        return "done"

    limit = Limit(key="user_id", concurrency=1, max_queued=1)
    server = served(Workflow(id="busy", steps=[Step("work", executor=work)], db=database(tmp_path), limits=[limit]))
    async with Client(server.url) as client:
        busy = client.workflow("busy")
        first = await busy.arun("x", user_id="ada", background=True)
        with anyio.fail_after(60):
            while (await stored(busy, first)).status is not RunStatus.running:
                await anyio.sleep(0.01)
        second = await busy.arun("x", user_id="ada", background=True)
        with pytest.raises(QueueFull, match="workflow 'busy' has 1 queued runs of user_id 'ada' \\(max_queued=1\\)"):
            await busy.arun("x", user_id="ada", background=True)
        with pytest.raises(QueueFull):
            await busy.run("x", user_id="ada")
        async with httpx.AsyncClient(base_url=server.url) as plain:
            answer = await plain.post("/workflows/busy/runs", json={"input": "x", "user_id": "ada"})
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        opened.set()
        for run in (first, second):
            with anyio.fail_after(60):
                async for _ in busy.subscribe(run.run_id or ""):
                    pass
            assert (await stored(busy, run)).content == "done"
