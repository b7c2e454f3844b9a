"""Three ways to end a run early: by its id, by leaving its stream, and by a time limit.

In each case the run is stored with its finished steps, and no task is left running.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from workflow_runtime import (
    RunStatus,
    StepContentEvent,
    StepStartedEvent,
    StepTimeoutError,
    Workflow,
    WorkflowCancelledEvent,
)


def prepare() -> str:
    return "prepared"


async def wait_for_ever() -> None:
    await asyncio.sleep(3600)


async def count() -> AsyncIterator[str]:
    for number in range(1_000_000):
        yield f"{number} "
        await asyncio.sleep(0)


async def by_id(db: str) -> None:
    workflow = Workflow(name="By id", steps=[prepare, wait_for_ever], db=db)
    async for event in workflow.arun(stream=True, stream_events=True):
        if isinstance(event, StepStartedEvent) and event.step_name == "wait_for_ever":
            assert event.run_id is not None
            workflow.cancel_run(event.run_id)  # from any task, thread or, with a shared database, process
        if isinstance(event, WorkflowCancelledEvent):
            stored = await workflow.aget_run_output(event.run_id or "")
            assert stored is not None
            print(f"by id: {stored.status.value}, finished steps {[step.step_name for step in stored.step_results]}")


async def by_leaving(db: str) -> None:
    workflow = Workflow(name="By leaving", steps=[count], db=db)
    async with workflow.arun(stream=True) as stream:  # leaving the block waits until the run has ended
        async for event in stream:
            if isinstance(event, StepContentEvent) and event.delta == "10 ":
                break
    stored = await workflow.aget_run_output(stream.run_id)
    assert stored is not None
    partial = stored.step_results[0]
    print(f"by leaving: {stored.status.value}, the step kept {partial.content[:12]!r}..., success={partial.success}")


async def by_timeout(db: str) -> None:
    workflow = Workflow(name="By time", steps=[prepare, wait_for_ever], db=db, run_timeout=0.1)
    try:
        await workflow.arun()
    except StepTimeoutError as error:
        print(f"by time: {error}")
    stored = await workflow.aget_last_run_output()
    assert stored is not None
    assert stored.status is RunStatus.error


async def main() -> None:
    db = "sqlite:///cancellation.db"
    await by_id(db)
    await by_leaving(db)
    await by_timeout(db)
    print(f"tasks left: {len(asyncio.all_tasks()) - 1}")


if __name__ == "__main__":
    asyncio.run(main())
