"""Workflows that the tests of the command name: ``flows:ask``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
from pydantic import BaseModel, Field

from workflow_runtime import Parallel, Router, RunContext, Step, StepInput, StepOutput, UserInputField, Workflow
from workflow_runtime.testing import Reply, ScriptedAgent


async def shout(step_input: StepInput) -> str:
    return str(step_input.input).upper()


async def repeat(step_input: StepInput) -> Any:
    return {"input": step_input.input, "answer": step_input.additional_data}


async def refuse(step_input: StepInput) -> str:
    raise LookupError("no such [b]page[/b]")


async def talk(step_input: StepInput) -> AsyncIterator[str]:
    for number in range(10_000):
        yield f"word{number} "
        await anyio.sleep(0.02)


def hello() -> Workflow:
    """A function that makes a workflow."""
    return Workflow(name="Hello", steps=[Step(name="shout", executor=shout)])


echo = Workflow(name="Echo", steps=[Step(name="repeat", executor=repeat)])


async def unship(step_output: StepOutput) -> None:
    pass


async def unpay(step_output: StepOutput) -> None:
    raise ConnectionError("the bank is closed")


undone = Workflow(
    name="Undone",
    steps=[
        Step(name="ship", executor=shout, compensate=unship),
        Step(name="pay", executor=shout, compensate=unpay),
        Step(name="refuse", executor=refuse),
    ],
)
broken = Workflow(name="Broken", steps=[Step(name="shout", executor=shout), Step(name="refuse", executor=refuse)])
slow = Workflow(name="Slow", steps=[Step(name="talk", executor=talk)])
ask = Workflow(
    name="Ask",
    steps=[
        Step(name="shout", executor=shout),
        Step(name="publish", executor=repeat, requires_confirmation=True, confirmation_message="Publish it?"),
    ],
)
form = Workflow(
    name="Form",
    steps=[
        Step(
            name="order",
            executor=repeat,
            requires_user_input=True,
            user_input_schema=[
                UserInputField(name="copies", field_type="int"),
                UserInputField(name="size", required=False),
            ],
        )
    ],
)


class Address(BaseModel):
    street: str
    zip: str = Field(pattern=r"^\d{5}$")


class Delivery(BaseModel):
    copies: int = Field(ge=1, le=5)
    address: Address


model = Workflow(
    name="Model", steps=[Step(name="order", executor=repeat, requires_user_input=True, user_input_schema=Delivery)]
)
agent = Workflow(
    name="Agent",
    steps=[
        Step(
            name="act",
            agent=ScriptedAgent(
                "bot",
                Reply(
                    asks=[{"id": "t1", "tool_execution": {"tool_name": "search", "external_execution_required": True}}],
                    then=str,
                ),
            ),
        )
    ],
)
route = Workflow(
    name="Route",
    steps=[
        Router(
            [Step(name="mail", executor=shout), Step(name="fax", executor=shout)], name="way", requires_user_input=True
        )
    ],
)
review = Workflow(
    name="Review", steps=[Step(name="draft", executor=shout, requires_output_review=True, on_reject="retry")]
)


async def wait(run_context: RunContext) -> Any:
    return await run_context.receive("orders", Delivery)


waits = Workflow(name="Waits", steps=[Step(name="wait", executor=wait)])
flaky = Workflow(name="Flaky", steps=[Step(name="send", executor=refuse, on_error="pause")])
both = Workflow(
    name="Both",
    steps=[
        Parallel(*(Step(name=name, executor=shout, requires_confirmation=True) for name in ("a", "b")), name="pair")
    ],
)


async def order(step_input: StepInput, run_context: RunContext) -> str:
    return f"table for {await run_context.ask('How many?', schema=int)}"


middle = Workflow(name="Middle", steps=[Step(name="order", executor=order)])
number = 3
