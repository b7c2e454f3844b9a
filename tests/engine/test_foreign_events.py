"""A step that passes on the events of another run: they are one level deeper, below the step's path."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from workflow_runtime import CustomEvent, Event, RunContext, Step, StepInput, Workflow

pytestmark = pytest.mark.anyio


async def test_events_of_another_run_keep_their_place_below_the_step() -> None:
    def greet(step_input: StepInput, run_context: RunContext) -> str:
        run_context.emit({"name": "greeted"})
        return f"hello {step_input.input}"

    inner = Workflow(name="inner", steps=[Step("greet", executor=greet)])

    async def elsewhere(step_input: StepInput) -> AsyncIterator[Event]:
        async for event in inner.arun("you", stream=True, stream_events=True):
            yield event

    outer = Workflow(name="outer", steps=[Step("far", executor=elsewhere)])
    run = outer.arun("x", stream=True, stream_events=True)
    events = [event async for event in run]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert {event.run_id for event in events} == {run.run_id}
    assert [(event.event, event.path) for event in events if event.nested_depth == 1] == [
        ("WorkflowStarted", "0.far"),
        ("StepStarted", "0.far/0.greet"),
        ("CustomEvent", "0.far/0.greet"),
        ("StepOutput", "0.far/0.greet"),
        ("StepCompleted", "0.far/0.greet"),
        ("WorkflowCompleted", "0.far"),
    ]
    custom = next(event for event in events if isinstance(event, CustomEvent))
    assert (custom.step_id, custom.parent_step_id, custom.step_name) == ("0.far/0.greet", "0.far", "greet")
