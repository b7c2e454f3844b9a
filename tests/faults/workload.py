"""The workflow that the fault tests kill: loops, parallel branches, a nested workflow, session state, text, side effects.

Every step's body appends its path to a file, so that what really ran is known whatever the database says.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import anyio

from workflow_runtime import (
    Condition,
    Loop,
    Parallel,
    RunContext,
    Step,
    StepInput,
    Workflow,
)
from workflow_runtime.storage.base import BaseDb, Fence

__all__ = ["build", "end_lease", "executions", "raced", "talking"]


async def end_lease(db: BaseDb, run_id: str) -> None:
    """Let the lease of a run whose process died run out now."""
    row = await db.load_run(run_id)
    assert row is not None
    await db.renew([(Fence(run_id=run_id, attempt=row.attempt, owner=row.owner), 0.0)])


def build(db: Any, effects: Path, durability: str = "async", lease: float = 15.0) -> Workflow:
    """The workload on ``db``; each step's execution becomes a line of ``effects``."""

    def done(context: RunContext) -> None:
        with open(effects, "ab", buffering=0) as file:
            file.write(f"{context.path}\n".encode())

    def draw(context: RunContext) -> str:
        with open(effects, "ab", buffering=0) as file:
            file.write(f"{context.path}!once:draw\n".encode())
        return "drawn"

    async def begin(step_input: StepInput, run_context: RunContext) -> str:
        done(run_context)
        run_context.session_state["begun"] = True
        return f"begin {step_input.input}"

    async def write(step_input: StepInput, run_context: RunContext) -> Any:
        done(run_context)
        for word in ("one ", "two ", "three"):
            await anyio.lowlevel.checkpoint()
            yield word

    async def count(step_input: StepInput, run_context: RunContext) -> int:
        done(run_context)
        await anyio.lowlevel.checkpoint()
        run_context.session_state["count"] = run_context.session_state.get("count", 0) + 1
        return int(run_context.session_state["count"])

    def branch(name: str) -> Any:
        async def work(step_input: StepInput, run_context: RunContext) -> dict[str, Any]:
            done(run_context)
            await anyio.lowlevel.checkpoint()
            run_context.session_state[name] = len(name)
            return {"branch": name, "saw": step_input.previous_step_content}

        return work

    async def memo(step_input: StepInput, run_context: RunContext) -> Any:
        done(run_context)
        first = await run_context.once("draw", lambda: draw(run_context))
        return [first, run_context.idempotency_key.split(":")[1]]

    inner = Workflow(
        name="inner",
        steps=[Step("inner_a", executor=branch("inner_a")), Step("inner_b", executor=memo)],
    )
    return Workflow(
        name="faulty",
        db=db,
        durability=durability,
        lease=lease,
        store_events=True,
        steps=[
            Step("begin", executor=begin),
            Step("write", executor=write),
            Loop([Step("count", executor=count)], name="loop", max_iterations=5),
            Parallel(
                Step("left", executor=branch("left")),
                Loop([Step("mid", executor=branch("mid"))], name="midloop", max_iterations=2),
                Step("nested", workflow=inner),
                name="par",
            ),
            Condition([Step("yes", executor=branch("yes"))], evaluator=lambda step_input: True, name="cond"),
            Step("end", executor=memo),
        ],
    )


def talking(db: Any, lease: float) -> Workflow:
    """A fast stream of about 500 events: text, also of two branches at once, between short steps."""

    async def talk(step_input: StepInput) -> Any:
        for number in range(100):
            await anyio.sleep(0.002)  # what is generated takes time, so that a kill falls into it
            yield f"{number} "

    async def note(step_input: StepInput) -> str:
        return "noted"

    return Workflow(
        name="talking",
        db=db,
        lease=lease,
        steps=[
            Step("first", executor=talk),
            Step("note", executor=note),
            Parallel(Step("left", executor=talk), Step("right", executor=talk), name="both"),
            Loop([Step("again", executor=note)], name="rounds", max_iterations=3),
            Step("last", executor=talk),
        ],
    )


def raced(db: Any, effects: Path, evict_after: float = 300.0) -> Workflow:
    """Eight short steps; the third asks a person. Each start of a step, and each answer, is a line of ``effects``."""

    def note(context: RunContext, text: str = "") -> None:
        with open(effects, "ab", buffering=0) as file:
            file.write(f"{context.path}{text}\n".encode())

    async def work(run_context: RunContext) -> None:
        note(run_context)
        await anyio.sleep(0.001)

    async def ask(run_context: RunContext) -> str:
        note(run_context)
        answer = await run_context.ask("Go on?", bool)
        note(run_context, f" {answer}")
        return str(answer)

    return Workflow(
        name="raced",
        db=db,
        evict_after=evict_after,
        steps=[
            Step("one", executor=work),
            Step("two", executor=work),
            Step("ask", executor=ask),
            Loop([Step("round", executor=work)], name="loop", max_iterations=3),
            Parallel(Step("left", executor=work), Step("right", executor=work), name="both"),
        ],
    )


def executions(effects: Path) -> dict[str, int]:
    """How often each step's body was entered."""
    found: dict[str, int] = {}
    for line in effects.read_text().splitlines() if effects.exists() else ():
        found[line] = found.get(line, 0) + 1
    return found


def kill_at(workflow: Workflow, seq: int, turns: int = 0) -> None:
    """SIGKILL this process the moment that it publishes event ``seq``, or so many turns of its event loop later."""
    definition = workflow.definition()

    def count_down(left: int) -> None:
        if left == 0:
            os.kill(os.getpid(), 9)
        asyncio.get_running_loop().call_soon(count_down, left - 1)

    def observe(run: Any) -> Any:
        def look(event: Any) -> None:
            if event.seq == seq:
                count_down(turns)

        return look

    import msgspec

    object.__setattr__(
        workflow, "_definition", msgspec.structs.replace(definition, observers=(*definition.observers, observe))
    )
