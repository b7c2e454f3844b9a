"""Continue without an answer after a deadline."""

from __future__ import annotations

import anyio

from workflow_runtime import HumanReview, Runtime, Step, StepInput, Workflow
from workflow_runtime.testing import FakeClock


def send(step_input: StepInput) -> str:
    return f"sent {step_input.input}"


clock = FakeClock()  # in a service: the machine's
review = HumanReview(requires_confirmation=True, timeout=24 * 3600, on_timeout="skip")
workflow = Workflow(
    name="News", steps=[Step("send", executor=send, human_review=review)], db="sqlite:///runs.db", clock=clock
)


async def main() -> None:
    async with Runtime(workflow):
        paused = await workflow.arun("the news", run_id="news-1")
        print(paused.status.value)
        await clock.wait_sleeping()
        clock.advance(25 * 3600)
        async for event in workflow.subscribe("news-1"):
            if event.event == "WorkflowCompleted":
                break
    output = await workflow.aget_run("news-1")
    assert output is not None
    print(output.status.value, output.step_results[0].content)


anyio.run(main)

# prints:
# PAUSED
# COMPLETED Step send skipped: nobody answered in time
