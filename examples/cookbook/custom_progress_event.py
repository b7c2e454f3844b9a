"""Publish a custom event with its own fields."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from workflow_runtime import CustomEvent, RunContext, StepInput, Workflow


@dataclass(kw_only=True)
class Found(CustomEvent):
    url: str = ""


async def crawl(step_input: StepInput, run_context: RunContext) -> int:
    for page in ("a", "b"):
        run_context.emit(Found(url=f"https://example.org/{page}"))
    return 2


async def main() -> None:
    async for event in Workflow(steps=[crawl]).arun("x", stream=True, stream_events=True):
        if isinstance(event, Found):
            print(event.step_name, event.url)


asyncio.run(main())

# prints:
# crawl https://example.org/a
# crawl https://example.org/b
