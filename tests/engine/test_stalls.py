"""What holds the event loop up is reported with the step it is in, and so is what does not end when told to. (D9, D13)"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from workflow_runtime import (
    Condition,
    Parallel,
    Retry,
    RunContext,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    Steps,
    StepTimeoutError,
    Workflow,
    WorkflowCancelledEvent,
)
from workflow_runtime.engine.loop import cleanup, stalls
from workflow_runtime.engine.loop.process import current
from workflow_runtime.engine.readers import observers
from workflow_runtime.engine.run import invoke
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio


class Told(logging.Handler):
    """The warnings of the package, and an event for code that waits for one without giving up its thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.places: list[Any] = []
        self.held_up = threading.Event()

    def about(self, words: str) -> list[int]:
        """Which reports have these words. A machine that is busy may be the reason of others."""
        return [number for number, text in enumerate(self.texts) if words in text]

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.places.append((getattr(record, "run_id", None), getattr(record, "step_path", None)))
        if "in hold_up: " in self.texts[-1]:
            self.held_up.set()


@pytest.fixture
def told() -> Iterator[Told]:
    handler = Told()
    logger = logging.getLogger("workflow_runtime")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def hold_up(told: Told) -> None:
    """Keep this thread from doing anything else until the watchdog has said so."""
    while not told.held_up.is_set():
        pass


async def test_a_step_that_holds_the_loop_up_is_reported_while_it_does(told: Told) -> None:
    async def blocks(step_input: StepInput) -> str:
        hold_up(told)
        return "done"

    inner = Steps(name="group", steps=[Step(name="slow", executor=blocks)])
    workflow = Workflow(name="w", steps=[Parallel(inner, Step(name="other", executor=lambda: "x"), name="both")])
    with anyio.fail_after(60):
        async with Runtime(workflow, stall_after=0.05) as runtime:
            output = await workflow.arun(run_id="r")
            while not any("in hold_up: " in stall.where for stall in runtime.report.stalls):
                await anyio.lowlevel.checkpoint()
    assert output.status is RunStatus.completed
    stands, stood = told.about("in hold_up: ")
    assert "the event loop has been blocked for" in told.texts[stands]
    assert "step '0.both/0.group/0.slow' of run r, at" in told.texts[stands]
    assert "test_stalls.py" in told.texts[stands]
    assert told.places[stands] == ("r", "0.both/0.group/0.slow")
    (stall,) = (stall for stall in runtime.report.stalls if "in hold_up: " in stall.where)
    assert (stall.run_id, stall.path) == ("r", "0.both/0.group/0.slow")
    assert stall.seconds > 0.05
    assert "stood still for" in told.texts[stood]


@pytest.mark.parametrize("kind", ["generator", "async generator", "inline", "condition"])
async def test_it_is_found_in_code_of_every_kind(told: Told, kind: str) -> None:
    async def chunks(step_input: StepInput) -> AsyncIterator[str]:
        yield "a"
        hold_up(told)
        yield "b"

    def inline(step_input: StepInput) -> str:
        hold_up(told)
        return "x"

    def lazily(step_input: StepInput) -> Iterator[str]:
        yield "a"
        hold_up(told)

    def holds(step_input: StepInput) -> bool:
        hold_up(told)
        return True

    made: dict[str, Any] = {
        "generator": Step(name="it", executor=lazily, offload=False),
        "async generator": Step(name="it", executor=chunks),
        "inline": Step(name="it", executor=inline, offload=False),
        "condition": Condition([lambda: "x"], evaluator=holds, name="it"),
    }
    workflow = Workflow(name="w", steps=[made[kind]])
    with anyio.fail_after(60):
        async with Runtime(workflow, stall_after=0.05):
            await workflow.arun(run_id="r")
    assert "step '0.it' of run r" in told.texts[told.about("in hold_up: ")[0]]


