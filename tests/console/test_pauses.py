"""A paused run is answered where it is shown, and goes on in the same view."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from pydantic import BaseModel, Field, field_validator
from rich.console import Console

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    Parallel,
    Router,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    UserInputField,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.console.response import respond
from workflow_runtime.testing import Reply, ScriptedAgent

from .people import Interrupted, Left, Person
from .streams import recording

pytestmark = pytest.mark.anyio


async def work(step_input: StepInput) -> str:
    return f"worked on {step_input.input}"


async def got(step_input: StepInput) -> Any:
    return step_input.additional_data


async def show(workflow: Workflow, person: Person, **options: Any) -> tuple[WorkflowRunOutput, str]:
    """The output, and everything that was drawn."""
    console: Console = recording(80)
    with anyio.fail_after(60):
        output = await respond(workflow, "cats", console=console, prompter=person, **options)
    return output, console.export_text()


def asking(**guards: Any) -> Workflow:
    return Workflow(name="W", steps=[Step(name="publish", executor=got, **guards)])


async def test_yes_lets_the_step_run_and_the_view_goes_on() -> None:
    person = Person("what?", "y")
    output, drawn = await show(asking(requires_confirmation=True, confirmation_message="Publish it?"), person)
    assert output.status == RunStatus.completed
    assert person.refused == ["type y (yes), n (no)"]
    assert (
        drawn.index("Publish it?") < drawn.index("publish: yes") < drawn.index("✔ publish") < drawn.index("Completed")
    )


async def test_no_with_a_reason_skips_the_step_and_says_so() -> None:
    output, drawn = await show(asking(requires_confirmation=True), Person("n", "not on a Friday"))
    assert output.status == RunStatus.completed
    assert "publish: no: not on a Friday" in drawn
    assert "⊘ publish  rejected" in drawn
    assert output.step_results[0].error == "not on a Friday"


async def test_a_form_is_filled_field_by_field_and_checked_at_once() -> None:
    fields = [
        UserInputField(name="copies", field_type="int", value=2),
        UserInputField(name="size", allowed_values=["A4", "A3"]),
        UserInputField(name="rush", field_type="bool", required=False),
    ]
    person = Person("many", "5", "A3", "")
    output, drawn = await show(asking(requires_user_input=True, user_input_schema=fields), person)
    assert output.content == {"user_input": {"copies": 5, "size": "A3"}}
    assert person.defaults == ["2", "", ""]
    assert "whole number" in person.refused[0]
    assert "one of A4, A3" in drawn


class Address(BaseModel):
    street: str
    zip: str = Field(pattern=r"^\d{5}$")


class Order(BaseModel):
    copies: int = Field(ge=1, le=5, description="how many to print")
    rush: bool = False
    address: Address


async def test_a_model_is_filled_by_its_parts_and_what_it_demands_is_checked_at_once() -> None:
    person = Person("9", "2", "", "Main [b]street[/b]", "123", "12345")
    output, drawn = await show(asking(requires_user_input=True, user_input_schema=Order), person)
    address = {"street": "Main [b]street[/b]", "zip": "12345"}
    assert output.content == {"user_input": {"copies": 2, "rush": False, "address": address}}
    assert [text.split(",")[0] for text in person.refused] == [
        "Field 'copies' must be at most 5",
        "Field 'address.zip' value '123' does not match the pattern '^\\d{5}$'",
    ]
    assert "copies  whole number, at least 1, at most 5  how many to print" in drawn
    assert person.defaults == ["", "no", "", ""]


async def test_a_model_that_is_asked_for_in_the_middle_of_a_step_is_filled_alike() -> None:
    async def order(step_input: StepInput, run_context: RunContext) -> str:
        found = await run_context.ask("Where to?", schema=Address)
        return f"{type(found).__name__} {found.zip}"

    person = Person("Main", "x", "12345")
    output, _ = await show(Workflow(name="W", steps=[Step(name="order", executor=order)], db=InMemoryDb()), person)
    assert output.content == "Address 12345"
    assert len(person.refused) == 1


async def test_without_a_schema_names_and_values_are_asked_for() -> None:
    person = Person("nothing", "colour = red", "", "")
    output, _ = await show(asking(requires_user_input=True), person)
    assert output.content == {"user_input": {"colour": "red"}}


async def test_a_route_is_chosen_from_those_that_are_offered() -> None:
    choices = [Step(name="mail", executor=work), Step(name="fax", executor=work)]
    way = Router(choices, name="way", requires_user_input=True, allow_multiple_selections=True)
    output, drawn = await show(Workflow(name="W", steps=[way]), Person("3", "2,mail"))
    assert [step.step_name for step in output.step_results[0].steps or ()] == ["fax", "mail"]
    assert "1. mail" in drawn


async def test_an_output_is_edited_before_it_counts() -> None:
    workflow = Workflow(name="W", steps=[Step(name="draft", executor=work, requires_output_review=True)])
    person = Person("e", edited="better")
    output, drawn = await show(workflow, person)
    assert output.content == "better"
    assert person.defaults[-1] == "worked on cats"
    assert drawn.count("worked on cats") == 1


async def test_data_is_edited_as_json_and_wrong_json_is_asked_again() -> None:
    async def data(step_input: StepInput) -> dict[str, int]:
        return {"pages": 3}

    workflow = Workflow(name="W", steps=[Step(name="draft", executor=data, requires_output_review=True)])
    person = Person("e", "a", edited="{broken")
    output, _ = await show(workflow, person)
    assert output.status == RunStatus.completed
    assert "no JSON" in person.asked[-1]


async def test_a_rejected_output_is_made_again_with_the_feedback() -> None:
    workflow = Workflow(
        name="W", steps=[Step(name="draft", executor=got, requires_output_review=True, on_reject="retry")]
    )
    output, drawn = await show(workflow, Person("r", "longer", "a"))
    assert output.content["rejection_feedback"] == "longer"
    assert "round 2" in drawn
    assert "rejected 1 time of 3" in drawn


@pytest.mark.parametrize(("letter", "success"), [("r", True), ("s", False)])
async def test_a_failed_step_is_retried_or_skipped_as_the_person_says(letter: str, success: bool) -> None:
    calls: list[int] = []

    async def flaky(step_input: StepInput) -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("no [route] to host")
        return "sent"

    output, drawn = await show(
        Workflow(name="W", steps=[Step(name="send", executor=flaky, on_error="pause")]), Person(letter)
    )
    assert "ConnectionError: no [route] to host" in drawn
    assert output.step_results[0].success is success


async def test_an_agents_tool_is_allowed_or_refused() -> None:
    tool = {"tool_name": "delete_all", "tool_args": {"x": 1}}
    agent = ScriptedAgent(
        "bot", Reply(asks=[{"id": "t1", "tool_execution": tool}], then=lambda answered: f"got {answered}")
    )
    output, drawn = await show(Workflow(name="W", steps=[Step(name="act", agent=agent)]), Person("n", "too much"))
    assert "delete_all" in drawn
    assert "too much" in output.content
    assert "act: delete_all: no" in drawn


async def test_what_an_agent_offers_is_chosen_from() -> None:
    hues = {"question": "Which?", "options": [{"label": "red"}, {"label": "blue"}]}
    sizes = {"question": "Sizes?", "options": [{"label": "S"}, {"label": "M"}], "multi_select": True}
    asks = [{"id": "t1", "user_feedback_schema": [hues, sizes]}]
    agent = ScriptedAgent("bot", Reply(asks=asks, then=lambda answered: f"got {answered[0]['user_feedback']}"))
    person = Person("green", "blue", "S, M")
    output, _ = await show(Workflow(name="W", steps=[Step(name="act", agent=agent)]), person)
    assert "one of red, blue" in person.asked[0]
    assert "some of S, M, at least 1" in person.asked[1]
    assert "at " not in person.asked[0]
    assert len(person.refused) == 1
    assert output.content == "got {'Which?': ['blue'], 'Sizes?': ['S', 'M']}"


async def test_several_questions_of_one_pause_are_asked_one_after_the_other(db: BaseDb) -> None:
    branches = Parallel(
        *(Step(name=name, executor=work, requires_confirmation=True) for name in ("a", "b")), name="both"
    )
    output, drawn = await show(Workflow(name="W", steps=[branches], db=db), Person("y", "y"))
    assert output.status == RunStatus.completed
    assert "(1 of 2)" in drawn
    assert "(2 of 2)" in drawn


async def test_ctrl_d_leaves_the_run_paused_and_says_how_to_continue(db: BaseDb) -> None:
    workflow = asking(requires_confirmation=True)
    workflow.db = db
    output, drawn = await show(workflow, Person(Left()))
    assert output.is_paused
    assert "wfr answer" in drawn
    stored = await workflow.aget_run(str(output.run_id))
    assert stored is not None
    assert stored.is_paused


async def test_what_was_answered_before_ctrl_d_is_kept(db: BaseDb) -> None:
    branches = Parallel(
        *(Step(name=name, executor=work, requires_confirmation=True) for name in ("a", "b")), name="both"
    )
    workflow = Workflow(name="W", steps=[branches], db=db)
    output, _ = await show(workflow, Person("y", Left(), Left()))
    assert output.is_paused
    stored = await workflow.aget_run(str(output.run_id))
    assert stored is not None
    assert [item.step_name for item in stored.active_step_requirements] == ["b"]


async def test_ctrl_c_at_a_question_cancels_the_run(db: BaseDb) -> None:
    workflow = asking(requires_confirmation=True)
    workflow.db = db
    output, drawn = await show(workflow, Person(Interrupted()))
    assert "Cancelled" in drawn
    stored = await workflow.aget_run(str(output.run_id))
    assert stored is not None
    assert stored.status == RunStatus.cancelled


async def test_an_answer_from_elsewhere_puts_the_question_away_and_the_view_follows(db: BaseDb) -> None:
    workflow = asking(requires_confirmation=True)
    workflow.db = db
    workflow.store_events = True
    asked = anyio.Event()

    class Slow(Person):
        async def line(self, label: str, **options: Any) -> str:
            asked.set()
            await anyio.sleep_forever()
            raise AssertionError

    async with anyio.create_task_group() as tasks:

        async def elsewhere() -> None:
            await asked.wait()
            found = (await workflow.alist_pending())[0]
            found.confirm()
            await workflow.acontinue_run(run_id=found.id.partition(":")[0], step_requirements=[found])

        tasks.start_soon(elsewhere)
        output, drawn = await show(workflow, Slow())
    assert output.status == RunStatus.completed
    assert "answered elsewhere" in drawn
    assert "Completed" in drawn


async def test_not_interactive_asks_nobody() -> None:
    console = recording(80)
    await asking(requires_confirmation=True).aprint_response("cats", console=console, interactive=False)
    assert "publish waits" in console.export_text()


async def test_a_step_that_asks_in_its_middle_is_answered_too() -> None:

    async def order(step_input: StepInput, run_context: RunContext) -> str:
        return f"table for {await run_context.ask('How many?', schema=int)}"

    output, drawn = await show(
        Workflow(name="W", steps=[Step(name="order", executor=order)], db=InMemoryDb()), Person("4")
    )
    assert output.content == "table for 4"
    assert "How many?" in drawn


class Even(BaseModel):
    copies: int

    @field_validator("copies")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


@pytest.mark.parametrize("stored", [True, False])
async def test_what_only_the_model_knows_is_told_and_asked_again(stored: bool) -> None:
    workflow = asking(requires_user_input=True, user_input_schema=Even)
    workflow.db = InMemoryDb() if stored else None
    person = Person("3", "4")
    output, drawn = await show(workflow, person)
    assert output.status == RunStatus.completed
    assert output.content == {"user_input": {"copies": 4}}
    assert "must be even" in drawn
    assert drawn.count("waits for you") == 2
    assert len(person.asked) == 2
