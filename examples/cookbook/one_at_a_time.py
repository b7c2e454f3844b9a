"""Let the runs of a session queue instead of running at once."""

from __future__ import annotations

import asyncio

from workflow_runtime import InMemoryDb, StepInput, Workflow

log: list[str] = []


async def work(step_input: StepInput) -> None:
    log.append(f"{step_input.input} begins")
    await asyncio.sleep(0.01)
    log.append(f"{step_input.input} ends")


async def main() -> None:
    workflow = Workflow(steps=[work], db=InMemoryDb(), session_id="s", session_policy="queue")
    await asyncio.gather(workflow.arun("a"), workflow.arun("b"))
    print(all(log[n].split()[0] == log[n + 1].split()[0] for n in (0, 2)))


asyncio.run(main())

# prints:
# True
