"""A run of which one branch is cancelled, and the process that does that and sees the run to its end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import anyio

from workflow_runtime import Parallel, RunContext, RunEnded, Runtime, Step, StepNotRunning, Workflow
from workflow_runtime.storage.base import BaseDb
from workflow_runtime.storage.registry import open_url

from .mail import kill_at_write
from .workload import end_lease

__all__ = ["build", "cancel_a_branch"]


def build(db: BaseDb, effects: Path) -> Workflow:
    """Branch "a" does not end by itself. What was begun is a line of ``effects``."""

    def note(text: str) -> None:
        with effects.open("ab", buffering=0) as file:
            file.write(f"{text}\n".encode())

    async def endless(run_context: RunContext) -> None:
        note("a")
        await anyio.sleep_forever()

    async def other(run_context: RunContext) -> str:
        note("b")
        return "b"

    async def last(run_context: RunContext) -> str:
        note("c")
        return "c"

    parts = Parallel(Step(name="a", executor=endless), Step(name="b", executor=other), name="p")
    return Workflow(name="steered", db=db, steps=[parts, Step(name="c", executor=last)])


async def cancel_a_branch(url: str, effects: Path, write: int, *, after: bool) -> None:
    """Start the run or go on with it, cancel its branch, and wait for its end. Killed before, or after, this write."""
    db = open_url(url)
    kill_at_write(db, write, after=after)
    workflow = build(db, effects)
    row = await db.load_run("r1")
    if row is not None and not row.status.is_final:
        await end_lease(db, "r1")
    async with Runtime(workflow, interval=0.01):
        if row is None:
            await workflow.arun("x", run_id="r1", background=True)
        while not (found := await workflow.aget_run("r1")) or not found.status.is_final:
            with suppress(RunEnded, StepNotRunning):  # it has not begun yet, or it was cancelled before
                await workflow.acancel_step("r1", "0.p/0.a", message_id="m1")
            await db.changed("r1", seen=found.last_seq if found else 0, timeout=0.05)
    await db.aclose()
