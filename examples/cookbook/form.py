"""Ask a person for values with a pydantic model; they are validated before the run continues."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from workflow_runtime import Step, StepInput, Workflow


class Trip(BaseModel):
    city: str
    nights: int = Field(ge=1, le=14)


def book(step_input: StepInput) -> str:
    data: Any = step_input.additional_data
    return "{nights} nights in {city}".format(**data["user_input"])


workflow = Workflow(steps=[Step("book", executor=book, requires_user_input=True, user_input_schema=Trip)])
paused = workflow.run("x")
(question,) = paused.step_requirements or []
try:
    question.answer({"user_input": {"city": "Rome", "nights": 99}})
except ValueError as error:
    print(str(error).splitlines()[1].strip())
question.answer({"user_input": {"city": "Rome", "nights": 3}})
print(workflow.continue_run(paused).content)

# prints:
# - Field 'user_input.nights' must be at most 14, got 99
# 3 nights in Rome
