"""Steps are cancelled, skipped and retried over HTTP and by the typed client, and by code that is not async."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2 as httpx
import pytest
from server.serving import Served, serving

from workflow_runtime import (
    Parallel,
    RunContext,
    RunEnded,
    RunNotFound,
    RunStatus,
    Step,
    StepInput,
    StepNotFound,
    StepNotRunning,
    StepReceipt,
    Workflow,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.client import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_blocked_loop() -> None:
    """The server has a loop of its own; what these tests do beside it may wait."""


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(serving(*args, **options))


async def endless(step_input: StepInput) -> str:
    await anyio.sleep_forever()
    return "never"


async def quick(step_input: StepInput) -> str:
    return "quick"


async def asks(run_context: RunContext) -> str:
    return f"answered {await run_context.ask('well?')}"


def working(path: Path, executor: Any = endless) -> Workflow:
    parts = Parallel(Step(name="a", executor=executor), Step(name="b", executor=quick), name="p")
    return Workflow(name="Working", steps=[parts], db=SqliteDb(path / "runs.db"), store_events=True)


def started(http: httpx.Client) -> None:
    """A run in the background whose branch "a" works."""
    http.post("/workflows/working/runs", json={"input": "x", "run_id": "r1", "background": True})
    with http.stream("GET", "/workflows/working/runs/r1/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("data:") and '"StepCompleted"' in line:
                return


def ended(http: httpx.Client) -> Any:
    with http.stream("GET", "/workflows/working/runs/r1/events") as answer:
        for _ in answer.iter_lines():
            pass
    return http.get("/workflows/working/runs/r1").json()


STEPS = "/workflows/working/runs/r1/steps"


def test_a_step_is_cancelled_over_http_and_what_cannot_be_is_refused(
    served: Callable[..., Served], tmp_path: Path
) -> None:
    with httpx.Client(base_url=served(working(tmp_path)).url) as http:
        started(http)
        for path, status, code in (("0.p/1.b", 409, "step_not_running"), ("0.p/7.z", 404, "step_not_found")):
            for action in ("cancel", "skip", "retry"):
                refused = http.post(f"{STEPS}/{action}", json={"path": path})
                assert (refused.status_code, refused.json()["code"]) == (status, code)
        unknown = http.post("/workflows/working/runs/other/steps/cancel", json={"path": "0.p/0.a"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "run_not_found")
        sent = http.post(f"{STEPS}/cancel", json={"path": "0.p/0.a", "reason": "slow", "message_id": "m1"})
        assert (sent.status_code, sent.json()["taken"], sent.json()["message_id"]) == (200, True, "m1")
        run = ended(http)
        assert run["status"] == "COMPLETED"
        assert run["step_results"][0]["steps"][0]["cancelled"] is True
        again = http.post(f"{STEPS}/cancel", json={"path": "0.p/0.a", "reason": "slow", "message_id": "m1"})
        assert (again.status_code, again.json()["taken"]) == (200, True)
        late = http.post(f"{STEPS}/cancel", json={"path": "0.p/0.a"})
        assert (late.status_code, late.json()["code"]) == (409, "run_ended")


def test_the_server_continues_a_paused_run_without_the_step(served: Callable[..., Served], tmp_path: Path) -> None:
    with httpx.Client(base_url=served(working(tmp_path, asks)).url) as http:
        paused = http.post("/workflows/working/runs", json={"input": "x", "run_id": "r1"}).json()
        assert paused["status"] == "PAUSED"
        sent = http.post(f"{STEPS}/skip", json={"path": "0.p/0.a"})
        assert (sent.status_code, sent.json()["taken"]) == (200, False)
        run = ended(http)
        assert (run["status"], run["step_results"][0]["steps"][0]["skipped"]) == ("COMPLETED", True)


async def test_the_typed_client_steers_steps(served: Callable[..., Served], tmp_path: Path) -> None:
    url = served(working(tmp_path)).url
    with httpx.Client(base_url=url) as http:
        started(http)
    async with Client(url) as client:
        flow = client.workflow("working")
        with pytest.raises(StepNotRunning):
            await flow.aretry_step("r1", "0.p/1.b")
        with pytest.raises(StepNotFound):
            await flow.askip_step("r1", "0.p/7.z")
        with pytest.raises(RunNotFound):
            await flow.acancel_step("r2", "0.p/0.a")
        receipt = await flow.acancel_step("r1", "0.p/0.a", reason="slow")
        assert isinstance(receipt, StepReceipt)
        assert receipt.taken
        output = await flow.aget_run("r1")
        while output is not None and not output.status.is_final:
            output = await flow.aget_run("r1")
        assert output is not None
        assert (output.step_results[0].steps or [])[0].cancelled
        with pytest.raises(RunEnded):
            await flow.acancel_step("r1", "0.p/0.a")


@pytest.mark.parametrize("has_db", [False, True], ids=["no db", "db"])
def test_the_sync_verbs_steer_a_run_of_this_process(tmp_path: Path, has_db: bool) -> None:
    begun = threading.Event()

    async def works(step_input: StepInput) -> str:
        begun.set()
        await anyio.sleep_forever()
        return "never"

    async def works_once(step_input: StepInput) -> str:
        if not again.is_set():
            again.set()
            await anyio.sleep_forever()
        return "again"

    again = threading.Event()
    steps = [Step(name="a", executor=works), Step(name="b", executor=works_once), Step(name="c", executor=works)]
    db = SqliteDb(tmp_path / "runs.db") if has_db else None
    workflow = Workflow(name="w", steps=[Parallel(*steps, name="p")], db=db)
    outputs: list[Any] = []
    thread = threading.Thread(target=lambda: outputs.append(workflow.run("x", run_id="r1")))
    thread.start()
    assert begun.wait(20)
    assert again.wait(20)
    assert workflow.retry_step("r1", "0.p/1.b").taken
    assert workflow.skip_step("r1", "0.p/2.c").taken
    assert workflow.cancel_step("r1", "0.p/0.a").taken
    thread.join(20)
    assert outputs[0].status is RunStatus.completed
    assert [(s.cancelled, s.skipped) for s in outputs[0].step_results[0].steps] == [
        (True, False),
        (False, False),
        (False, True),
    ]


async def test_a_run_of_another_loop_of_this_process_is_steered(tmp_path: Path) -> None:
    begun = threading.Event()

    async def works(step_input: StepInput) -> str:
        begun.set()
        await anyio.sleep_forever()
        return "never"

    for db in (None, SqliteDb(tmp_path / "runs.db")):
        begun.clear()
        workflow = Workflow(name="w", steps=[Step(name="a", executor=works)], db=db)
        outputs: list[Any] = []
        thread = threading.Thread(target=lambda flow=workflow, found=outputs: found.append(flow.run("x", run_id="r1")))
        thread.start()
        assert begun.wait(20)
        assert (await workflow.acancel_step("r1", "0.a")).taken
        thread.join(20)
        assert outputs[0].step_results[0].cancelled
