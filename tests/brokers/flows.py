"""Workflows for workers in processes of their own. What their steps do is seen in a directory that the test names."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from workflow_runtime import HumanReview, Limit, RunContext, Step, StepInput, Workflow


def here() -> Path:
    return Path(os.environ["POOL_DIRECTORY"])


def note(text: str) -> None:
    """One line in one write: many processes write here."""
    with (here() / "bodies").open("ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


async def _body(run_context: RunContext, name: str) -> str:
    note(f"{run_context.run_id} {name}")
    await anyio.sleep(0.005)
    return name


async def one(step_input: StepInput, run_context: RunContext) -> str:
    return await _body(run_context, "one")


async def two(step_input: StepInput, run_context: RunContext) -> str:
    return await _body(run_context, "two")


async def three(step_input: StepInput, run_context: RunContext) -> str:
    return await _body(run_context, "three")


async def gate(step_input: StepInput, run_context: RunContext) -> str:
    """Waits for the file "open"."""
    note(f"{run_context.run_id} gate {os.getpid()}")
    while not (here() / "open").exists():
        await anyio.sleep(0.02)
    return "passed"


async def talk(step_input: StepInput) -> AsyncIterator[str]:
    """Says a word for each file that the test makes, so that the test has each before the next is said."""
    for number in range(5):
        while not (here() / f"say{number}").exists():
            await anyio.sleep(0.005)
        yield f"word{number} "


pool = Workflow(name="pool", steps=[one, two, three], lease=2.0)
gated = Workflow(name="gated", steps=[one, Step("gate", executor=gate)], lease=2.0)
talking = Workflow(name="talking", steps=[talk], lease=2.0)
asking = Workflow(
    name="asking",
    steps=[Step("ask", executor=one, human_review=HumanReview(requires_confirmation=True)), two],
    lease=2.0,
)


async def counted(step_input: StepInput, run_context: RunContext) -> str:
    """Says when it begins and when it ends; the file has both in their order. Waits for the file "open"."""
    note(f"begin {run_context.user_id} {run_context.run_id}")
    while not (here() / "open").exists():
        await anyio.sleep(0.02)
    await anyio.sleep(0.02)
    note(f"end {run_context.user_id} {run_context.run_id}")
    return "counted"


limited = Workflow(
    name="limited",
    steps=[counted],
    lease=2.0,
    limits=[Limit(key="user_id", concurrency=2)],
)
