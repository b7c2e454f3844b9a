"""A run that receives three messages, and the process that sends them and sees it to its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_runtime import RunContext, Runtime, Step, Workflow
from workflow_runtime.storage.base import BaseDb
from workflow_runtime.storage.registry import open_url

from .workload import end_lease

__all__ = ["build", "exchange"]

_WRITES = ("commit", "send", "claim", "answer")


def build(db: BaseDb, effects: Path) -> Workflow:
    """Two steps that receive from the topics "t" and "u"; what each has received is a line of ``effects``."""

    def note(text: str) -> None:
        with effects.open("ab", buffering=0) as file:
            file.write(f"{text}\n".encode())

    async def two(run_context: RunContext) -> list[Any]:
        found = []
        for _ in range(2):
            found.append(await run_context.receive("t"))
            note(f"two {found[-1]}")
        return found

    async def one(run_context: RunContext) -> list[Any]:
        found = await run_context.receive("t")
        note(f"one {found}")
        return [found, await run_context.inbox("u")]

    return Workflow(
        name="mail", db=db, steps=[Step(name="two", executor=two), Step(name="one", executor=one)], evict_after=0.0
    )


async def exchange(url: str, effects: Path, write: int, *, after: bool) -> None:
    """Start the run or go on with it, send it its messages, and wait for its end. Killed before, or after, this write."""
    db = open_url(url)
    kill_at_write(db, write, after=after)
    workflow = build(db, effects)
    row = await db.load_run("r1")
    if row is not None and not row.status.is_final:
        await end_lease(db, "r1")
    async with Runtime(workflow, interval=0.01):
        if row is None:
            await workflow.arun("x", run_id="r1", background=True)
        for number in range(3):
            await workflow.asend("r1", "t", number, message_id=f"m{number}")
        while not (found := await workflow.aget_run("r1")) or not found.status.is_final:
            await db.changed("r1", seen=found.last_seq if found else 0, timeout=0.1)
    await db.aclose()


def kill_at_write(db: BaseDb, write: int, *, after: bool) -> None:
    count = 0

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            mine = count
            if mine == write and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = await function(*args, **named)
            if mine == write:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in _WRITES:
        setattr(db, name, wrapped(getattr(db, name)))
