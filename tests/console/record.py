"""Records the event streams in ``recorded/``: ``python tests/console/record.py``. The tests only read them.

One JSON object per line: ``at`` is when the event was read, in seconds since the first one; ``event`` is the event as on the
wire, without what the view does not look at (ids that change, outputs that stand in the step's own event already).
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio

from workflow_runtime import (
    Condition,
    Image,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Router,
    RunContext,
    RunMetrics,
    Step,
    StepInput,
    StepOutput,
    Workflow,
)

RECORDED = Path(__file__).parent / "recorded"
_LEFT_OUT = (
    "created_at",
    "workflow_id",
    "step_id",
    "parent_step_id",
    "step_results",
    "all_results",
    "iteration_results",
)

REPORT = """\
# Findings

The *runtime* streams **events** as they happen, and this sentence is long enough to wrap where it is narrow.

- one point with `code`
- another one

```python
def hello() -> str:
    return "hello"
```
"""


TALK = ("another", "branch", "that", "talks", "at", "the", "same", "time", "and", "is", "shown", "beside", "it")


async def research(step_input: StepInput) -> dict[str, Any]:
    await anyio.sleep(0.4)
    return {"topic": step_input.input, "sources": 3}


async def write(step_input: StepInput) -> AsyncIterator[str]:
    for word in REPORT.split(" "):
        await anyio.sleep(0.02)
        yield f"{word} "


async def chat(step_input: StepInput, run_context: RunContext) -> AsyncIterator[str]:
    for position, word in enumerate(TALK):
        if run_context.attempt == 1 and position == 5:
            raise ConnectionError("the line went dead")
        await anyio.sleep(0.05)
        yield f"{word} "


async def index(step_input: StepInput, run_context: RunContext) -> str:
    for done in range(5):
        run_context.progress(done + 1, 5, "files")
        await anyio.sleep(0.2)
    return "5 files"


async def draw(step_input: StepInput) -> StepOutput:
    await anyio.sleep(0.1)
    return StepOutput(
        content=f"page {step_input.input}",
        images=[Image(url=f"https://example.org/{step_input.input}.png")],
        metrics=RunMetrics(input_tokens=100, output_tokens=20, total_tokens=120),
    )


async def quick(step_input: StepInput) -> str:
    await anyio.sleep(0.1)
    return "fine"


async def pay(step_input: StepInput) -> str:
    await anyio.sleep(0.1)
    raise ValueError("the bank said [red]no[/red]\nand hung up")


async def forever(step_input: StepInput) -> AsyncIterator[str]:
    yield "waiting for a train that"
    await anyio.sleep(60)


def workflows() -> dict[str, Workflow]:
    inner = Workflow(
        name="Proofreading", steps=[Step(name="spelling", executor=quick), Step(name="style", executor=quick)]
    )
    branches = Parallel(
        Step(name="write", executor=write),
        Step(name="chat", executor=chat, max_retries=1),
        Step(name="index", executor=index),
        name="drafts",
    )
    everything = [
        research,
        branches,
        Loop([Step(name="polish", executor=quick)], name="refine", max_iterations=2),
        Map(Step(name="draw", executor=draw), over=lambda step_input: [1, 2, 3], name="pages", max_concurrency=2),
        Condition([Step(name="cut", executor=quick)], evaluator=False, else_steps=[Step(name="keep", executor=quick)]),
        Router(
            [Step(name="print", executor=quick), Step(name="mail", executor=quick)],
            lambda step_input: "mail",
            name="way",
        ),
        Step(name="proofread", workflow=inner),
        Step(name="last", executor=write),
    ]
    ask = Step(name="publish", executor=quick, requires_confirmation=True, confirmation_message="Publish it?")
    return {
        "everything": Workflow(name="Publish a report", description="Research, write, publish", steps=everything),
        "fail": Workflow(
            name="Buy",
            steps=[
                research,
                Parallel(Step(name="pay", executor=pay), Step(name="wait", executor=forever), name="both"),
            ],
        ),
        "skip": Workflow(name="Try", steps=[Step(name="pay", executor=pay, on_error="skip", max_retries=1), quick]),
        "pause": Workflow(name="Ask", steps=[research, ask, quick], db=InMemoryDb()),
        "cancel": Workflow(name="Trip", steps=[quick, Step(name="ride", executor=forever), research]),
    }


async def record(name: str, workflow: Workflow) -> None:
    lines: list[str] = []
    stream = workflow.arun("durable workflows", stream=True, stream_events=True)
    began: float | None = None

    def keep(event: Any) -> None:
        nonlocal began
        began = time.monotonic() if began is None else began
        data = {key: value for key, value in event.to_dict().items() if key not in _LEFT_OUT}
        data |= {"run_id": "00_0123456789abcdef", "session_id": "s1"}
        lines.append(json.dumps({"at": round(time.monotonic() - began, 2), "event": data}, ensure_ascii=False))

    try:
        async for event in stream:
            keep(event)
            if name == "cancel" and event.event == "StepContent":
                await workflow.acancel_run(stream.run_id)
    except ValueError:
        pass
    (RECORDED / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


async def main() -> None:
    for name, workflow in workflows().items():
        await record(name, workflow)


if __name__ == "__main__":
    anyio.run(main)
