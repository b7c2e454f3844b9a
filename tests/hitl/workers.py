"""Workflows that pause, and processes of their own that run and continue them.

Every step's body appends its name to a file, so that what really ran is known whatever the database says.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel, model_validator

from workflow_runtime import AlreadyAnswered, Parallel, Retry, RunContext, RunNotPaused, Step, Workflow
from workflow_runtime.storage.registry import open_url

__all__ = ["ANSWERS", "build", "lines", "start"]

ROOT = Path(__file__).resolve().parents[2]
ANSWERS: dict[str, dict[str, Any]] = {"confirmation": {"confirmed": True}, "ask": {"user_input": {"value": 3}}}


class Trip(BaseModel):
    days: int
    nights: int

    @model_validator(mode="after")
    def fits(self) -> Trip:
        if self.nights > self.days:
            raise ValueError("more nights than days")
        return self


def build(url: str, effects: str, kind: str, **options: Any) -> Workflow:
    """``kind``: "gate" has a step that waits for a yes, "ask" one that asks in its middle, "both" one of each at once;
    "retry" one that fails, asks when it is tried again, and fails behind its question; "trip" one that asks by a model."""

    def note(name: str) -> str:
        with open(effects, "ab", buffering=0) as file:
            file.write(f"{name}\n".encode())
        return name

    async def asks(run_context: RunContext) -> str:
        note("entered")
        drawn = await run_context.once("draw", lambda: note("drawn"))
        count = await run_context.ask("How many?", int)
        return f"{drawn} {note('asked')} {count}"

    async def asks_when_tried_again(run_context: RunContext) -> str:
        note(f"attempt{run_context.attempt}")
        if run_context.attempt > 1:
            count = await run_context.ask("How many?", int)
            if run_context.attempt > 2:
                return f"{count}"
        raise ConnectionError(f"in attempt {run_context.attempt}")

    async def asks_by_a_model(run_context: RunContext) -> str:
        note("entered")
        return str(await run_context.ask("When?", Trip))

    trip = Step(name="trip", executor=asks_by_a_model)
    retry = Step(name="retry", executor=asks_when_tried_again, retry=Retry(attempts=3, delay=0.001))
    gate = Step(name="gate", executor=lambda: note("gate"), requires_confirmation=True)
    ask = Step(name="ask", executor=asks)
    middle: dict[str, Any] = {
        "gate": gate,
        "ask": ask,
        "both": Parallel(gate, ask, name="both"),
        "retry": retry,
        "trip": trip,
    }
    first, last = Step(name="first", executor=lambda: note("first")), Step(name="last", executor=lambda: note("last"))
    steps = [first, middle[kind], last]
    return Workflow(name="w", steps=steps, db=open_url(url), store_events=True, **options)


def lines(effects: Path) -> list[str]:
    """What has run, sorted."""
    return sorted(effects.read_text().split()) if effects.exists() else []


# -- what a process does -------------------------------------------------------------------------------------------------


def hold(url: str, effects: str, kind: str, run_id: str) -> None:
    """Run up to the pause, say so, and stay until killed."""

    async def main() -> None:
        output = await build(url, effects, kind).arun("x", run_id=run_id)
        print(output.status.value, flush=True)
        await anyio.sleep_forever()

    anyio.run(main)


def go_on(url: str, effects: str, kind: str, run_id: str, calls: str) -> None:
    """Wait for a line, then continue the run ``calls`` times at once; print what came of each."""

    async def main() -> None:
        workflow = build(url, effects, kind)
        paused = await workflow.aget_run_output(run_id)
        assert paused is not None
        found: list[str] = []

        async def once() -> None:
            answered = [item for item in paused.active_step_requirements if item.answered_at is None]
            for item in answered:
                item.answer(ANSWERS[item.kind])
            try:
                output = await workflow.acontinue_run(run_id=run_id, step_requirements=answered)
                found.append(output.status.value)
            except (RunNotPaused, AlreadyAnswered) as error:
                found.append(type(error).__name__)

        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        async with anyio.create_task_group() as tasks:
            for _ in range(int(calls)):
                tasks.start_soon(once)
        print(json.dumps(found), flush=True)
        assert workflow.db is not None
        await workflow.db.aclose()

    anyio.run(main)


def answer(url: str, effects: str, kind: str, run_id: str, *given: str) -> None:
    """Continue the run with each of the answers (JSON) in turn; print what came of each."""

    async def main() -> None:
        workflow = build(url, effects, kind)
        found: list[str] = []
        for text in given:
            (item,) = await workflow.alist_pending()
            item.answer(json.loads(text))
            try:
                found.append((await workflow.acontinue_run(run_id=run_id, step_requirements=[item])).status.value)
            except ValueError as error:
                found.append(str(error))
        print(json.dumps(found), flush=True)
        assert workflow.db is not None
        await workflow.db.aclose()

    anyio.run(main)


def start(job: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that does ``job``, one of the functions above."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tests.hitl.workers as w; w.{job}(*sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
