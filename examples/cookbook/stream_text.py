"""Stream text while it is generated: each chunk of a generator is an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from workflow_runtime import StepContentEvent, StepInput, Workflow


async def write(step_input: StepInput) -> AsyncIterator[str]:
    for word in ("Streams ", "are ", "events."):
        yield word


async def main() -> None:
    async for event in Workflow(steps=[write]).arun("go", stream=True, stream_events=True):
        if isinstance(event, StepContentEvent):
            print(repr(event.delta))


asyncio.run(main())

# prints:
# 'Streams '
# 'are '
# 'events.'
