"""A Runtime is the lifespan of a real application: it lives with the server, and drains when the server stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from workflow_runtime import BaseDb, RunStatus, Runtime, StepInput, Workflow

Again = Callable[[], BaseDb]


async def slow(step_input: StepInput) -> str:
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    return f"made {step_input.input}"


def fastapi_app(runtime: Runtime, start: Callable[[], Any]) -> Any:
    app = FastAPI(lifespan=runtime.lifespan)

    @app.post("/runs")
    async def begin(request: Request) -> dict[str, Any]:
        assert request.state.runtime is runtime
        return {"run_id": await start()}

    return app


def starlette_app(runtime: Runtime, start: Callable[[], Any]) -> Any:
    async def begin(request: Request) -> JSONResponse:
        assert request.state.runtime is runtime
        return JSONResponse({"run_id": await start()})

    return Starlette(routes=[Route("/runs", begin, methods=["POST"])], lifespan=runtime.lifespan)


@pytest.mark.parametrize("make_app", [fastapi_app, starlette_app])
def test_an_application_drains_its_runs_when_it_stops(again: Again, make_app: Any) -> None:
    workflow = Workflow(name="w", db=again(), steps=[slow])
    runtime = Runtime(workflow, grace=20)

    async def start() -> str | None:
        return (await workflow.arun("it", background=True)).run_id

    with TestClient(make_app(runtime, start)) as client:
        run_id = client.post("/runs").json()["run_id"]
    output = Workflow(name="w", db=again(), steps=[slow]).get_run(run_id)
    assert output is not None
    assert (output.status, output.content) == (RunStatus.completed, "made it")
    assert runtime.report.cancelled == []
    assert runtime.report.drained in ([run_id], [])  # it may have ended before the server was told to stop


def test_an_application_takes_over_what_another_left_behind(again: Again) -> None:
    db = again()
    workflow = Workflow(name="w", db=db, steps=[slow], lease=0.05)
    left: list[Any] = []

    async def leave() -> None:
        """As a process that was killed: its run is in the database, nobody works on it, its lease runs out."""
        output = await workflow.arun("it", background=True)
        left.append(output.run_id)
        from workflow_runtime.engine.run.host import find_live

        run = find_live(str(output.run_id))
        if run is not None:
            await run.release()

    anyio.run(leave)
    other = Workflow(name="w", db=again(), steps=[slow])
    runtime = Runtime(other, grace=20)
    with TestClient(Starlette(lifespan=runtime.lifespan)):
        pass
    output = other.get_run(left[0])
    assert output is not None
    assert output.status is RunStatus.completed
    assert runtime.report.recovered in ([left[0]], [])
