"""Whatever a step raises is a failure of that step, with its policy, in every container; whatever it returns is data."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from verbs import names

from workflow_runtime import (
    BaseDb,
    Condition,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Retry,
    Router,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)

pytestmark = pytest.mark.anyio


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NotText(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307  # what this is about


class Demanding(Exception):
    def __init__(self, where: str, *, code: int) -> None:
        super().__init__(f"{where} {code}")
        self.code = code


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    text: str


class Base(BaseException):
    """No Exception."""


def chained() -> Exception:
    error = ValueError("second")
    error.__cause__ = error  # a circle
    return error


SHAPES: dict[str, Callable[[], BaseException]] = {
    "StopIteration": lambda: StopIteration(1),
    "StopAsyncIteration": lambda: StopAsyncIteration("end"),
    "lone surrogate": lambda: ValueError("half \ud800 pair"),
    "not UTF-8": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    "NUL": lambda: ValueError("a\0b"),
    "str raises": NoText,
    "str is no text": NotText,
    "demanding": lambda: Demanding("x", code=3),
    "unpicklable": lambda: Unpicklable("x"),
    "frozen": lambda: Frozen("x"),
    "group": lambda: ExceptionGroup("several", [ValueError("one"), NoText()]),
    "base group": lambda: BaseExceptionGroup("several", [ValueError("one"), SystemExit(2)]),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "BaseException": lambda: Base("x"),
    "its own cause": chained,
    "CancelledError": asyncio.CancelledError,
}
CONTAINERS: dict[str, Callable[[Step], Any]] = {
    "Step": lambda step: step,
    "Steps": lambda step: Steps(name="box", steps=[step]),
    "Parallel": lambda step: Parallel(step, Step("other", executor=fine), name="box"),
    "Map": lambda step: Map(step, over=lambda step_input: [1, 2], name="box"),
    "Loop": lambda step: Loop([step], name="box", max_iterations=1),
    "Condition": lambda step: Condition([step], evaluator=True, name="box"),
    "Router": lambda step: Router([step], selector=lambda step_input: step.name, name="box"),
    "Workflow": lambda step: Step("box", workflow=Workflow(name="inner", steps=[step])),
}


def fine() -> str:
    return "fine"


def executor(kind: str, make: Callable[[], BaseException]) -> Callable[..., Any]:
    async def coroutine(step_input: StepInput) -> str:
        raise make()

    def function(step_input: StepInput) -> str:
        raise make()

    async def generator(step_input: StepInput) -> Any:
        yield "a chunk"
        raise make()

    def sync_generator(step_input: StepInput) -> Any:
        yield "a chunk"
        raise make()

    return {"async": coroutine, "sync": function, "async generator": generator, "generator": sync_generator}[kind]


KINDS = ("async", "sync", "async generator", "generator")


def raised_in(steps: Any, policy: str, kind: str, make: Callable[[], BaseException]) -> Any:
    options: dict[str, Any] = {"on_error": "skip"} if policy == "skip" else {}
    if policy == "retry":
        options["retry"] = Retry(attempts=2, delay=0)
    return steps(Step("odd", executor=executor(kind, make), offload=kind != "inline", **options))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("policy", ["skip", "retry", "fail"])
async def test_an_exception_of_any_shape_has_the_policy_of_its_step(
    shape: str, kind: str, policy: str, anyio_backend_name: str
) -> None:
    if shape == "CancelledError" and anyio_backend_name == "trio":
        return  # there it is an exception as any other that is no Exception, see the containers
    for box in CONTAINERS.values():
        workflow = Workflow(
            name="odd",
            steps=[raised_in(box, policy, kind, SHAPES[shape]), Step("after", executor=fine)],
            db=InMemoryDb(),
        )
        stream = workflow.arun("x", stream=True)
        events, error = [], None
        try:
            async for event in stream:
                events.append(event)
        except Exception as failure:
            error = failure
        output = await workflow.aget_run(stream.run_id)
        assert output is not None
        if policy == "skip":
            assert (output.status, output.content, error) == (RunStatus.completed, "fine", None)
        else:
            assert output.status is RunStatus.error
            assert error is not None
            assert output.error is not None
            assert names(events)[-1] == "WorkflowError"
        if policy == "retry":
            assert "StepRetry" in names(events)
        (failed, *_) = [entry for entry in await workflow.history(stream.run_id) if entry.traceback is not None]
        assert failed.traceback is not None
        assert "test_odd_failures.py" in failed.traceback


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_function_that_is_the_workflow_fails_with_it(
    shape: str, kind: str, db: BaseDb, anyio_backend_name: str
) -> None:
    if shape == "CancelledError" and anyio_backend_name == "trio":
        return
    steps = executor(kind, SHAPES[shape])
    workflow = Workflow(name="odd", steps=steps, db=db)
    with pytest.raises(BaseException) as caught:
        await workflow.arun("x", run_id="r")
    assert not isinstance(caught.value, (StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError))
    output = await workflow.aget_run("r")
    assert output is not None
    assert output.status is RunStatus.error
    assert isinstance(output.error, str)
    output.to_dict()
    (entry,) = await workflow.history("r")
    assert (entry.path, entry.status) == ("", "failed")
    await workflow.arun("x", run_id="background", background=True)
    async for _ in workflow.subscribe("background"):
        pass
    assert (await workflow.aget_run_output("background")).error == output.error  # type: ignore[union-attr]


async def test_a_function_that_decides_may_raise_anything(anyio_backend_name: str) -> None:
    def decide(step_input: StepInput) -> bool:
        sys.exit(3)

    condition = Condition([Step("in", executor=fine)], evaluator=decide, name="if", on_error="skip")
    output = await Workflow(steps=[condition, Step("after", executor=fine)]).arun("x")
    assert (output.status, output.step_results[0].error) == (RunStatus.completed, "3")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), Base("x")])
def test_a_caller_that_waits_gets_an_exit_and_a_reader_of_a_stream_an_error(error: BaseException) -> None:
    async def leave() -> None:
        raise error

    workflow = Workflow(steps=[Step("leave", executor=leave)])
    with pytest.raises(type(error)):
        workflow.run("x")
    with pytest.raises(type(error)):
        asyncio.run(workflow.arun("x"))
    with pytest.raises(RuntimeError, match=f"leave raised {type(error).__name__}") as caught:
        list(workflow.run("x", stream=True))
    assert caught.value.__cause__ is error


def test_what_a_signal_handler_raises_is_not_the_step_s() -> None:
    handled = signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(7))
    try:

        async def step() -> None:
            signal.raise_signal(signal.SIGUSR1)

        workflow = Workflow(steps=[Step("step", executor=step, on_error="skip")])
        with pytest.raises(SystemExit):
            asyncio.run(workflow.arun("x"))
    finally:
        signal.signal(signal.SIGUSR1, handled)


# -- what is told of a failure -----------------------------------------------------------------------------------------


def deep(value: int) -> Any:
    return {}["customer"]


async def charge(step_input: StepInput) -> Any:
    return deep(1)


def sync_charge(step_input: StepInput) -> Any:
    return deep(1)


@pytest.mark.parametrize("function", [charge, sync_charge])
@pytest.mark.parametrize("box", CONTAINERS)
def test_a_traceback_is_the_user_s_in_every_mode(box: str, function: Any) -> None:
    workflow = Workflow(name="w", steps=[CONTAINERS[box](Step("charge", executor=function))])

    async def streamed() -> None:
        async for _ in workflow.arun("x", stream=True):
            pass

    async def read() -> None:
        await workflow.arun("x", stream=True).result()

    calls: list[Callable[[], Any]] = [
        lambda: workflow.run("x"),
        lambda: list(workflow.run("x", stream=True)),
        lambda: workflow.run("x", stream=True).result(),
        lambda: asyncio.run(workflow.arun("x")),
        lambda: asyncio.run(streamed()),
        lambda: asyncio.run(read()),
    ]
    for call in calls:
        with pytest.raises(KeyError) as caught:
            call()
        lines = "".join(traceback.format_exception(caught.value)).splitlines()
        ours, inside = 0, False
        for line in lines:
            if line.startswith("  File "):
                inside = "/workflow_runtime/" in line
            ours += inside and line.startswith("  ")
        assert ours <= 8, lines
        assert "return {}" in "".join(lines)


async def test_who_waits_twice_gets_the_same_traceback(anyio_backend_name: str) -> None:
    stream = Workflow(steps=[Step("charge", executor=charge)]).arun("x", stream=True)
    texts = []
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            await stream.result()
        texts.append(len(traceback.format_exception(caught.value)))
    assert texts[1] == texts[2]


async def test_history_and_the_exception_say_where_it_was(db: BaseDb) -> None:
    steps = [Step("charge", executor=charge, retry=Retry(attempts=2, delay=0))]
    workflow = Workflow(name="w", steps=[Parallel(*steps, name="box")], db=db)
    with pytest.raises(KeyError) as caught:
        await workflow.arun("x", run_id="r")
    note = "In step 'charge' (path 0.box/0.charge, attempt 2) of run r"
    assert caught.value.__notes__ == [note]
    entries = {entry.path: entry for entry in await workflow.history("r")}
    failed = entries["0.box/0.charge"]
    assert (failed.status, failed.attempt, failed.error, failed.error_type) == ("failed", 2, "'customer'", "KeyError")
    assert failed.traceback is not None
    lines = failed.traceback.splitlines()
    assert next(line for line in lines if "File" in line).endswith("in charge")
    assert 'return {}["customer"]' in failed.traceback
    assert lines[-2:] == ["KeyError: 'customer'", note]
    assert "workflow_runtime/engine" not in failed.traceback


async def test_a_step_that_was_skipped_or_tried_again_keeps_what_it_raised(db: BaseDb) -> None:
    async def flaky(run_context: RunContext) -> str:
        if run_context.attempt == 1:
            raise ConnectionError("the line")
        return "done"

    steps = [
        Step("charge", executor=charge, on_error="skip"),
        Step("flaky", executor=flaky, retry=Retry(attempts=2, delay=0)),
    ]
    workflow = Workflow(name="w", steps=steps, db=db)
    await workflow.arun("x", run_id="r")
    skipped, again = await workflow.history("r")
    assert (skipped.status, skipped.error_type) == ("done", "KeyError")
    assert "deep" in (skipped.traceback or "")
    assert (again.status, again.attempt, again.error) == ("done", 2, "the line")
    assert "flaky" in (again.traceback or "")


async def test_a_fork_of_a_failed_run_tells_its_own_failures_only(db: BaseDb) -> None:
    fail = [True]

    async def sometimes() -> str:
        if fail[0]:
            raise ValueError("no")
        return "yes"

    workflow = Workflow(name="w", steps=[Step("first", executor=fine), Step("sometimes", executor=sometimes)], db=db)
    with pytest.raises(ValueError, match="no"):
        await workflow.arun("x", run_id="r")
    fail[0] = False
    for at in (None, "1.sometimes"):
        forked = await workflow.fork("r", at)
        history = await workflow.history(forked.run_id or "")
        assert [(entry.path, entry.status, entry.traceback) for entry in history] == [
            ("0.first", "done", None),
            ("1.sometimes", "done", None),
        ]


async def test_an_exception_that_is_raised_again_and_again_has_the_note_of_the_last_time(
    anyio_backend_name: str,
) -> None:
    error = ValueError("one object")
    error.add_note("the user's")

    async def raises() -> None:
        raise error

    workflow = Workflow(steps=[Step("raises", executor=raises, retry=Retry(attempts=3, delay=0), on_error="skip")])
    for _ in range(3):
        output = await workflow.arun("x")
    note = f"In step 'raises' (path 0.raises, attempt 3) of run {output.run_id}"
    assert error.__notes__ == ["the user's", note]


async def test_a_deep_or_long_failure_is_stored_bounded(db: BaseDb) -> None:
    async def long() -> None:
        raise ValueError("x" * 1_000_000)

    def down(n: int) -> None:
        down(n + 1)

    async def recursion() -> None:
        down(0)

    steps = [Step("long", executor=long, on_error="skip"), Step("recursion", executor=recursion, on_error="skip")]
    workflow = Workflow(name="w", steps=steps, db=db)
    await workflow.arun("x", run_id="r")
    for entry in await workflow.history("r"):
        assert entry.traceback is not None
        assert len(entry.traceback) < 8_100


@pytest.mark.parametrize("policy", ["fail", "skip"])
async def test_a_failure_is_logged_once_with_its_run_and_step(
    policy: str, caplog: pytest.LogCaptureFixture, anyio_backend_name: str
) -> None:
    steps = [Step("charge", executor=charge, retry=Retry(attempts=2, delay=0), on_error=policy)]
    workflow = Workflow(name="w", steps=[Steps(name="box", steps=steps)], db=InMemoryDb())
    caplog.set_level(logging.DEBUG, logger="workflow_runtime")
    await workflow.arun("x", run_id="r", background=True)
    async for _ in workflow.subscribe("r"):
        pass
    (record,) = [record for record in caplog.records if record.exc_info]
    assert (record.run_id, record.step_path) == ("r", "0.box/0.charge")  # type: ignore[attr-defined]  # extra
    assert record.levelno == (logging.ERROR if policy == "fail" else logging.WARNING)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    assert "r" in record.getMessage()


@pytest.mark.parametrize("box", ["Parallel", "Map"])
async def test_fail_fast_raises_the_first_failure_and_notes_the_others(box: str, anyio_backend_name: str) -> None:
    met = anyio.Event()

    async def first(step_input: StepInput) -> None:
        if step_input.input in ("x", 1):
            met.set()
            raise ConnectionError("first")
        try:
            await anyio.sleep_forever()
        finally:
            raise RuntimeError("while it was cancelled")

    async def second() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise RuntimeError("while it was cancelled")

    tree = (
        Parallel(Step("first", executor=first), Step("second", executor=second))
        if box == "Parallel"
        else Map(Step("first", executor=first), over=lambda step_input: [2, 1])
    )
    with pytest.raises(ConnectionError, match="first") as caught:
        await Workflow(steps=[tree]).arun("x")
    where, other = caught.value.__notes__
    assert where.startswith("In step 'first'")
    assert other.startswith("Also failed: RuntimeError: while it was cancelled (In step ")


# -- what is returned is data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["demanding", "frozen", "group", "SystemExit", "StopIteration", "not UTF-8"])
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_step_may_return_an_exception(shape: str, kind: str, db: BaseDb) -> None:
    error = SHAPES[shape]()

    async def gives() -> Any:
        return error

    def gives_sync() -> Any:
        return error

    async def sees(step_input: StepInput) -> Any:
        assert step_input.previous_step_content is error
        return step_input.previous_step_content

    step = Step("gives", executor=gives if kind == "async" else gives_sync)
    workflow = Workflow(name="w", steps=[step, Parallel(Step("sees", executor=sees), name="box")], db=db)
    output = await workflow.arun("x", run_id="r")
    assert (output.status, output.content) == (RunStatus.completed, error)
    stored = (await workflow.aget_run_output("r")).content  # type: ignore[union-attr]  # it is stored
    assert type(stored) is type(error)
    assert stored.args == error.args or shape == "group"
    assert str(stored) == str(error)
    output.to_dict()


async def test_an_output_that_says_it_failed_may_hold_an_exception(db: BaseDb) -> None:
    async def gives() -> StepOutput:
        return StepOutput(ValueError("x"), success=False, error="no")

    workflow = Workflow(name="w", steps=[Step("gives", executor=gives)], db=db)
    output = await workflow.arun("x")
    assert (output.status, repr(output.content)) == (RunStatus.completed, "ValueError('x')")
