"""The events of every kind of run, folded into AG-UI and read by its own models and rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import ag_ui.core as ag
import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_runtime import (
    Condition,
    HumanReview,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Retry,
    RunContext,
    Step,
    StepCompletedEvent,
    StepContentEvent,
    StepInput,
    StepStartedEvent,
    Workflow,
    WorkflowCompletedEvent,
    WorkflowResumedEvent,
    WorkflowStartedEvent,
)
from workflow_runtime.model.executor_events import EXECUTOR_EVENTS
from workflow_runtime.server.agui.mapping import RunMapping
from workflow_runtime.server.agui.patch import json_patch
from workflow_runtime.testing import Reply, ScriptedAgent

from .reader import Reader, read

pytestmark = pytest.mark.anyio
ASKED = ag.UserMessage(id="u1", content="hello")


async def mapped(workflow: Workflow, **options: Any) -> Reader:
    """What a reader has after a run of ``workflow``."""
    mapping = RunMapping("thread", "run", [ASKED])
    events = mapping.start()
    stream = workflow.arun("x", stream=True, stream_events=True, **options)
    try:
        async for event in stream:
            events += mapping.take(event)
    except Exception:
        assert mapping.ended
    assert mapping.ended
    return read(events, messages=[ASKED])


async def words(step_input: StepInput) -> AsyncIterator[str]:
    for word in ("one ", "two"):
        yield word


def quiet(step_input: StepInput) -> str:
    return "said at once"


async def test_streamed_text_is_one_message_of_its_step() -> None:
    found = await mapped(Workflow(name="w", steps=[Step("talk", executor=words)]))
    assert found.texts == ["hello", "one two"], "the answer is not said a second time at the end"
    assert found.steps == ["talk"]
    assert (found.outcome.type, found.result) == ("success", "one two")


async def test_an_answer_that_was_not_streamed_is_said_at_the_end() -> None:
    found = await mapped(Workflow(name="w", steps=[Step("talk", executor=words), Step("sum", executor=quiet)]))
    assert found.texts == ["hello", "one two", "said at once"]


async def test_steps_of_one_name_at_one_time_are_told_apart() -> None:
    inner = Workflow(name="inner", steps=[Step("talk", executor=words)])
    steps = [
        Parallel(Step("a", workflow=inner), Step("b", workflow=inner), name="both"),
        Map(Step("each", executor=words), over=lambda step_input: [1, 2, 3], name="items"),
        Loop([Step("again", executor=words)], max_iterations=2, name="rounds"),
        Condition(evaluator=True, steps=[Step("then", executor=quiet)], name="if"),
    ]
    found = await mapped(Workflow(name="w", steps=steps))
    assert len(found.texts) == 1 + 2 + 3 + 2 + 1
    assert {"both", "a", "b", "items", "rounds", "again", "if", "then"} <= set(found.steps)
    assert len([name for name in found.steps if name.startswith("talk")]) == 2
    assert len([name for name in found.steps if name.startswith("each")]) == 3


async def test_text_of_an_attempt_that_failed_is_taken_back() -> None:
    tries = 0

    async def flaky(step_input: StepInput) -> AsyncIterator[str]:
        nonlocal tries
        tries += 1
        yield f"try {tries}"
        if tries == 1:
            raise OSError("no")

    steps = [Step("talk", executor=words), Step("flaky", executor=flaky, retry=Retry(attempts=2, delay=0.001))]
    found = await mapped(Workflow(name="w", steps=steps))
    assert found.texts == ["hello", "one two", "try 2"]
    assert "StepRetry" in dict(found.custom)


async def test_a_failed_run_is_an_error_with_what_was_said_before() -> None:
    def fail(step_input: StepInput) -> str:
        raise LookupError("nothing there")

    found = await mapped(Workflow(name="w", steps=[Step("talk", executor=words), Step("fail", executor=fail)]))
    assert found.error is not None
    assert (found.error.message, found.error.code) == ("nothing there", "LookupError")
    assert found.texts == ["hello", "one two"]


async def test_values_and_events_that_are_no_text_are_custom_events() -> None:
    async def emit(step_input: StepInput, run_context: RunContext) -> AsyncIterator[Any]:
        run_context.emit({"name": "seen", "answer": 42})
        run_context.progress(1, 2)
        yield {"chunk": 1}

    found = await mapped(Workflow(name="w", steps=[Step("emit", executor=emit)]))
    names = [name for name, _ in found.custom]
    assert names == ["CustomEvent", "StepProgress", "StepContent"]
    assert found.custom[0][1]["answer"] == 42
    assert found.result == [{"chunk": 1}]
    assert found.texts == ["hello"]


async def test_an_agents_text_is_a_message_and_its_metrics_are_the_runs_usage() -> None:
    agent = ScriptedAgent("writer", Reply(content="as asked", tools=["search"]))
    found = await mapped(Workflow(name="w", steps=[Step("write", agent=agent)]))
    assert found.texts == ["hello", "as asked"]
    assert [(usage.input_tokens, usage.output_tokens) for usage in found.usage] == [(1, 2)]


async def test_a_tool_call_of_an_agent_is_one_with_its_arguments_and_result() -> None:
    async def agent(step_input: StepInput) -> AsyncIterator[Any]:
        tool = {"tool_call_id": "c1", "tool_name": "search", "tool_args": {"q": "x"}}
        yield {"event": "ToolCallStarted", "tool": tool}
        yield {"event": "ToolCallCompleted", "tool": {**tool, "result": "found"}}
        yield {"event": "ToolCallCompleted", "tool": {**tool, "tool_call_id": "c2", "result": [1]}}
        yield {"event": "RunContent", "content": "so"}

    found = await mapped(Workflow(name="w", steps=[Step("ask", executor=agent)]))
    assert found.calls == {"c1": '{"q":"x"}', "c2": '{"q":"x"}'}
    assert found.texts == ["hello", "found", "[1]", "so"]


async def test_a_pause_is_an_interrupt_with_the_schema_of_its_answer() -> None:
    steps = [
        Step("talk", executor=words),
        Parallel(
            Step("pay", executor=quiet, requires_confirmation=True, confirmation_message="Pay?"),
            Step("review", executor=words, human_review=HumanReview(requires_output_review=True)),
            name="both",
        ),
    ]
    found = await mapped(Workflow(name="w", steps=steps, db=InMemoryDb()))
    assert found.outcome.type == "interrupt"
    pay, review = sorted(found.outcome.interrupts, key=lambda item: item.id)
    assert (pay.reason, pay.message) == ("confirmation", "Pay?")
    assert review.reason == "workflow_runtime:output_review"
    assert pay.response_schema["required"] == ["confirmed"]
    assert found.texts == ["hello", "one two", "one two"]


async def test_a_cancelled_run_is_neither_a_success_nor_an_error() -> None:
    async def wait(step_input: StepInput, run_context: RunContext) -> AsyncIterator[str]:
        yield "so far"
        workflow.cancel_run(run_context.run_id)
        yield "never"

    workflow = Workflow(name="w", steps=[Step("wait", executor=wait)])
    found = await mapped(workflow)
    assert found.outcome.type == "cancelled"


def told(*events: Any) -> Reader:
    """What a reader has after these events."""
    mapping = RunMapping("thread", "run", [ASKED])
    return read([*mapping.start(), *(item for event in events for item in mapping.take(event))], messages=[ASKED])


def step(name: str, seq: int, *words: str, epoch: int = 1, ends: bool = True, **fields: Any) -> list[Any]:
    """A step's events, from number ``seq`` on."""
    common: dict[str, Any] = {"epoch": epoch, "run_id": "r", "path": f"0.{name}", "step_name": name, **fields}
    found: list[Any] = [StepStartedEvent(seq=seq, **common)]
    found += [StepContentEvent(seq=seq + n, delta=word, **common) for n, word in enumerate(words, 1)]
    return [*found, StepCompletedEvent(seq=seq + len(found), **common)] if ends else found


