"""A form that nobody could fill in is refused when the workflow is built, or by ``ask``, with what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, RootModel

from workflow_runtime import (
    BuildError,
    HumanReview,
    InMemoryDb,
    InputError,
    Router,
    RunContext,
    Step,
    UserInputField,
    Workflow,
)

pytestmark = pytest.mark.anyio


@dataclass
class Place:
    row: int


class Numbers(RootModel[list[int]]):
    """No fields."""


class Tree(BaseModel):
    """Its JSON Schema is a reference."""

    name: str
    children: list[Tree] = []


UNUSABLE: dict[str, tuple[Any, str]] = {
    "dataclass": (Place, "must be a pydantic model or a list of UserInputField"),
    "alias of a type": (list[str], "must be a pydantic model or a list of UserInputField"),
    "literal": (Literal["a", "b"], "must be a pydantic model or a list of UserInputField"),
    "number": (5, "5 must be a pydantic model or a list of UserInputField"),
    "text": ("days", "'days' must be a pydantic model or a list of UserInputField"),
    "one field": ({"name": "days"}, "must be a pydantic model or a list of UserInputField"),
    "names": (["days"], r"'days' in \['days'\] must be a UserInputField"),
    "no name": ([{"field_type": "int"}], "is no UserInputField: .*name"),
    "no fields": (Numbers, "Numbers is one array and has no fields"),
    "one name twice": ([UserInputField("days"), UserInputField("days")], "two fields have one name: days, days"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_an_unusable_form_is_refused(kind: str) -> None:
    schema, message = UNUSABLE[kind]

    async def ask(run_context: RunContext) -> None:
        await run_context.ask("?", schema)

    review = HumanReview(requires_user_input=True, user_input_schema=schema)
    with pytest.raises(BuildError, match=f"Step 'a': user_input_schema: .*{message}"):
        Step("a", executor=ask, requires_user_input=True, user_input_schema=schema)
    with pytest.raises(BuildError, match=f"Step 'a': user_input_schema: .*{message}"):
        Step("a", executor=ask, human_review=review)
    with pytest.raises(BuildError, match=f"Router 'r': user_input_schema: .*{message}"):
        Router(name="r", choices=[Step("a", executor=ask)], human_review=review)
    with pytest.raises(InputError, match=rf"0\.ask: ask\(\): schema: .*{message}.*, or one of str, int"):
        await Workflow(name="w", steps=[ask], db=InMemoryDb()).arun()


async def test_a_form_of_a_recursive_model_has_its_fields() -> None:
    def plant() -> str:
        return "planted"

    step = Step("plant", executor=plant, requires_user_input=True, user_input_schema=Tree)
    (asked,) = (await Workflow(name="w", steps=[step]).arun()).active_step_requirements
    assert [(field.name, field.required) for field in asked.user_input_schema or ()] == [
        ("name", True),
        ("children", False),
    ]


async def test_a_whole_number_for_a_float_is_a_float() -> None:
    async def ask(run_context: RunContext) -> Any:
        return await run_context.ask("How much?", float)

    workflow = Workflow(name="w", steps=[ask])
    paused = await workflow.arun()
    paused.active_step_requirements[0].set_user_input(value=3)
    content = (await workflow.acontinue_run(paused)).content
    assert (content, type(content)) == (3.0, float)
