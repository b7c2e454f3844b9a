"""Values that cannot be stored, threads that come too late, and runs that no database knows."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import anyio.from_thread
import pytest

from workflow_runtime import (
    BaseDb,
    Condition,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Router,
    RunContext,
    RunNotPaused,
    RunStatus,
    Step,
    StepInput,
    Steps,
    StepTimeoutError,
    UnserializableError,
    Workflow,
)
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio


class Unknown:
    """Nothing that a database could give back."""


async def fine(step_input: StepInput) -> str:
    return "fine"


async def unstorable(step_input: StepInput) -> Unknown:
    return Unknown()


async def spoil_state(step_input: StepInput, run_context: RunContext) -> str:
    run_context.session_state["k"] = Unknown()
    return "spoilt"


def bad() -> Step:
    return Step("bad", executor=unstorable)


PLACES: dict[str, tuple[Any, str]] = {
    "top": (bad(), "1.bad"),
    "steps": (Steps(name="in", steps=[bad()]), "1.in/0.bad"),
    "parallel": (Parallel(Step("good", executor=fine), bad(), name="in"), "1.in/1.bad"),
    "loop": (Loop([bad()], name="in"), "1.in#0/0.bad"),
    "condition": (Condition([bad()], name="in"), "1.in/if.0.bad"),
    "router": (Router([bad()], selector=lambda step_input: "bad", name="in"), "1.in/0.bad"),
    "map": (Map(bad(), over=lambda step_input: [1], name="in"), "1.in#0/0.bad"),
    "nested": (Step("in", workflow=Workflow(name="inner", steps=[bad()])), "1.in/0.bad"),
    "state": (Step("spoil", executor=spoil_state), "1.spoil"),
}


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("place", PLACES)
async def test_a_value_that_cannot_be_stored_fails_the_run_with_its_path_and_keeps_what_was_finished(
    db: BaseDb, place: str, durability: str
) -> None:
    step, path = PLACES[place]
    workflow = Workflow(name="w", db=db, durability=durability, steps=[Step("first", executor=fine), step])
    with pytest.raises(UnserializableError) as caught:
        await workflow.arun("x", session_id="s")
    assert str(caught.value).startswith(f"{path}: ")
    stored = await workflow.aget_last_run_output("s")
    assert stored is not None
    assert stored.status is RunStatus.error
    assert stored.step_results[0].content == "fine"
    assert await workflow.recover() == []


@pytest.mark.parametrize("limit", ["step", "container", "run"])
async def test_what_a_thread_returns_after_its_deadline_is_a_timeout(limit: str) -> None:
    clock = FakeClock()

    def late(step_input: StepInput) -> str:
        clock.advance(60)  # the deadline passes while the thread works
        with contextlib.suppress(BaseException):
            while True:
                anyio.from_thread.check_cancelled()
                threading.Event().wait(0.001)
        return "too late"

    step = Step("late", executor=late, timeout=60 if limit == "step" else None)
    steps = [Steps(name="in", steps=[step], timeout=60)] if limit == "container" else [step]
    workflow = Workflow(name="w", steps=steps, run_timeout=60 if limit == "run" else None, clock=clock)
    with pytest.raises(StepTimeoutError):
        await workflow.arun("x")


async def test_a_paused_run_that_no_database_knows_can_be_cancelled() -> None:
    gated = Workflow(name="w", steps=[Step("gate", executor=fine, requires_confirmation=True)])
    output = await gated.arun("x")
    assert output.run_id is not None
    assert await gated.acancel_run(output.run_id) is True
    assert output.status is RunStatus.cancelled
    output.active_step_requirements[0].confirm()
    with pytest.raises(RunNotPaused):
        await gated.acontinue_run(output)
    assert await gated.acancel_run(output.run_id) is False


async def test_a_run_that_waits_inside_a_step_can_be_cancelled_without_a_database() -> None:
    ended: list[str] = []

    async def asks(step_input: StepInput, run_context: RunContext) -> Any:
        try:
            return await run_context.ask("Well?")
        finally:
            ended.append("ended")

    workflow = Workflow(name="w", steps=[asks])
    output = await workflow.arun("x")
    assert output.run_id is not None
    assert await workflow.acancel_run(output.run_id) is True
    assert ended == ["ended"]
    assert output.status is RunStatus.cancelled


async def test_emit_takes_a_mapping_and_refuses_what_is_no_event() -> None:
    async def emits(step_input: StepInput, run_context: RunContext) -> None:
        run_context.emit({"done": 1})
        run_context.emit("text")  # type: ignore[arg-type]  # what is refused

    seen: list[Any] = []

    async def read() -> None:
        async for event in Workflow(name="w", db=InMemoryDb(), steps=[emits]).arun("x", stream=True):
            seen.append(event)

    with pytest.raises(TypeError, match=r"emit\(\) takes a CustomEvent, a mapping or keywords, not a str"):
        await read()
    assert [event.done for event in seen if event.event == "CustomEvent"] == [1]
