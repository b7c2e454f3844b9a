"""A workflow as a step of another: one run, one log, one place to cancel; events have their depth."""

from __future__ import annotations

import asyncio

from workflow_runtime import Parallel, Step, StepInput, Workflow


def split(step_input: StepInput) -> list[str]:
    return str(step_input.input).split()


def count(step_input: StepInput) -> int:
    return len(step_input.previous_step_content)


def longest(step_input: StepInput) -> str:
    return max(str(step_input.input).split(), key=len)


def summary(step_input: StepInput) -> str:
    found = step_input.get_step_content("analysis")
    return f"{found['words']} words, the longest is {found['longest']!r}"


async def main() -> None:
    words = Workflow(name="Count words", steps=[split, count])
    text = Workflow(
        name="Describe text",
        steps=[Parallel(Step("words", workflow=words), longest, name="analysis"), summary],
    )
    stream = text.arun("to be or not to be that is the question", stream=True, stream_events=True)
    async for event in stream:
        print(f"{'    ' * event.nested_depth}{event.event:<26} {event.path}")
    print((await stream.result()).content)


if __name__ == "__main__":
    asyncio.run(main())
