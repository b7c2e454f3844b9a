"""Step: what may be its executor, what it is given by name, and what becomes of what it returns."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from verbs import Verb, expanded, names, of_kind

from workflow_runtime import (
    BaseDb,
    BuildError,
    CustomEvent,
    InMemoryDb,
    Parallel,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)

# -- executors -----------------------------------------------------------------------------------------------------------


def function(step_input: StepInput) -> str:
    return f"did {step_input.input}"


async def coroutine(step_input: StepInput) -> str:
    return f"did {step_input.input}"


def generator(step_input: StepInput) -> Iterator[str]:
    yield "did "
    yield str(step_input.input)


async def async_generator(step_input: StepInput) -> AsyncIterator[str]:
    yield "did "
    yield str(step_input.input)


class Sync:
    def __call__(self, step_input: StepInput) -> str:
        return f"did {step_input.input}"


class Async:
    async def __call__(self, step_input: StepInput) -> str:
        return f"did {step_input.input}"


class Gen:
    def __call__(self, step_input: StepInput) -> Iterator[str]:
        yield from ("did ", str(step_input.input))


class AsyncGen:
    async def __call__(self, step_input: StepInput) -> AsyncIterator[str]:
        yield "did "
        yield str(step_input.input)

    async def method(self, step_input: StepInput) -> str:
        return f"did {step_input.input}"

    @staticmethod
    def static(step_input: StepInput) -> str:
        return f"did {step_input.input}"


def with_more(prefix: str, step_input: StepInput) -> str:
    return f"{prefix} {step_input.input}"


def returns_a_coroutine(step_input: StepInput) -> Any:
    return coroutine(step_input)


EXECUTORS = {
    "function": function,
    "async function": coroutine,
    "generator": generator,
    "async generator": async_generator,
    "callable object": Sync(),
    "async callable object": Async(),
    "generator object": Gen(),
    "async generator object": AsyncGen(),
    "bound method": AsyncGen().method,
    "static method": AsyncGen.static,
    "partial": functools.partial(with_more, "did"),
    "partial of async": functools.partial(coroutine),
    "lambda": lambda step_input: f"did {step_input.input}",
    "function that returns an awaitable": returns_a_coroutine,
}


@pytest.mark.parametrize("kind", EXECUTORS)
def test_every_kind_of_callable_is_an_executor_in_every_mode(verb: Verb, kind: str) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[Step(name="it", executor=EXECUTORS[kind])], db=db, store_events=True)

    ran = verb(make, "it")
    assert ran.content == "did it"
    assert ran.output.step_results[0].executor_type == "function"


def test_a_bare_callable_in_the_list_is_a_step_named_after_it() -> None:
    output = Workflow(steps=[function, Sync(), lambda step_input: "x"]).run("x")
    assert [result.step_name for result in output.step_results] == ["function", "Sync", "step_3"]


def test_a_builtin_without_a_signature_gets_the_step_input() -> None:
    output = Workflow(steps=[Step(name="text", executor=str)]).run("x")
    assert output.content.startswith("StepInput(input='x'")


# -- what is injected ----------------------------------------------------------------------------------------------------


def test_parameters_are_given_by_name_and_none_that_is_not_asked_for() -> None:
    seen: dict[str, Any] = {}

    def ask(
        step_input: StepInput,
        run_context: RunContext,
        session_state: dict[str, Any],
        workflow: Workflow,
        additional_data: dict[str, Any],
        dependencies: dict[str, Any],
        optional: int = 7,
    ) -> None:
        seen.update(locals())

    wf = Workflow(name="w", steps=[ask], session_state={"s": 1}, dependencies={"a": 1, "b": {"c": 2}})
    wf.run("in", additional_data={"k": "v"}, dependencies={"b": {"d": 3}}, session_id="s", user_id="u", run_id="r")
    assert seen["step_input"].input == "in"
    assert (seen["run_context"].run_id, seen["run_context"].session_id, seen["run_context"].user_id) == ("r", "s", "u")
    assert seen["session_state"] == {"s": 1}
    assert seen["session_state"] is seen["run_context"].session_state
    assert seen["workflow"] is wf
    assert seen["additional_data"] == {"k": "v"}
    assert seen["dependencies"] == {"a": 1, "b": {"c": 2, "d": 3}}
    assert seen["optional"] == 7


def test_a_single_parameter_of_any_name_is_the_step_input() -> None:
    def one(whatever: StepInput) -> Any:
        return whatever.input

    assert Workflow(steps=[one]).run("x").content == "x"


def test_keyword_only_parameters_are_given_too() -> None:
    def keywords(*, session_state: dict[str, Any], step_input: StepInput) -> Any:
        return [step_input.input, session_state]

    assert Workflow(steps=[keywords], session_state={"a": 1}).run("x").content == ["x", {"a": 1}]


def test_a_parameter_that_nobody_supplies_is_an_error_when_the_workflow_is_built() -> None:
    def needs(step_input: StepInput, database: Any) -> None: ...

    with pytest.raises(BuildError, match=r"'needs'.*the parameter 'database'.* cannot be injected.*run_context"):
        Workflow(steps=[needs])


def test_a_function_without_parameters_is_called_with_none() -> None:
    def nothing() -> str:
        return "nothing needed"

    assert Workflow(steps=[nothing]).run("x").content == "nothing needed"


# -- what comes back -----------------------------------------------------------------------------------------------------


class Report(BaseModel):
    title: str
    pages: int


@dataclass
class Point:
    x: int


@pytest.mark.parametrize("value", [{"a": 1}, [1, 2], (1, 2), None, 3, 2.5, True, Report(title="t", pages=3), Point(1)])
def test_a_returned_value_keeps_its_type(verb: Verb, value: Any) -> None:
    async def give(step_input: StepInput) -> Any:
        return value

    ran = verb(lambda db: Workflow(name="w", steps=[give], db=db, store_events=True))
    assert ran.content == value
    assert type(ran.content) is type(value)
    assert type(ran.output.step_results[0].content) is type(value)


def test_a_step_output_is_taken_as_it_is_with_the_steps_name(verb: Verb) -> None:
    async def give(step_input: StepInput) -> StepOutput:
        return StepOutput({"rows": 3}, step_name="ignored", success=False, error="half of it")

    ran = verb(lambda db: Workflow(name="w", steps=[Step(name="real", executor=give)], db=db, store_events=True))
    (result,) = ran.output.step_results
    assert (result.step_name, result.content, result.success, result.error) == (
        "real",
        {"rows": 3},
        False,
        "half of it",
    )


def test_a_step_output_object_that_is_returned_twice_is_not_shared() -> None:
    shared = StepOutput("same")
    output = Workflow(
        steps=[Step(name="a", executor=lambda i: shared), Step(name="b", executor=lambda i: shared)]
    ).run()
    assert [result.step_name for result in output.step_results] == ["a", "b"]
    assert shared.step_name is None


def returns_output() -> Iterator[Any]:
    yield "chunk"
    return StepOutput("the result")


def yields_output() -> Iterator[Any]:
    yield "chunk"
    yield StepOutput("the result")
    yield "never reached"


async def async_yields_output() -> AsyncIterator[Any]:
    yield "chunk"
    yield StepOutput("the result")
    yield "never reached"


def returns_value() -> Iterator[Any]:
    return {"only": "returned"}
    yield


@pytest.mark.parametrize(
    ("executor", "content"),
    [
        (returns_output, "the result"),
        (yields_output, "the result"),
        (async_yields_output, "the result"),
        (returns_value, {"only": "returned"}),
    ],
)
def test_a_step_output_of_a_generator_is_its_result(verb: Verb, executor: Any, content: Any) -> None:
    ran = verb(lambda db: Workflow(name="w", steps=[executor], db=db, store_events=True))
    assert ran.content == content


def test_every_chunk_is_published_and_the_content_is_the_text_joined(verb: Verb) -> None:
    ran = verb(lambda db: Workflow(name="w", steps=[async_generator], db=db, store_events=True), "it")
    chunks = of_kind(expanded(ran.events), "StepContent")
    assert [(chunk.delta, chunk.path, chunk.attempt) for chunk in chunks] == [
        ("did ", "0.async_generator", 1),
        ("it", "0.async_generator", 1),
    ]
    assert ran.content == "did it"


def test_chunks_that_are_not_all_text_are_a_list(verb: Verb) -> None:
    async def mixed(step_input: StepInput) -> AsyncIterator[Any]:
        yield "a"
        yield {"b": 1}
        yield 2
        yield None

    ran = verb(lambda db: Workflow(name="w", steps=[mixed], db=db, store_events=True))
    assert ran.content == ["a", {"b": 1}, 2, None]
    assert [event.delta for event in of_kind(ran.events, "StepContent")] == ["a", {"b": 1}, 2, None]


def test_a_generator_that_yields_nothing_leaves_none(verb: Verb) -> None:
    async def empty(step_input: StepInput) -> AsyncIterator[Any]:
        return
        yield

    ran = verb(lambda db: Workflow(name="w", steps=[empty], db=db, store_events=True))
    assert ran.content is None
    assert ran.names.count("StepContent") == 0


class Found(CustomEvent):
    pass


def test_events_that_a_generator_yields_are_published_and_are_no_content(verb: Verb) -> None:
    async def tell(step_input: StepInput) -> AsyncIterator[Any]:
        yield "a"
        yield Found(page=7)
        yield {"event": "RunContent", "content": "b"}
        yield {"event": "Whatever", "x": 1}

    ran = verb(lambda db: Workflow(name="w", steps=[tell], db=db, store_events=True))
    assert ran.content == "ab", "the text of an executor's content event counts"
    assert ran.names[2:6] == ["StepContent", "CustomEvent", "RunContent", "CustomEvent"]
    found, other = of_kind(ran.events, "CustomEvent")
    assert (type(found), found.page, found.step_name, found.path) == (Found, 7, "tell", "0.tell")
    assert (other.name, other.x) == ("Whatever", 1)


# -- the order of things -------------------------------------------------------------------------------------------------


def test_a_step_sees_what_was_made_before_it(verb: Verb) -> None:
    seen: list[Any] = []

    async def first(step_input: StepInput) -> dict[str, int]:
        return {"rows": 3}

    async def second(step_input: StepInput) -> str:
        return "two"

    async def look(step_input: StepInput) -> None:
        seen.append(
            [
                step_input.previous_step_content,
                step_input.get_last_step_content(),
                step_input.get_step_content("first"),
                step_input.get_step_content("inner"),
                step_input.get_step_content("both"),
                step_input.get_step_output("after"),
                list(step_input.previous_step_outputs or {}),
            ]
        )

    async def inner(step_input: StepInput) -> str:
        return f"inner saw {step_input.previous_step_content}"

    async def other(step_input: StepInput) -> str:
        return f"other saw {step_input.previous_step_content}"

    def make(db: BaseDb) -> Workflow:
        return Workflow(
            name="w",
            steps=[first, second, Parallel(inner, other, name="both"), look, Step("after", executor=second)],
            db=db,
            store_events=True,
        )

    verb(make, ordered=False)
    assert seen[0] == [
        {"inner": "inner saw two", "other": "other saw two"},
        {"inner": "inner saw two", "other": "other saw two"},
        {"rows": 3},
        "inner saw two",
        {"inner": "inner saw two", "other": "other saw two"},
        None,
        ["first", "second", "both"],
    ]
    assert all(saw == seen[0] for saw in seen)


def test_stop_ends_the_enclosing_workflow_from_any_depth(verb: Verb) -> None:
    ran_after: list[str] = []

    async def stop(step_input: StepInput) -> StepOutput:
        return StepOutput("enough", stop=True)

    async def after(step_input: StepInput) -> None:
        ran_after.append("ran")

    def make(db: BaseDb) -> Workflow:
        inner = Steps(name="part", steps=[stop, after])
        return Workflow(name="w", steps=[inner, Step(name="later", executor=after)], db=db, store_events=True)

    ran = verb(make)
    assert ran.status is RunStatus.completed
    assert (ran_after, ran.content) == ([], "enough")
    assert ran.output.step_results[0].stop


def test_stop_in_a_nested_workflow_ends_that_one_only(verb: Verb) -> None:
    async def stop(step_input: StepInput) -> StepOutput:
        return StepOutput("enough", stop=True)

    def make(db: BaseDb) -> Workflow:
        inner = Workflow(name="inner", steps=[stop, Step(name="skipped", executor=coroutine)])
        return Workflow(name="w", steps=[inner, Step(name="later", executor=coroutine)], db=db, store_events=True)

    ran = verb(make, "x")
    assert [result.step_name for result in ran.output.step_results] == ["inner", "later"]
    assert [result.step_name for result in ran.output.step_results[0].steps or ()] == ["stop"]


# -- building ------------------------------------------------------------------------------------------------------------


def test_no_executor_and_two_executors_are_refused() -> None:
    with pytest.raises(ValueError, match="'x' must have one executor: agent=, team=, executor=, or workflow="):
        Step(name="x")
    with pytest.raises(ValueError, match=r"'x' can only have one executor type. Provided: agent, executor"):
        Step(name="x", agent=object(), executor=function)


def test_the_default_name_is_the_executors() -> None:
    assert Step(executor=function).name == "function"
    assert Step(executor=functools.partial(with_more, "x")).name == "with_more"
    assert Step(workflow=Workflow(name="inner", steps=[])).name == "inner"


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_must_be_more_than_nothing(timeout: float) -> None:
    with pytest.raises(BuildError, match=r"timeout=.* must be more than 0"):
        Step(name="x", executor=function, timeout=timeout)


def test_an_unknown_error_policy_is_refused() -> None:
    with pytest.raises(BuildError, match="on_error='ignore' is not one of fail, skip, pause"):
        Step(name="x", executor=function, on_error="ignore")


def test_the_step_id_is_on_its_events_and_output() -> None:
    workflow = Workflow(steps=[Step(name="x", executor=function, step_id="mine")], db=InMemoryDb(), store_events=True)
    output = workflow.run("x")
    assert output.step_results[0].step_id == "mine"
    assert {event.step_id for event in output.events or () if event.event.startswith("Step")} == {"mine"}


def test_a_step_emits_a_start_and_an_end_whatever_its_kind() -> None:
    output = Workflow(steps=[generator, Sync()], db=InMemoryDb(), store_events=True).run("x")
    assert names(of_kind(output.events or (), "StepStarted", "StepCompleted")) == ["StepStarted", "StepCompleted"] * 2
