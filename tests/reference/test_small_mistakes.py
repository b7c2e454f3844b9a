"""Small mistakes are told at once, with what was meant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, Field

from workflow_runtime import (
    BaseDb,
    BuildError,
    Condition,
    InputError,
    Loop,
    Map,
    Parallel,
    Router,
    RunMetrics,
    Step,
    Steps,
    Workflow,
)
from workflow_runtime.compat.agno import workflow as lenient

from .helpers import Api, echo


def one(db: BaseDb | None = None, **options: Any) -> Workflow:
    return Workflow(name="w", steps=[Step("a", executor=echo, **options)], db=db)


@pytest.mark.parametrize("verb", ["cli_app", "acli_app"])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"nonsense": 1}, TypeError, "unexpected keyword argument 'nonsense'"),
        ({"sesion_state": {}}, TypeError, "did you mean 'session_state'"),
        ({"console": object()}, InputError, "must be a rich Console; write console="),
    ],
)
def test_a_conversation_with_a_wrong_option_does_not_begin(
    verb: str, options: dict[str, Any], error: type[Exception], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = one().cli_app if verb == "cli_app" else lambda **given: anyio.run(lambda: one().acli_app(**given))
    with pytest.raises(error, match=message):
        begin(**options)
    assert capsys.readouterr().out == ""


def test_print_response_says_what_a_console_is(api: Api) -> None:
    with pytest.raises(InputError, match="must be a rich Console; write console="):
        api(one()).print_response("x", console=object())


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("value", [None, 7])
@pytest.mark.parametrize("verb", ["cancel_run", "get_run", "get_run_output", "delete_session"])
def test_a_verb_that_needs_an_id_refuses_what_is_none(
    api: Api, db: BaseDb, verb: str, value: Any, stored: bool
) -> None:
    with pytest.raises(InputError, match=f"_id={value} must be a text"):
        getattr(api(one(db if stored else None)), verb)(value)


def test_a_stream_can_be_given_to_create_task() -> None:
    async def main() -> list[str]:
        stream = await asyncio.create_task(one().arun("x", stream=True))
        return [event.event async for event in stream]

    assert asyncio.run(main()) == ["WorkflowStarted", "StepOutput", "WorkflowCompleted"]


TYPOS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Step": (lambda kit: kit.Step(name="a", executor=echo, executer=1), "executor"),
    "Steps": (lambda kit: kit.Steps(nam="a", steps=[echo]), "name"),
    "Loop": (lambda kit: kit.Loop(steps=[echo], max_iteration=3), "max_iterations"),
    "Condition": (lambda kit: kit.Condition(evaluater=True, steps=[echo]), "evaluator"),
    "Router": (lambda kit: kit.Router(choices=[echo], selecter=echo), "selector"),
    "Parallel": (lambda kit: kit.Parallel(echo, max_concurency=3), "max_concurrency"),
}


class Strict:
    Step, Steps, Loop, Condition, Router, Parallel = Step, Steps, Loop, Condition, Router, Parallel


@pytest.mark.parametrize("kind", TYPOS)
def test_a_mistyped_keyword_of_a_step_gets_a_suggestion(kind: str) -> None:
    make, meant = TYPOS[kind]
    with pytest.raises(TypeError, match=rf"{kind}\(\) got an unexpected keyword argument .*; did you mean '{meant}'\?"):
        make(Strict)


@pytest.mark.parametrize("make", [lambda: Map(echo, over="input", max_concurency=3), lambda: Workflow(step=[echo])])
def test_a_mistyped_keyword_of_a_map_or_workflow_gets_a_suggestion(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="did you mean"):
        make()


def test_a_mistyped_option_of_the_layer_gets_a_suggestion() -> None:
    with pytest.raises(TypeError, match="did you mean 'max_concurrency'"):
        lenient.Parallel(echo, max_concurency=3)


def test_a_number_in_the_place_of_a_loop_s_name_is_told_where_it_belongs() -> None:
    with pytest.raises(BuildError, match="name=3 must be a text; did you mean max_iterations=3"):
        Loop([echo], 3)  # type: ignore[arg-type]  # the mistake


def test_a_confirmation_takes_no_form() -> None:
    requirement = one(requires_confirmation=True).run("x").active_step_requirements[0]
    with pytest.raises(ValueError, match=r"step 'a' asks for no input; answer with confirm\(\), reject\(\)"):
        requirement.set_user_input(value=1)
    assert requirement.user_input is None


def test_a_form_shows_the_pattern_that_does_not_match() -> None:
    class Code(BaseModel):
        code: str = Field(pattern=r"^[A-Z]+\d$")

    step = one(requires_user_input=True, user_input_schema=Code)
    requirement = step.run("x").active_step_requirements[0]
    with pytest.raises(ValueError, match="pattern") as caught:
        requirement.set_user_input(code="a")
    assert r"^[A-Z]+\d$" in str(caught.value)


@pytest.mark.parametrize(
    "given", [{"input_tokens": 3, "output_tokens": 4}, RunMetrics(input_tokens=3, output_tokens=4)]
)
def test_totals_of_tokens_are_the_sum_of_their_parts_unless_they_are_given(given: Any) -> None:
    metrics = RunMetrics.of(given)
    assert metrics is not None
    assert metrics.total_tokens == 7
    assert (metrics + metrics).total_tokens == 14
    assert RunMetrics(input_tokens=3, total_tokens=9).total_tokens == 9
    assert RunMetrics(audio_input_tokens=1, audio_output_tokens=2).audio_total_tokens == 3