async def test_debug_mode_watches_too_and_only_while_a_run_is_going(
    told: Told, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr(observers, "STALL_SECONDS", 0.05)

    async def blocks(step_input: StepInput) -> None:
        hold_up(told)

    logging.getLogger("workflow_runtime.debug").setLevel(logging.CRITICAL)
    try:
        with anyio.fail_after(60):
            await Workflow(name="w", steps=[blocks], debug_mode=True).arun(run_id="r")
    finally:
        logging.getLogger("workflow_runtime.debug").setLevel(logging.NOTSET)
    assert "step '0.blocks' of run r" in told.texts[told.about("in hold_up: ")[0]]
    assert not current().watches, "nobody wants to know any more"
    await until(lambda: current().watchdog is None)


async def test_without_either_no_thread_looks() -> None:
    async def look(step_input: StepInput) -> list[str]:
        return [thread.name for thread in threading.enumerate()]

    assert "workflow_runtime watchdog" not in (await Workflow(steps=[look]).arun()).content


async def test_a_step_that_blocks_its_own_thread_is_no_stall(told: Told) -> None:
    go = threading.Event()

    def waits(run_context: RunContext) -> str:
        assert go.wait(60)
        return "x"

    workflow = Workflow(name="w", steps=[Parallel(waits, lambda: go.set())])
    async with Runtime(workflow, stall_after=10.0) as runtime:
        await workflow.arun()
    assert (runtime.report.stalls, told.texts) == ([], [])


# -- what does not end ---------------------------------------------------------------------------------------------------


async def stubborn(told: Told) -> str:
    """Catches its cancellation until it was reported."""
    while not told.about("still runs"):
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            await anyio.lowlevel.cancel_shielded_checkpoint()
    return "came too late"


async def test_a_step_that_catches_its_cancellation_is_reported_and_the_run_ends_as_cancelled(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "LATE_SECONDS", 0.01)
    monkeypatch.setattr(cleanup, "CLEANUP_SECONDS", 0.1)
    started = anyio.Event()

    async def deaf(step_input: StepInput) -> str:
        started.set()
        return await stubborn(told)

    workflow = Workflow(name="w", steps=[Step(name="deaf", executor=deaf)])
    with anyio.fail_after(60):
        stream = workflow.arun(stream=True, run_id="r")
        async for event in stream:
            await started.wait()
            workflow.cancel_run("r")
            last = event
    assert isinstance(last, WorkflowCancelledEvent)
    report = told.texts[told.about("still runs")[0]]
    assert "run r was cancelled" in report
    assert "still runs: step '0.deaf' of run r, at" in report
    assert "in stubborn:" in report
    assert "catches its cancellation" in report


@pytest.mark.parametrize("limit", ["step", "attempt", "run"])
async def test_a_step_that_catches_its_timeout_is_reported_and_what_it_gives_does_not_count(
    told: Told, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(stalls, "LATE_SECONDS", 0.01)
    monkeypatch.setattr(cleanup, "CLEANUP_SECONDS", 0.1)

    clock = FakeClock()

    async def deaf(step_input: StepInput) -> str:
        clock.advance(0.01)
        return await stubborn(told)

    options: dict[str, Any] = {"timeout": 0.01} if limit == "step" else {}
    if limit == "attempt":
        options["retry"] = Retry(attempts=1, timeout=0.01)
    workflow = Workflow(
        name="w",
        steps=[Step(name="deaf", executor=deaf, **options)],
        run_timeout=0.01 if limit == "run" else None,
        clock=clock,
    )
    with (
        anyio.fail_after(60),
        pytest.raises(TimeoutError, match=r"took longer than .*; it caught its cancellation") as e,
    ):
        await workflow.arun(run_id="r")
    assert isinstance(e.value, StepTimeoutError) is (limit != "attempt")
    report = told.texts[told.about("still runs")[0]]
    assert "run r took longer than 0.01 s at" in report
    assert "step '0.deaf' of run r, at" in report


async def test_what_ends_in_time_is_not_looked_for_any_more(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []
    later = stalls.later

    def noted(seconds: float, look: Any) -> Any:
        call_off = later(seconds, look)
        looks.append(look)

        def forget() -> None:
            looks.remove(look)
            call_off()

        return forget

    monkeypatch.setattr(stalls, "later", noted)
    clock = FakeClock()
    looked_for: list[int] = []

    async def short(step_input: StepInput) -> None:
        looked_for.append(len(looks))

    async def long(step_input: StepInput) -> None:
        looked_for.append(len(looks))
        clock.advance(60)
        await anyio.sleep_forever()

    await Workflow(steps=[Step(name="short", executor=short, timeout=60)], clock=clock).arun()
    with pytest.raises(StepTimeoutError, match=r"its timeout of 60 s\n"):
        await Workflow(steps=[Step(name="long", executor=long, timeout=60)], clock=clock).arun()
    (failed,) = told.texts
    assert failed.endswith(": step '0.long' failed")
    assert (looked_for, looks) == ([1, 1], [])


@pytest.mark.parametrize("kind", ["step", "agent"])
async def test_the_clean_up_of_a_cancelled_generator_has_an_end(
    told: Told, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(invoke, "CLEANUP_SECONDS", 0.01)
    cut_off: list[str] = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                cut_off.append("clean-up")
                raise

    class Agent:
        name = "agent"

        def arun(self, input: Any) -> AsyncIterator[str]:
            return endless()

    step = Step(name="it", agent=Agent()) if kind == "agent" else Step(name="it", executor=lambda: endless())
    workflow = Workflow(name="w", steps=[step], buffer_size=4)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, run_id="r") as stream:
            async for event in stream:
                if event.event == "StepContent":
                    break
    output = await stream.result()
    assert output.status is RunStatus.cancelled
    assert cut_off == ["clean-up"]
    assert any("the generator of step '0.it' did not close within 0.01 s" in text for text in told.texts)
