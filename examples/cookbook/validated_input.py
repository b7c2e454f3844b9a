"""Reject invalid input before anything runs."""

from __future__ import annotations

from pydantic import BaseModel

from workflow_runtime import InputError, StepInput, Workflow


class Order(BaseModel):
    item: str
    copies: int = 1


def place(step_input: StepInput) -> str:
    return f"{step_input.input.copies} x {step_input.input.item}"


workflow = Workflow(steps=[place], input_schema=Order)
print(workflow.run({"item": "book", "copies": 2}).content)
try:
    workflow.run({"copies": 2})
except InputError as error:
    print("refused:", *(line.split("[")[0].strip() for line in str(error).splitlines()[1:3]))

# prints:
# 2 x book
# refused: item Field required
