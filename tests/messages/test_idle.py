"""A run that waits for a message costs its process nothing once its step was let go: no task, no timer, no object."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from workflow_runtime import InMemoryDb, RunContext, Step, Workflow
from workflow_runtime.engine.run.execution import Execution

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_idle_waiters_leave_no_task_timer_or_execution(until: Callable[..., Any]) -> None:
    async def wait(run_context: RunContext) -> Any:
        return await run_context.receive("t", timeout=3600)

    workflow = Workflow(name="w", steps=[Step(name="a", executor=wait)], db=InMemoryDb(), evict_after=0.0)
    loop: Any = asyncio.get_running_loop()
    before = len(asyncio.all_tasks())
    for number in range(20):
        assert (await workflow.arun("x", run_id=f"idle-{number}")).is_paused
    await until(lambda: len(asyncio.all_tasks()) == before)
    await until(lambda: not [timer for timer in loop._scheduled if not timer.cancelled()])
    gc.collect()
    assert not [item for item in gc.get_objects() if type(item) is Execution and item.id.startswith("idle-")]
    await workflow.asend("idle-7", "t", "still there")
    assert (await workflow.acontinue_run(run_id="idle-7")).content == "still there"
