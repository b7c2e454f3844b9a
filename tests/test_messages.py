"""What the library says when it is used wrongly: each message says what, where, and what to do.

The messages stand in ``messages.txt``, which ``python tests/test_messages.py`` writes anew: read what it changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from workflow_runtime import (
    Condition,
    HumanReview,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Router,
    Step,
    StepInput,
    StepRequirement,
    UserInputField,
    Workflow,
)

RECORDED = Path(__file__).parent / "messages.txt"
CASES: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    CASES[function.__name__] = function
    return function


def work(step_input: StepInput) -> str:
    return "done"


async def slow(step_input: StepInput) -> None:
    await anyio.sleep(60)


def step(name: str = "draft", **options: Any) -> Step:
    return Step(name, executor=work, **options)


def gate(name: str = "pay", **options: Any) -> Step:
    return step(name, requires_confirmation=True, **options)


def shop(*steps: Any, **options: Any) -> Workflow:
    return Workflow(name="Shop", steps=list(steps) or [work], **options)


def stored(*steps: Any, **options: Any) -> Workflow:
    """A workflow that has run as run r1 of session s1."""
    workflow = shop(*steps, db=InMemoryDb(), **options)
    workflow.run("x", run_id="r1", session_id="s1")
    return workflow


def question(*steps: Any) -> StepRequirement:
    return (shop(*steps).run("x").step_requirements or [])[0]


# -- building ----------------------------------------------------------------------------------------------------------


@case
def two_steps_of_one_name() -> None:
    shop(step("b"), Parallel(step("a"), step("a"), name="both"))


@case
def a_parameter_that_nobody_supplies() -> None:
    def save(step_input: StepInput, databse: Any) -> None: ...

    shop(save)


@case
def a_step_with_two_executors() -> None:
    Step("a", executor=work, workflow=shop())


@case
def a_step_without_an_executor() -> None:
    shop(Step("a"))


@case
def something_that_is_no_step() -> None:
    shop(work, 5)


@case
def a_class_among_the_steps() -> None:
    class Thing:
        def __call__(self, step_input: StepInput) -> None: ...

    shop(Thing)


@case
def a_router_without_a_selector() -> None:
    shop(Router([step()], name="way"))


@case
def an_empty_parallel() -> None:
    shop(Parallel(name="both"))


@case
def a_loop_that_never_runs() -> None:
    shop(Loop([step()], name="again", max_iterations=0))


@case
def an_unknown_error_policy() -> None:
    step(on_error="skp")


@case
def an_unknown_rejection_policy() -> None:
    gate(on_reject="els")


@case
def negative_retries() -> None:
    step(max_retries=-1)


@case
def a_timeout_of_nothing() -> None:
    step(timeout=0)


@case
def a_misspelt_database() -> None:
    shop(db="sqllite:///runs.db")


@case
def something_that_is_no_database() -> None:
    shop(db=5)


@case
def an_unknown_durability() -> None:
    Workflow(steps=[work], durability="asinc")


@case
def an_unknown_session_policy() -> None:
    shop(session_policy="mrege")


@case
def a_misspelt_event() -> None:
    shop(events_to_skip=["StepStartd"])


@case
def two_kinds_of_review() -> None:
    HumanReview(requires_output_review=True, requires_iteration_review=True)


@case
def an_expression_that_is_none() -> None:
    shop(Condition([step()], evaluator="input ==", name="urgent"))


@case
def a_function_that_is_not_there_any_more() -> None:
    Workflow.from_dict({"name": "Shop", "steps": [{"type": "Function", "executor_ref": "shop:gone"}]})


# -- running -----------------------------------------------------------------------------------------------------------


@case
def a_misspelt_argument_of_run() -> None:
    shop().run("x", sesion_id="s1")


@case
def an_input_that_does_not_fit() -> None:
    class Order(BaseModel):
        copies: int

    shop(input_schema=Order).run({"copies": "many"})


@case
def a_flag_that_is_a_text() -> None:
    shop().run("x", stream="no")


@case
def an_unknown_choice_of_a_router() -> None:
    shop(Router([step("mail"), step("fax")], lambda step_input: "mial", name="way")).run("x")


@case
def items_that_are_none() -> None:
    shop(Map(step(), over=lambda step_input: 5, name="pages")).run("x")


@case
def a_step_that_takes_too_long() -> None:
    shop(Step("slow", executor=slow, timeout=0.01)).run("x")


@case
def a_run_that_takes_too_long() -> None:
    shop(Step("slow", executor=slow), run_timeout=0.01).run("x")


@case
def an_output_that_cannot_be_stored() -> None:
    stored(Step("open", executor=lambda step_input: object()))


@case
def a_state_that_cannot_be_stored() -> None:
    def fill(step_input: StepInput, session_state: dict[str, Any]) -> None:
        session_state["cart"] = {"items": [lambda: 1]}

    stored(fill)


@case
def a_run_id_that_is_taken() -> None:
    stored().run("x", run_id="r1")


@case
def a_session_of_somebody_else() -> None:
    workflow = shop(db=InMemoryDb())
    workflow.run("x", session_id="s1", user_id="ada")
    workflow.run("x", session_id="s1", user_id="bob")


@case
def a_directory_that_is_not_there() -> None:
    shop(db="sqlite:////nowhere/here/runs.db").run("x")


# -- continuing, forking, looking --------------------------------------------------------------------------------------


@case
def continuing_nothing() -> None:
    shop().continue_run()


@case
def continuing_an_unknown_run() -> None:
    shop(db=InMemoryDb()).continue_run(run_id="r1", session_id="s1")


@case
def continuing_by_id_without_a_database() -> None:
    shop().continue_run(run_id="r1", session_id="s1")


@case
def continuing_a_finished_run() -> None:
    stored().continue_run(run_id="r1", session_id="s1")


@case
def continuing_what_is_still_open() -> None:
    stored(gate()).continue_run(run_id="r1", session_id="s1")


@case
def a_form_that_is_filled_wrongly() -> None:
    fields = [UserInputField("copies", "int"), UserInputField("size", allowed_values=["A4", "A3"])]
    asked = question(step("order", requires_user_input=True, user_input_schema=fields))
    asked.answer({"user_input": {"copies": "many", "size": "A5", "colour": 1}})


@case
def a_choice_that_is_not_offered() -> None:
    question(Router([step("mail"), step("fax")], name="way", requires_user_input=True)).select("mial")


@case
def a_plan_that_has_changed() -> None:
    before = stored(step("draft"), gate())
    (asked,) = before.list_pending()
    asked.confirm()
    shop(step("sketch"), gate(), db=before.db).continue_run(run_id="r1", session_id="s1", step_requirements=[asked])


@case
def a_session_that_is_not_there() -> None:
    shop(db=InMemoryDb()).get_session_state("s1")


@case
def a_session_without_a_database() -> None:
    shop().get_session_state("s1")


@case
def a_fork_at_an_unknown_step() -> None:
    workflow = stored(step("draft"), step("send"))
    anyio.run(lambda: workflow.fork("r1", at="sned"))


_OTHERS = re.compile(r"(?<=valid CEL expression: ).*|(?<=errors\.pydantic\.dev/)[\d.]+", re.DOTALL)
"""What other libraries say, which changes with their versions."""


def message(function: Callable[[], Any]) -> str:
    try:
        function()
    except Exception as error:
        notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith("In step ")]  # it has an id
        return _OTHERS.sub("...", "\n".join([f"{type(error).__name__}: {error}", *notes]))
    return "nothing was raised"


def all_messages() -> str:
    return "\n".join(f"## {name.replace('_', ' ')}\n{message(function)}\n" for name, function in CASES.items())


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told_as_it_was_read_and_liked(name: str) -> None:
    recorded = dict(part.split("\n", 1) for part in RECORDED.read_text("utf-8").split("## ")[1:])
    assert message(CASES[name]) == recorded[name.replace("_", " ")].strip("\n")


def test_no_message_is_left_over() -> None:
    assert RECORDED.read_text("utf-8").count("## ") == len(CASES) >= 40


if __name__ == "__main__":
    RECORDED.write_text(all_messages(), "utf-8")