def tool(seq: int) -> Any:
    called = {"tool_call_id": "c1", "tool_name": "look", "result": "seen"}
    return EXECUTOR_EVENTS["ToolCallCompleted"](seq=seq, run_id="r", path="0.b", step_name="b", tool=called)


def test_after_a_take_over_only_what_stands_is_left_of_the_messages() -> None:
    seen = [WorkflowStartedEvent(seq=1), *step("a", 2, "kept"), *step("b", 5, "lost ", "too", ends=False), tool(8)]
    resumed = WorkflowResumedEvent(seq=5, epoch=2, run_id="r", attempt=2, after_seq=4)
    rest = [*step("b", 6, "again", epoch=2), WorkflowCompletedEvent(seq=9, epoch=2, content="again")]
    found = told(*seen, resumed, *rest)
    assert found.texts == ["hello", "kept", "again"]
    assert found.calls == {}
    assert found.steps == ["a", "b", "b"]
    assert found.outcome.type == "success"
    assert ("WorkflowResumed", 4) in [(name, value.get("after_seq")) for name, value in found.custom]


def test_a_step_whose_end_was_not_stored_is_told_again() -> None:
    seen = [WorkflowStartedEvent(seq=1), *step("a", 2, "lost"), *step("b", 5, "lost too")]
    resumed = WorkflowResumedEvent(seq=4, epoch=2, run_id="r", attempt=2, after_seq=3)
    rest = [*step("a", 5, "one", epoch=2), *step("b", 8, "two", epoch=2), WorkflowCompletedEvent(seq=11, epoch=2)]
    assert told(*seen, resumed, *rest).texts == ["hello", "one", "two"]


def test_a_take_over_of_a_nested_run_takes_back_what_was_open_in_it() -> None:
    seen = [WorkflowStartedEvent(seq=1), *step("a", 2, "kept"), *step("far/0.x", 5, "lost", ends=False, nested_depth=1)]
    resumed = WorkflowResumedEvent(seq=7, run_id="r", path="0.far", nested_depth=1, attempt=2, after_seq=1)
    rest = [*step("far/0.x", 8, "again", nested_depth=1), WorkflowCompletedEvent(seq=11)]
    assert told(*seen, resumed, *rest).texts == ["hello", "kept", "again"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "~", "/", "~1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b/c", "~d", ""]), inner),
    max_leaves=12,
)


@given(JSON, JSON)
def test_a_patch_makes_the_one_value_of_the_other(before: Any, after: Any) -> None:
    operations = json_patch(before, after)
    ag.StateDeltaEvent.model_validate({"delta": operations})
    made = jsonpatch.apply_patch(before, operations) if operations else before
    assert repr(made) == repr(after) or _same(made, after)
    assert operations or _same(before, after)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON, where true is no number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other
