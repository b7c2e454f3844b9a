"""Let a failure say whether, and when, it is worth another try."""

from __future__ import annotations

import asyncio

from workflow_runtime import NeverRetry, Retry, RetryAfter, RunContext, Step, StepErrorEvent, StepRetryEvent, Workflow


async def fetch(run_context: RunContext) -> str:
    if run_context.attempt == 1:
        raise RetryAfter(0.01, "429: try again in 10 ms")
    if run_context.attempt == 2:
        raise ConnectionError("reset by peer")
    raise NeverRetry(LookupError("404: no such page"))


async def main() -> None:
    retry = Retry(attempts=9, delay=0.01, when=lambda error: isinstance(error, ConnectionError))
    workflow = Workflow(steps=[Step("fetch", executor=fetch, retry=retry, on_error="skip")])
    async for event in workflow.arun(stream=True, stream_events=True):
        if isinstance(event, (StepRetryEvent, StepErrorEvent)):
            print(event.event, event.error)


asyncio.run(main())

# prints:
# StepRetry 429: try again in 10 ms
# StepRetry reset by peer
# StepError 404: no such page
