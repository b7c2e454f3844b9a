"""The asynchronous twins: coroutine and generator functions, awaited and streamed."""

import asyncio
from typing import AsyncIterator

from agno.workflow import Condition, Loop, Parallel, Router, Step, StepInput, StepOutput, Workflow


async def fetch(step_input: StepInput) -> StepOutput:
    await asyncio.sleep(0)
    return StepOutput(content=f"fetched {step_input.input}")


async def words(step_input: StepInput) -> AsyncIterator[str]:
    yield "a "
    yield "b"


async def final(step_input: StepInput):
    yield StepOutput(content=f"final {step_input.previous_step_content}")


def plain(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"plain {step_input.previous_step_content}")


async def yes(step_input: StepInput) -> bool:
    return True


async def pick(step_input: StepInput) -> str:
    return "plain"


async def enough(outputs) -> bool:
    return True


workflow = Workflow(
    name="Async",
    steps=[
        fetch,
        words,
        Step(name="final", executor=final),
        Parallel(Step(name="f1", executor=fetch), Step(name="f2", executor=plain), name="both"),
        Condition(name="cond", evaluator=yes, steps=[Step(name="inside", executor=fetch)]),
        Loop(name="loop", steps=[Step(name="again", executor=fetch)], max_iterations=3, end_condition=enough),
        Router(name="route", choices=[Step(name="plain", executor=plain)], selector=pick),
    ],
)


async def main(tape):
    await tape.arun("arun", workflow, input="x")
    await tape.astream("short", workflow, stream_events=False, input="x")
    await tape.astream("full", workflow, input="x")
