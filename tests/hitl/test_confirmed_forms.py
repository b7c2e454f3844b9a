"""``confirm()`` on a question with a form answers it, or says what does. spec: decisions 5."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from workflow_runtime import (
    BaseDb,
    HumanReview,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    Unanswered,
    UserInputField,
    Workflow,
)


class Trip(BaseModel):
    city: str
    seats: int = 1


class Options(BaseModel):
    fast: bool = True
    seats: int = 2


def asking(db: BaseDb, schema: Any) -> Workflow:
    async def ask(run_context: RunContext) -> Any:
        return await run_context.ask("Go on?", schema)

    return Workflow(name="w", steps=[ask], db=db)


def guarded(db: BaseDb, schema: Any) -> Workflow:
    def show(step_input: StepInput) -> Any:
        return (step_input.additional_data or {}).get("user_input")

    review = HumanReview(requires_user_input=True, user_input_schema=schema)
    return Workflow(name="w", steps=[Step("show", executor=show, human_review=review)], db=db)


FIELDS = [UserInputField(name="city", field_type="str"), UserInputField(name="seats", field_type="int", value=1)]


@pytest.mark.parametrize(
    ("make", "schema", "arguments"),
    [
        (asking, str, "value=..."),
        (asking, Trip, "city=..., seats=..."),
        (guarded, FIELDS, "city=..., seats=..."),
        (guarded, Trip, "city=..., seats=..."),
    ],
)
def test_confirm_is_refused_where_a_form_is_to_be_filled(db: BaseDb, make: Any, schema: Any, arguments: str) -> None:
    workflow = make(db, schema)
    paused = workflow.run("x")
    (question,) = paused.active_step_requirements
    with pytest.raises(ValueError, match="asks for input, and confirm") as refused:
        question.confirm()
    assert f"set_user_input({arguments})" in str(refused.value)
    assert question.confirmed is None
    with pytest.raises(Unanswered):
        workflow.continue_run(paused)
    question.set_user_input(**{"value": "a"} if schema is str else {"city": "Rome"})
    question.confirm()  # of a form that is filled
    assert workflow.continue_run(paused).status is RunStatus.completed


@pytest.mark.parametrize(("schema", "answer"), [(bool, True), (Options, Options())])
def test_confirm_is_a_yes_to_one_bool_and_takes_the_defaults(db: BaseDb, schema: Any, answer: Any) -> None:
    workflow = asking(db, schema)
    paused = workflow.run("x")
    paused.active_step_requirements[0].confirm()
    assert workflow.continue_run(paused).content == answer


def test_confirm_fills_a_guard_of_one_bool(db: BaseDb) -> None:
    workflow = guarded(db, [UserInputField(name="sure", field_type="bool")])
    paused = workflow.run("x")
    paused.active_step_requirements[0].confirm()
    assert workflow.continue_run(paused).content == {"sure": True}


def test_a_question_that_wants_both_is_confirmed_first_and_then_filled(db: BaseDb) -> None:
    def work() -> str:
        return "worked"

    review = HumanReview(requires_confirmation=True, requires_user_input=True, user_input_schema=FIELDS)
    workflow = Workflow(name="w", steps=[Step("work", executor=work, human_review=review)], db=db)
    paused = workflow.run("x")
    (question,) = paused.active_step_requirements
    question.confirm()
    question.set_user_input(city="Rome")
    assert workflow.continue_run(paused).content == "worked"
