"""Workflow(input_schema=...): every kind of input, and its error texts."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, Field

from workflow_runtime import (
    BaseDb,
    BuildError,
    Condition,
    InMemoryDb,
    InputError,
    Loop,
    Map,
    Message,
    Parallel,
    Router,
    Step,
    StepInput,
    Steps,
    Workflow,
    WorkflowExecutionInput,
)

from .helpers import Launch


class Topic(BaseModel):
    name: str
    depth: int = Field(default=1, ge=1)


class Special(Topic):
    extra: str = ""


class Other(BaseModel):
    name: str


class Plain(TypedDict):
    name: str
    depth: int


class Loose(TypedDict, total=False):
    name: str


def kinds(schema: Any = Topic, db: BaseDb | None = None) -> Workflow:
    """A workflow whose output is the input that its step saw."""
    return Workflow(steps=[Step(name="give", executor=lambda step_input: step_input.input)], input_schema=schema, db=db)


def type_and_depth(step_input: StepInput) -> list[Any]:
    return [type(step_input.input).__name__, step_input.input.depth]


@pytest.mark.parametrize(
    "value",
    [{"name": "cats", "depth": 2}, '{"name": "cats", "depth": 2}', Topic(name="cats", depth=2)],
    ids=["dict", "json", "model"],
)
def test_input_schema_gives_the_steps_an_instance_of_it(launch: Launch, value: Any) -> None:
    output = launch(kinds(), value)
    assert output.content == Topic(name="cats", depth=2)
    assert output.input == Topic(name="cats", depth=2)


def test_input_schema_leaves_an_instance_as_it_is() -> None:
    topic, special = Topic(name="cats"), Special(name="dogs")
    assert kinds().run(topic).content is topic
    assert kinds().run(special).content is special


def test_input_schema_fills_in_defaults(launch: Launch) -> None:
    assert launch(kinds(), {"name": "cats"}).content == Topic(name="cats", depth=1)


def test_input_schema_instance_keeps_its_type_in_the_database(db: BaseDb) -> None:
    workflow = kinds(db=db)
    output = workflow.run({"name": "cats"})
    stored = workflow.get_run_output(str(output.run_id))
    assert stored is not None
    assert stored.input == Topic(name="cats")
    assert type(stored.input) is Topic


def test_input_schema_may_be_a_typed_dict(launch: Launch) -> None:
    assert launch(kinds(Plain), {"name": "cats", "depth": 2}).content == {"name": "cats", "depth": 2}
    assert launch(kinds(Plain), '{"name": "cats", "depth": 2}').content == {"name": "cats", "depth": 2}
    assert launch(kinds(Loose), {}).content == {}


def test_input_schema_as_text_reaches_a_step_that_asks_for_text(launch: Launch) -> None:
    def text(step_input: StepInput) -> str | None:
        return step_input.get_input_as_string()

    workflow = Workflow(steps=[Step(name="text", executor=text)], input_schema=Topic)
    assert launch(workflow, {"name": "cats"}).content == '{\n  "name": "cats",\n  "depth": 1\n}'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"Input is required when input_schema is provided"),
        ("cats", r"Failed to parse input\. Is it a valid JSON string\?: Expecting value"),
        ({"depth": 2}, r"Failed to parse dict into Topic: .*\nname\n  Field required"),
        ({"name": "cats", "depth": 0}, r"Failed to parse dict into Topic: .*\ndepth\n .*greater than or equal to 1"),
        ('{"depth": 2}', r"Failed to parse dict into Topic: "),
        (Other(name="cats"), r"Expected Topic but got Other"),
        ([1], r"Cannot validate <class 'list'> against input_schema\. Expected dict or Topic instance\."),
        (3, r"Cannot validate <class 'int'> against input_schema\. Expected dict or Topic instance\."),
        ("[1]", r"Cannot validate <class 'list'> against input_schema\. Expected dict or Topic instance\."),
        ([Message(role="user", content="x")], r"Cannot validate <class 'list'> against input_schema"),
    ],
    ids=["none", "text", "missing", "range", "json", "model", "list", "int", "json list", "messages"],
)
def test_input_schema_refuses_what_does_not_fit_and_nothing_starts(launch: Launch, value: Any, message: str) -> None:
    database = InMemoryDb()
    ran: list[Any] = []
    workflow = Workflow(steps=[ran.append], input_schema=Topic, db=database)
    with pytest.raises(ValueError, match=message) as caught:
        launch(workflow, value, session_id="s")
    assert isinstance(caught.value, InputError)
    assert ran == []
    assert workflow.get_session("s") is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"Input is required"),
        ({"name": "cats"}, r"Failed to parse dict into Plain: .*depth"),
        ({"name": "cats", "depth": "deep"}, r"Failed to parse dict into Plain: Expected `int`, got `str`"),
        ({"name": "cats", "depth": 1, "height": 2}, r"Failed to parse dict into Plain: unexpected fields \['height'\]"),
        ([1], r"Cannot validate <class 'list'> against input_schema\. Expected dict or Plain instance\."),
    ],
    ids=["none", "missing", "type", "unknown", "list"],
)
def test_input_schema_of_a_typed_dict_refuses_what_does_not_fit(launch: Launch, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        launch(kinds(Plain), value)


def test_input_schema_is_checked_by_the_call_itself() -> None:
    with pytest.raises(InputError):
        _ = kinds().arun("cats")
    with pytest.raises(InputError):
        kinds().arun("cats", stream=True)
    with pytest.raises(InputError):
        kinds().run("cats", stream=True)


@pytest.mark.parametrize("schema", [int, Topic(name="x"), "Topic", dict])
def test_input_schema_must_be_a_model_or_a_typed_dict(schema: Any) -> None:
    with pytest.raises(BuildError, match="neither a pydantic model nor a TypedDict"):
        Workflow(input_schema=schema)


def test_input_schema_off_takes_any_input(launch: Launch) -> None:
    assert launch(kinds(None), "no JSON").content == "no JSON"


# -- nested workflows ------------------------------------------------------------------------------------------------------


def nested(where: str, inner: Workflow, **options: Any) -> Workflow:
    """A workflow whose step, at the place ``where``, is ``inner``."""
    step = Step(name="inner", workflow=inner)
    places: dict[str, Any] = {
        "steps": [step],
        "a bare workflow": [inner],
        "group": [Steps(name="group", steps=[step])],
        "parallel": [Parallel(step, name="both")],
        "loop": [Loop(name="loop", steps=[step], max_iterations=1)],
        "condition": [Condition(name="if", evaluator=True, steps=[step])],
        "router": [Router(name="route", selector=lambda step_input: "inner", choices=[step])],
        "map": [Map(step, over=lambda step_input: [step_input.input], name="each")],
        "nested twice": [Step(name="outer", workflow=Workflow(name="middle", steps=[step]))],
    }
    return Workflow(steps=places[where], **options)


PLACES = ("steps", "a bare workflow", "group", "parallel", "loop", "condition", "router", "map", "nested twice")


@pytest.mark.parametrize("where", PLACES)
def test_input_schema_of_a_nested_workflow_makes_its_input_an_instance(launch: Launch, where: str) -> None:
    inner = Workflow(name="price", steps=[Step(name="price", executor=type_and_depth)], input_schema=Topic)
    leaf = list(launch(nested(where, inner), {"name": "cats", "depth": 2}).step_results[0].walk())[-1]
    assert leaf.content == ["Topic", 2]


@pytest.mark.parametrize("where", PLACES)
def test_input_that_a_nested_workflow_cannot_take_fails_its_step(where: str) -> None:
    entered: list[Any] = []
    inner = Workflow(name="price", steps=[Step(name="price", executor=entered.append)], input_schema=Topic)
    with pytest.raises(InputError, match="Failed to parse dict into Topic"):
        nested(where, inner).run({"name": "cats", "depth": -1})
    assert entered == []


def test_input_schema_of_a_nested_workflow_applies_to_what_the_step_before_it_made(launch: Launch) -> None:
    inner = Workflow(name="price", steps=[Step(name="price", executor=type_and_depth)], input_schema=Topic)
    before = Step(name="find", executor=lambda step_input: '{"name": "cats", "depth": 7}')
    assert launch(Workflow(steps=[before, inner]), "x").content == ["Topic", 7]


def test_input_schema_of_a_nested_workflow_that_is_a_function(launch: Launch) -> None:
    async def inside(execution_input: WorkflowExecutionInput) -> Any:
        return execution_input.input.depth

    assert launch(Workflow(steps=[Workflow(name="i", steps=inside, input_schema=Topic)]), {"name": "c"}).content == 1


@pytest.mark.anyio
async def test_input_schema_of_a_nested_workflow_holds_after_a_pause(db: BaseDb) -> None:
    asks = Step(name="price", executor=type_and_depth, requires_confirmation=True)
    workflow = nested("steps", Workflow(name="price", steps=[asks], input_schema=Topic), name="w", db=db)
    paused = await workflow.arun({"name": "cats", "depth": 3})
    paused.active_step_requirements[0].confirm()
    assert (await workflow.acontinue_run(paused)).content == ["Topic", 3]


def test_the_policy_of_the_step_decides_about_input_that_its_workflow_cannot_take() -> None:
    inner = Workflow(name="price", steps=[Step(name="price", executor=type_and_depth)], input_schema=Topic)
    output = Workflow(steps=[Step(name="inner", workflow=inner, on_error="skip")]).run({"depth": 1})
    assert output.step_results[0].success is False
    assert "Failed to parse dict into Topic" in str(output.step_results[0].error)
