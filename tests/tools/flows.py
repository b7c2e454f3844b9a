"""Workflows that the tests offer as tools."""

from __future__ import annotations

from typing import Any

import anyio
import pydantic

from workflow_runtime import Parallel, RunContext, Step, StepInput, UserInputField, Workflow

__all__ = ["Order", "asking", "began", "ended", "endless", "failing", "shout", "typed"]

began: list[str] = []
ended: list[str] = []


class Order(pydantic.BaseModel):
    item: str
    count: int = 1


def loud(step_input: StepInput, run_context: RunContext) -> str:
    run_context.progress(1, 2, "half way")
    print("this must not get into the protocol")
    return str(step_input.input).upper()


def mark(step_input: StepInput) -> str:
    return f"{step_input.previous_step_content}!"


def shout() -> Workflow:
    return Workflow(name="Shout it", description="Says it loudly", steps=[loud, mark])


def typed() -> Workflow:
    def order(step_input: StepInput) -> dict[str, Any]:
        wanted = step_input.input
        assert isinstance(wanted, Order)
        return {"ordered": wanted.item, "pieces": wanted.count}

    return Workflow(name="typed", steps=[order], input_schema=Order)


def asking() -> Workflow:
    def pay(step_input: StepInput) -> str:
        return "paid"

    def book(step_input: StepInput) -> str:
        given = (step_input.additional_data or {})["user_input"]
        return f"{given['seats']} for {given['name']}"

    fields = [UserInputField(name="seats", field_type="int"), UserInputField(name="name")]
    return Workflow(
        name="asking",
        steps=[
            Parallel(
                Step("pay", executor=pay, requires_confirmation=True, confirmation_message="Pay?"),
                Step("book", executor=book, requires_user_input=True, user_input_schema=fields),
                name="both",
            ),
            Step("sure", executor=mark, requires_confirmation=True, confirmation_message="Sure?"),
        ],
    )


def failing() -> Workflow:
    def fail(step_input: StepInput) -> str:
        raise LookupError("nothing there")

    return Workflow(name="failing", steps=[fail])


def endless() -> Workflow:
    async def wait(step_input: StepInput, run_context: RunContext) -> str:
        began.append(run_context.run_id)
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(run_context.run_id)
        return ""

    return Workflow(name="endless", steps=[wait])
