"""What the layer promises beyond what a script shows: policies that were written, refusals, direct calls, data."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workflow_runtime import BuildError, HumanReview, Retry, RunStatus, WorkflowRunOutput
from workflow_runtime import Step as StrictStep
from workflow_runtime.compat.agno.db.sqlite import AsyncSqliteDb, SqliteDb
from workflow_runtime.compat.agno.run.agent import RunOutput
from workflow_runtime.compat.agno.run.cancel import cancel_run, get_active_runs, is_cancelled
from workflow_runtime.compat.agno.utils import pprint
from workflow_runtime.compat.agno.utils.pprint import apprint_run_response, pprint_run_response
from workflow_runtime.compat.agno.workflow import (
    Condition,
    Loop,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
    pause,
)
from workflow_runtime.compat.agno.workflow.cel import is_cel_expression
from workflow_runtime.compat.agno.workflow.decorators import get_pause_metadata, has_pause_metadata


def echo(step_input: StepInput) -> str:
    return f"echo {step_input.input}"


def after(step_input: StepInput) -> str:
    return f"after {step_input.previous_step_content}"


def boom(step_input: StepInput) -> str:
    raise ValueError("boom")


# -- defaults and policies ------------------------------------------------------------------------------------------------


def test_a_step_is_tried_four_times_without_a_pause() -> None:
    assert Step(executor=echo).retry == Retry(attempts=4, delay=0, jitter=0)
    assert Step(executor=echo, max_retries=0).retry is None
    assert Step(executor=echo, retry=Retry(attempts=2)).retry == Retry(attempts=2)


def test_a_written_policy_holds_inside_a_container_too() -> None:
    skipping = Step(name="skips", executor=boom, max_retries=0, on_error="skip")
    output = Workflow(name="W", steps=[Loop(name="loop", steps=[skipping, after], max_iterations=1)]).run("x")
    assert output.status == RunStatus.completed
    assert output.content == "after Step skipped due to error: boom"
    reviewed = Step(name="skips", executor=boom, max_retries=0, human_review=HumanReview(on_error="skip"))
    assert Workflow(name="W", steps=[Steps(name="group", steps=[reviewed, after])]).run("x").content == output.content


def test_a_failing_step_without_a_policy_ends_the_loop_around_it_and_the_run() -> None:
    failing = Step(name="fails", executor=boom, max_retries=0)
    with pytest.raises(ValueError, match="boom") as caught:
        Workflow(name="W", steps=[echo, Loop(name="loop", steps=[failing])]).run("x")
    run: WorkflowRunOutput = caught.value.run_output  # type: ignore[attr-defined]
    assert run.status == RunStatus.error
    assert [step.step_name for step in run.step_results] == ["echo"]


def test_on_error_fail_of_a_condition_reaches_the_run() -> None:
    failing = Step(name="fails", executor=boom, max_retries=0)
    with pytest.raises(ValueError, match="boom"):
        Workflow(name="W", steps=[Condition(name="c", steps=[failing], on_error="fail")]).run("x")


def test_strict_steps_among_lenient_ones_stay_strict() -> None:
    with pytest.raises(ValueError, match="boom"):
        Workflow(name="W", steps=[echo, StrictStep(name="strict", executor=boom), after]).run("x")


def test_the_first_positional_argument_is_the_id() -> None:
    workflow = Workflow("the-id", "The name", "About it")
    assert (workflow.id, workflow.name, workflow.description) == ("the-id", "The name", "About it")


def test_options_of_the_strict_workflow_pass_through() -> None:
    workflow = Workflow(name="W", steps=[echo], session_policy="queue", run_timeout=5.0)
    assert (workflow.session_policy, workflow.run_timeout) == ("queue", 5.0)


def test_a_workflow_agent_is_refused() -> None:
    with pytest.raises(BuildError, match="WorkflowAgent"):
        Workflow(name="W", agent=object())


def test_a_copy_has_the_configuration_and_what_was_updated() -> None:
    workflow = Workflow(name="W", steps=[echo], store_events=True, session_id="s")
    copy = workflow.deep_copy(update={"name": "Copy", "id": "copy"})
    assert (copy.name, copy.id, copy.store_events, copy.session_id) == ("Copy", "copy", True, "s")
    assert copy.run("x").content == "echo x"


# -- what functions return -----------------------------------------------------------------------------------------------


def returns(value: Any) -> Any:
    return Workflow(name="W", steps=[lambda step_input: value]).run("x").content


def test_a_returned_value_becomes_text_and_of_a_run_its_content() -> None:
    assert returns({"a": 1}) == "{'a': 1}"
    assert returns(None) == "None"
    assert returns(3) == "3"
    assert returns(StepOutput(content={"a": 1})) == {"a": 1}
    assert returns(RunOutput(content=[1])) == [1]
    assert returns(WorkflowRunOutput(content="inner")) == "inner"


def test_what_a_generator_returns_counts_and_nothing_is_no_text() -> None:
    def generator(step_input: StepInput) -> Iterator[str]:
        yield "a"
        return StepOutput(content="returned")  # type: ignore[return-value]  # what agno ignores

    def empty(step_input: StepInput) -> Iterator[str]:
        yield from ()

    assert Workflow(name="W", steps=[generator]).run("x").content == "returned"
    assert Workflow(name="W", steps=[empty]).run("x").content == ""


def test_a_function_that_returns_an_awaitable_or_a_generator_is_waited_for() -> None:
    async def inner(step_input: StepInput) -> int:
        return 5

    def chunks(step_input: StepInput) -> Any:
        return (part for part in ("a", 1))

    assert Workflow(name="W", steps=[lambda step_input: inner(step_input)]).run("x").content == "5"
    assert Workflow(name="W", steps=[chunks]).run("x").content == "a1"


def test_async_functions_run_under_the_sync_verb_too() -> None:
    async def later(step_input: StepInput) -> str:
        await asyncio.sleep(0)
        return "later"

    assert Workflow(name="W", steps=[later]).run("x").content == "later"


# -- direct calls --------------------------------------------------------------------------------------------------------


def test_a_component_run_by_itself_asks_nobody() -> None:
    step = Step(name="asks", executor=echo, requires_confirmation=True, requires_output_review=True)
    assert step.execute(StepInput(input="x")).content == "echo x"


def test_a_component_run_by_itself_sees_media_and_its_caller() -> None:
    def who(step_input: StepInput, run_context: Any) -> str:
        return f"{run_context.user_id} {run_context.session_id} {len(step_input.images or [])}"

    from workflow_runtime import Image

    given = StepInput(input="x", images=[Image(url="https://example.com/a.png")])
    assert Step(name="who", executor=who).execute(given, session_id="s", user_id="ada").content == "ada s 1"


def test_an_argument_without_effect_is_refused_in_a_direct_call() -> None:
    step = Step(name="echo", executor=echo)
    assert step.execute(StepInput(input="x"), store_executor_outputs=False, num_history_runs=5).content == "echo x"
    with pytest.raises(TypeError, match="resume_from_iteration=2"):
        Loop(name="l", steps=[echo]).execute(StepInput(input="x"), resume_from_iteration=2)
    with pytest.raises(TypeError, match="misspelt"):
        step.execute(StepInput(input="x"), misspelt=1)


def test_agnos_second_positional_argument_of_a_stream_may_be_the_run() -> None:
    group = Steps(name="group", steps=[echo])
    seen = list(group.execute_stream(StepInput(input="x"), WorkflowRunOutput(session_id="s")))  # type: ignore[arg-type]  # agno's order
    assert seen[-1].content == "Steps group completed with 1 results"


def test_a_component_can_be_run_inside_a_step_of_another_workflow() -> None:
    inner = Step(name="inner", executor=echo)

    def outer(step_input: StepInput, run_context: Any) -> str:
        run_context.session_state["n"] = 1
        return f"outer {inner.execute(step_input, run_context=run_context).content}"

    output = Workflow(name="W", steps=[outer]).run("x")
    assert output.content == "outer echo x"
    assert output.session_state == {"n": 1}


@pytest.mark.parametrize("component", [Step(name="b", executor=boom, max_retries=0), Loop(steps=[boom], name="l")])
def test_a_failing_component_raises_from_its_stream_as_well(component: Any) -> None:
    with pytest.raises(ValueError, match="boom"):
        list(component.execute_stream(StepInput(input="x"), stream_events=True))


# -- the rest ------------------------------------------------------------------------------------------------------------


def test_a_workflow_of_the_layer_comes_back_from_data_as_one() -> None:
    workflow = Workflow(
        name="W",
        steps=[
            Step(name="echo", executor=echo),
            Parallel(Step(name="boom", executor=boom), Step(name="ok", executor=after), name="p"),
            Router(name="r", choices=[Step(name="echo", executor=echo)], selector="'echo'"),
        ],
    )
    again = Workflow.from_dict(json.loads(json.dumps(workflow.to_dict())), registry=[echo, boom, after])
    assert isinstance(again.steps[0], Step)
    assert again.to_dict() == workflow.to_dict()
    assert again.run("x").content == workflow.run("x").content == "echo x"


def test_a_database_takes_agnos_arguments(tmp_path: Path) -> None:
    file = str(tmp_path / "a.db")
    assert SqliteDb(file, session_table="sessions", memory_table="m").location.path == file
    assert SqliteDb(db_url=f"sqlite:///{file}", id="mine").id == "mine"
    assert isinstance(AsyncSqliteDb(db_file=file), SqliteDb)
    with pytest.raises(BuildError, match="db_engine"):
        SqliteDb(db_engine=object())
    with pytest.raises(TypeError, match="bogus"):
        SqliteDb(bogus=1)


def test_a_database_without_arguments_is_agnos_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SqliteDb().location.path == str(tmp_path / "agno.db")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_asynchronous_database_serves_both_verbs(tmp_path: Path) -> None:
    workflow = Workflow(name="W", steps=[echo], db=AsyncSqliteDb(db_file=str(tmp_path / "a.db")))
    await workflow.arun("one", session_id="s")
    session = await workflow.aget_session(session_id="s")
    assert session is not None
    assert [run.content for run in session.runs or ()] == ["echo one"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_run_is_cancelled_by_its_id_alone() -> None:
    started = asyncio.Event()

    async def forever(step_input: StepInput) -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    run = asyncio.create_task(Workflow(name="W", steps=[forever]).arun("x", run_id="run-7"))
    await started.wait()
    assert "run-7" in get_active_runs()
    assert not is_cancelled("run-7")
    assert cancel_run("run-7")
    output = await run
    assert output.status == RunStatus.cancelled
    assert output.content == "Run run-7 was cancelled"
    assert not cancel_run("run-7")


def boxed(text: str) -> str:
    """``text`` as it is printed."""
    width = max(map(len, text.splitlines()))
    lines = [f"│ {line:{width}} │" for line in text.splitlines()]
    return "\n".join([f"╭─{'─' * width}─╮", *lines, f"╰─{'─' * width}─╯", ""])


def test_printing_a_run_or_a_stream_writes_its_content_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(step_input: StepInput) -> Iterator[str]:
        yield "a "
        yield "[b]"

    def after(step_input: StepInput) -> str:
        return f"after {step_input.previous_step_content}"

    workflow, longer = Workflow(name="W", steps=[words]), Workflow(name="W", steps=[words, after])
    pprint_run_response(workflow.run("x"))
    assert capsys.readouterr().out == boxed("a [b]")
    pprint_run_response(workflow.run("x", stream=True))
    assert capsys.readouterr().out == boxed("a [b]")
    pprint_run_response(longer.run("x", stream=True, stream_events=True))
    assert capsys.readouterr().out == boxed("a [b]\nafter a [b]")
    monkeypatch.setattr(pprint, "find_spec", lambda name: None)  # without rich
    pprint_run_response(workflow.run("x"))
    pprint_run_response(longer.run("x", stream=True))
    assert capsys.readouterr().out == "a [b]\na [b]\nafter a [b]\n"


def test_data_is_printed_as_json_and_markdown_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    data = Workflow(name="W", steps=[lambda step_input: StepOutput({"n": [1]})])
    pprint_run_response(data.run("x"), markdown=True)
    assert capsys.readouterr().out == boxed('{\n    "n": [\n        1\n    ]\n}')
    marked = Workflow(name="W", steps=[lambda step_input: "- one\n- two"])
    pprint_run_response(marked.run("x"), markdown=True)
    assert "• one" in capsys.readouterr().out
    pprint_run_response(marked.run("x", stream=True), show_time=True)
    assert "Response" in capsys.readouterr().out


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_printing_an_asynchronous_stream_writes_its_content(capsys: pytest.CaptureFixture[str]) -> None:
    workflow = Workflow(name="W", steps=[echo])
    await apprint_run_response(workflow.arun("x", stream=True))
    await apprint_run_response(await workflow.arun("x"))
    assert capsys.readouterr().out == boxed("echo x") * 2


def test_a_paused_functions_mark_can_be_read() -> None:
    @pause(requires_confirmation=True, confirmation_message="Sure?")
    def marked(step_input: StepInput) -> str:
        return "marked"

    assert has_pause_metadata(marked)
    assert not has_pause_metadata(echo)
    assert get_pause_metadata(marked) == {"requires_confirmation": True, "confirmation_message": "Sure?"}


def test_a_bare_word_is_no_expression() -> None:
    assert is_cel_expression("input.contains('x')")
    assert not is_cel_expression("my_function")


def test_the_layer_imports_nothing_of_agno() -> None:
    assert not [name for name in sys.modules if name == "agno" or name.startswith("agno.")]
