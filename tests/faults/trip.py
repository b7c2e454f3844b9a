"""A run that gives up parts of itself, then fails, and compensates what it had completed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio

from workflow_runtime import Condition, Parallel, RunContext, Step, StepInput, StepOutput, Steps, Workflow
from workflow_runtime.storage.base import BaseDb
from workflow_runtime.storage.registry import open_url

from .mail import kill_at_write
from .workload import end_lease

__all__ = ["COMPENSATED", "build", "travel"]

COMPENSATED = [
    "1.maybe/if.0.b",
    "2.race/0.loser/1.slow",
    "2.race/0.loser/0.c",
    "5.last",
    "3.nested/0.d",
    "0.a",
]
"""The steps in the order in which they are undone: those of the parts that are given up on the way, then all others."""


class Sold(RuntimeError):
    pass


def build(db: BaseDb, effects: Path, durability: str = "async", *, function: bool = False) -> Workflow:
    """Each start of a step and of a compensation is a line of ``effects``. ``function``: the workflow is one."""

    def note(text: str) -> None:
        with effects.open("ab", buffering=0) as file:
            file.write(f"{text}\n".encode())

    def step(name: str, **options: Any) -> Step:
        async def work(run_context: RunContext) -> str:
            note(f"do {run_context.path}")
            return name

        return Step(name=name, executor=work, compensate=undo, **options)

    async def undo(step_output: StepOutput, run_context: RunContext) -> None:
        note(f"undo {run_context.path.partition('!')[0]}")
        run_context.session_state.setdefault("undone", []).append(step_output.content)
        assert await run_context.once("refund", lambda: step_output.content) == step_output.content

    async def slow(step_input: StepInput, run_context: RunContext) -> None:
        note(f"do {run_context.path}")
        await anyio.sleep_forever()

    async def quick(step_input: StepInput) -> str:
        while "do 2.race/0.loser/1.slow" not in effects.read_text():
            await anyio.sleep(0.001)
        return "quick"

    async def sold_out(step_input: StepInput) -> None:
        raise Sold("no seats left")

    async def fragile(run_context: RunContext) -> None:
        note(f"do {run_context.path}")
        raise Sold("no window left")

    async def handle(step_input: StepInput, run_context: RunContext) -> str:
        note(f"do {run_context.path}")
        assert step_input.failure is not None
        return f"{step_input.failure.error_type}: {step_input.failure.error}"

    async def trip(run_context: RunContext) -> None:
        for name in ("a", "b"):
            made = step(name)
            await run_context.step(name, made.executor, compensate=made.compensate)
        await run_context.step("sold_out", sold_out)

    steps: Any = [
        step("a"),
        Condition([step("b"), sold_out], name="maybe", on_error="skip"),
        Parallel(
            Steps(name="loser", steps=[step("c"), Step(name="slow", executor=slow, compensate_running=undo)]),
            quick,
            wait_for="first",
            name="race",
        ),
        Step(name="nested", workflow=Workflow(name="inner", steps=[step("d")])),
        Step(name="fragile", executor=fragile, on_error=handle),
        step("last"),
        sold_out,
    ]
    return Workflow(name="trip", db=db, durability=durability, store_events=True, steps=trip if function else steps)


async def travel(url: str, effects: Path, write: int, durability: str, *, after: bool, function: bool) -> None:
    """Start the run or go on with it, and wait for its end. Killed before, or after, this write."""
    db = open_url(url)
    kill_at_write(db, write, after=after)
    workflow = build(db, effects, durability, function=function)
    row = await db.load_run("r1")
    if row is None:
        await workflow.arun("x", run_id="r1", session_id="s", background=True)
    elif not row.status.is_final:
        await end_lease(db, "r1")
        assert await workflow.recover() == ["r1"]
    while not (found := await workflow.aget_run("r1")) or not found.status.is_final:
        await db.changed("r1", seen=found.last_seq if found else 0, timeout=0.1)
    await db.aclose()
