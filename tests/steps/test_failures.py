"""What a failing step does: its retries, its timeouts and its policy, the same inside any container."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from verbs import Verb, listen, names, of_kind

from workflow_runtime import (
    BaseDb,
    BuildError,
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
    Steps,
    StepTimeoutError,
    Workflow,
)
from workflow_runtime.testing import FakeClock


class PageMissing(LookupError):
    pass


async def fail(step_input: StepInput) -> str:
    raise PageMissing("page 7")


async def after(step_input: StepInput) -> str:
    return "after"


CLOCK = FakeClock()


async def hang(step_input: StepInput) -> str:
    """Takes a minute, by the workflow's clock."""
    CLOCK.advance(60)
    await anyio.sleep_forever()
    return "never"


CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "Steps": lambda steps: Steps(name="box", steps=steps),
    "Parallel": lambda steps: Parallel(Steps(name="branch", steps=steps), name="box"),
    "Loop": lambda steps: Loop(steps, name="box", max_iterations=1),
    "Condition": lambda steps: Condition(steps, evaluator=True, name="box"),
    "else": lambda steps: Condition([], evaluator=False, else_steps=steps, name="box"),
    "Router": lambda steps: Router([Steps(name="way", steps=steps)], selector=lambda step_input: "way", name="box"),
    "Map": lambda steps: Map(Steps(name="each", steps=steps), over=lambda step_input: [1], name="box"),
    "Workflow": lambda steps: Workflow(name="box", steps=steps),
}


# -- policies, in every container ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", CONTAINERS)
def test_fail_fails_the_run_with_the_steps_own_exception(verb: Verb, container: str) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(
            name="w",
            steps=[CONTAINERS[container]([fail, after]), Step("end", executor=after)],
            db=db,
            store_events=True,
        )

    ran = verb(make, raises=PageMissing)
    assert (ran.status, ran.output.error, ran.output.error_type) == (RunStatus.error, "page 7", "PageMissing")
    failed = of_kind(ran.events, "StepError")[0]  # the step that hosts a nested workflow fails with it
    assert (failed.step_name, failed.error, failed.error_type, failed.attempt) == ("fail", "page 7", "PageMissing", 1)
    assert "after" not in [event.step_name for event in of_kind(ran.events, "StepStarted")]


@pytest.mark.parametrize("container", CONTAINERS)
def test_skip_records_the_step_as_failed_and_goes_on(verb: Verb, container: str) -> None:
    def make(db: BaseDb) -> Workflow:
        steps = [Step(name="fail", executor=fail, on_error="skip"), after]
        return Workflow(name="w", steps=[CONTAINERS[container](steps)], db=db, store_events=True)

    ran = verb(make)
    assert ran.status is RunStatus.completed
    (box,) = ran.output.step_results
    skipped = next(inner for inner in box.walk() if inner.step_name == "fail")
    assert (skipped.success, skipped.error, skipped.content) == (
        False,
        "page 7",
        "Step fail skipped due to error: page 7",
    )
    assert not box.success, "a container with a failed step is no success"
    assert ran.content == "after"
    assert names(of_kind(ran.events, "StepError")) == ["StepError"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_pause_asks_a_person_and_goes_on_as_decided(verb: Verb, container: str) -> None:
    def make(db: BaseDb) -> Workflow:
        steps = [Step(name="fail", executor=fail, on_error="pause"), after]
        return Workflow(name="w", steps=[CONTAINERS[container](steps)], db=db, store_events=True)

    ran = verb(make)
    assert ran.status is RunStatus.paused
    (open_,) = ran.output.error_requirements or ()
    assert (open_.step_name, open_.error_message, open_.error_type) == ("fail", "page 7", "PageMissing")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.anyio
async def test_a_paused_error_is_retried_or_skipped(container: str) -> None:
    attempts: list[int] = []

    async def flaky(run_context: RunContext) -> str:
        attempts.append(run_context.attempt)
        if len(attempts) < 2:
            raise PageMissing("page 7")
        return "found it"

    steps = [Step(name="flaky", executor=flaky, on_error="pause"), after]
    workflow = Workflow(name="w", steps=[CONTAINERS[container](steps)], db=InMemoryDb())
    paused = await workflow.arun(run_id="retry")
    paused.active_error_requirements[0].retry()
    done = await workflow.acontinue_run(paused)
    assert done.status is RunStatus.completed
    assert next(found for found in done.step_results[0].walk() if found.step_name == "flaky").content == "found it"
    attempts.clear()
    paused = await workflow.arun(run_id="skip")
    paused.active_error_requirements[0].skip()
    done = await workflow.acontinue_run(paused)
    assert done.status is RunStatus.completed
    skipped = next(found for found in done.step_results[0].walk() if found.step_name == "flaky")
    assert (skipped.success, skipped.error) == (False, "page 7")
    assert done.content == "after"


def test_skip_on_failure_is_the_policy_skip_with_another_text() -> None:
    output = Workflow(steps=[Step(name="fail", executor=fail, skip_on_failure=True), after]).run()
    assert output.step_results[0].content == "Step fail failed but skipped"
    assert output.content == "after"


def test_a_condition_has_a_policy_of_its_own_for_its_evaluator_and_its_branch(verb: Verb) -> None:
    def broken(step_input: StepInput) -> bool:
        raise PageMissing("page 7")

    def make(db: BaseDb) -> Workflow:
        steps = [
            Condition([after], evaluator=broken, name="evaluator", on_error="skip"),
            Condition([fail], evaluator=True, name="branch", on_error="skip"),
            Step("end", executor=after),
        ]
        return Workflow(name="w", steps=steps, db=db, store_events=True)

    ran = verb(make)
    assert ran.status is RunStatus.completed
    evaluator, branch, _ = ran.output.step_results
    assert (evaluator.success, evaluator.error) == (False, "page 7")
    assert (branch.success, branch.error) == (False, "page 7")
    assert Condition([after], name="default").on_error == "fail"


# -- parallel failures ---------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_first_failing_branch_cancels_its_siblings() -> None:
    ended: list[str] = []

    async def sibling(step_input: StepInput) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise

    with anyio.fail_after(60), pytest.raises(PageMissing):
        await Workflow(steps=[Parallel(sibling, fail)]).arun()
    assert ended == ["cancelled"]


@pytest.mark.anyio
async def test_fail_fast_false_lets_them_finish_and_reports_all_failures() -> None:
    finished: list[str] = []

    async def slow(step_input: StepInput) -> None:
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        finished.append("slow")

    async def other(step_input: StepInput) -> None:
        raise OSError("disk")

    with pytest.raises(ExceptionGroup) as raised:
        await Workflow(steps=[Parallel(fail, slow, other, fail_fast=False)]).arun()
    assert {type(error) for error in raised.value.exceptions} == {PageMissing, OSError}
    assert raised.value.run_output.status is RunStatus.error  # type: ignore[attr-defined]  # that it has one is the point
    assert finished == ["slow"]


@pytest.mark.anyio
async def test_one_failure_among_branches_is_raised_unwrapped() -> None:
    with pytest.raises(PageMissing):
        await Workflow(steps=[Parallel(fail, after, fail_fast=False)]).arun()


@pytest.mark.anyio
async def test_a_map_fails_fast_or_reports_all() -> None:
    async def odd(step_input: StepInput) -> Any:
        if step_input.input % 2:
            raise PageMissing(f"page {step_input.input}")
        return step_input.input

    with pytest.raises(ExceptionGroup) as raised:
        await Workflow(steps=[Map(odd, over=lambda step_input: range(4), fail_fast=False)]).arun()
    assert sorted(str(error) for error in raised.value.exceptions) == ["page 1", "page 3"]
    with pytest.raises(PageMissing):
        await Workflow(steps=[Map(odd, over=lambda step_input: [0, 1, 2])]).arun()


# -- retries -------------------------------------------------------------------------------------------------------------


def flaky(fails: int, error: type[Exception] = PageMissing) -> Callable[..., Any]:
    """Fails so many times; then says on which attempt it worked."""
    left = fails

    async def work(run_context: RunContext) -> str:
        nonlocal left
        if left:
            left -= 1
            raise error(f"{left} more")
        return f"attempt {run_context.attempt}"

    return work


def test_a_step_runs_once_unless_it_says_otherwise(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[Step(name="flaky", executor=flaky(1))], db=db, store_events=True)

    verb(make, raises=PageMissing)


def test_each_retry_is_an_event_and_the_last_attempt_counts(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        step = Step(name="flaky", executor=flaky(2), retry=Retry(attempts=3, delay=0))
        return Workflow(name="w", steps=[step], db=db, store_events=True)

    ran = verb(make)
    assert ran.content == "attempt 3"
    retries = of_kind(ran.events, "StepRetry")
    assert [(event.attempt, event.error, event.error_type, event.discards_deltas) for event in retries] == [
        (1, "1 more", "PageMissing", False),
        (2, "0 more", "PageMissing", False),
    ]
    assert ran.names.count("StepStarted") == 1


def test_attempts_that_streamed_are_retracted(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        left = 1

        async def stream(run_context: RunContext) -> AsyncIterator[str]:
            nonlocal left
            yield f"text of {run_context.attempt}"
            if left:
                left -= 1
                raise PageMissing("in the middle")

        step = Step(name="stream", executor=stream, max_retries=1)
        return Workflow(name="w", steps=[step], db=db, store_events=True, clock=_ZeroClock())

    ran = verb(make)
    assert ran.content == "text of 2"
    chunks = of_kind(ran.events, "StepContent")
    assert [(chunk.attempt, chunk.delta) for chunk in chunks] == [(1, "text of 1"), (2, "text of 2")]
    (retry,) = of_kind(ran.events, "StepRetry")
    assert (retry.attempt, retry.discards_deltas) == (1, True)


class _ZeroClock(FakeClock):
    """Its sleeps take no time."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_max_retries_backs_off_exponentially_with_jitter() -> None:
    clock = _ZeroClock(random=0.5)
    step = Step(name="flaky", executor=flaky(3), max_retries=3)
    await Workflow(steps=[step], clock=clock).arun()
    assert [round(seconds, 6) for seconds in clock.slept] == [0.075, 0.15, 0.3], (
        "0.1, 0.2, 0.4 with half of it random, and half of that drawn"
    )


@pytest.mark.anyio
async def test_the_run_waits_for_the_back_off_and_says_how_long() -> None:
    clock = FakeClock()
    step = Step(name="flaky", executor=flaky(1), retry=Retry(attempts=2, delay=30, jitter=0))
    with anyio.fail_after(60):
        async with Workflow(steps=[step], clock=clock).arun(stream=True) as stream:
            async for event in stream:
                if event.event == "StepRetry":
                    assert event.delay == 30
                    break
            await clock.wait_sleeping()
            clock.advance(29)
            assert clock.sleeping == 1
            clock.advance(1)
            assert (await stream.result()).content == "attempt 2"


@pytest.mark.anyio
async def test_a_retry_says_how_long_the_attempt_took() -> None:
    clock = FakeClock()
    took = iter([5.0, 0.25])

    async def work() -> str:
        for seconds in took:
            clock.advance(seconds)
            raise PageMissing("slow")
        return "done"

    step = Step(name="slow", executor=work, retry=Retry(attempts=3, delay=0, jitter=0))
    events, error = await listen(Workflow(steps=[step], clock=clock).arun(stream=True))
    assert error is None
    assert [event.seconds for event in of_kind(events, "StepRetry")] == [5.0, 0.25]


@pytest.mark.anyio
async def test_only_the_named_exceptions_are_retried() -> None:
    retry = Retry(attempts=5, delay=0, on=(ConnectionError,))
    with pytest.raises(PageMissing):
        await Workflow(steps=[Step(name="flaky", executor=flaky(1), retry=retry)]).arun()
    output = await Workflow(steps=[Step(name="flaky", executor=flaky(1, ConnectionError), retry=retry)]).arun()
    assert output.content == "attempt 2"


@pytest.mark.anyio
async def test_when_all_attempts_are_used_the_policy_decides() -> None:
    step = Step(name="fail", executor=fail, retry=Retry(attempts=3, delay=0), on_error="skip")
    events, error = await listen(Workflow(steps=[step, after]).arun(stream=True))
    assert error is None
    assert names(of_kind(events, "StepRetry", "StepError")) == ["StepRetry", "StepRetry", "StepError"]
    assert of_kind(events, "StepError")[0].attempt == 3


@pytest.mark.anyio
async def test_the_idempotency_key_is_the_same_for_all_attempts_and_no_other_step() -> None:
    keys: dict[str, set[str]] = {"a": set(), "b": set()}
    left = {"a": 2, "b": 1}

    def make(name: str) -> Step:
        async def work(run_context: RunContext) -> None:
            keys[name].add(run_context.idempotency_key)
            if left[name]:
                left[name] -= 1
                raise PageMissing(name)

        return Step(name=name, executor=work, retry=Retry(attempts=3, delay=0))

    await Workflow(steps=[make("a"), make("b")]).arun()
    assert len(keys["a"]) == len(keys["b"]) == 1
    assert keys["a"] != keys["b"]


@pytest.mark.anyio
@pytest.mark.parametrize("stored", [False, True])
async def test_each_attempt_starts_with_the_state_that_its_step_found(stored: bool) -> None:
    async def before(session_state: dict[str, Any]) -> None:
        session_state["pages"] = ["cover"]

    async def count(run_context: RunContext) -> int:
        state = run_context.session_state
        state["tries"] = state.get("tries", 0) + 1
        state["pages"].append(run_context.attempt)
        if run_context.attempt < 3:
            raise PageMissing("again")
        return int(state["tries"])

    steps = [before, Step(name="count", executor=count, retry=Retry(attempts=3, delay=0))]
    output = await Workflow(steps=steps, db=InMemoryDb() if stored else None).arun()
    assert output.content == 1
    assert output.session_state == {"tries": 1, "pages": ["cover", 3]}


@pytest.mark.parametrize("fields", [{"attempts": 0}, {"delay": -1}, {"jitter": 2}, {"backoff": -1}])
def test_a_retry_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Retry"):
        Retry(**fields)


@pytest.mark.parametrize(("attempt", "pause"), [(1, 1.0), (2, 3.0), (3, 9.0), (4, 20.0), (9, 20.0)])
def test_the_pause_grows_to_its_limit(attempt: int, pause: float) -> None:
    assert Retry(delay=1, backoff=3, jitter=0, max_delay=20).pause(attempt, 0.9) == pause


# -- timeouts ------------------------------------------------------------------------------------------------------------


def test_a_step_that_takes_too_long_fails_with_its_path(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(
            name="w", steps=[after, Step("hang", executor=hang, timeout=60)], db=db, store_events=True, clock=CLOCK
        )

    ran = verb(make, raises=StepTimeoutError)
    assert ran.output.error == "1.hang took longer than its timeout of 60 s"
    assert ran.output.error_type == "StepTimeoutError"
    assert ran.names[-2:] == ["StepError", "WorkflowError"]


def limited(container: str, steps: list[Any]) -> Any:
    box = CONTAINERS[container](steps)
    if isinstance(box, Workflow):
        return Step(name="box", workflow=box, timeout=60)
    box.timeout = 60
    return box


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_has_a_timeout_of_its_own(verb: Verb, container: str) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[limited(container, [hang])], db=db, store_events=True, clock=CLOCK)

    ran = verb(make, raises=StepTimeoutError)
    assert ran.output.error == "0.box took longer than its timeout of 60 s"


@pytest.mark.anyio
async def test_the_run_timeout_ends_the_whole_run() -> None:
    with pytest.raises(StepTimeoutError, match=r"longer than its run_timeout of 60 s") as raised:
        await Workflow(steps=[Loop([hang])], run_timeout=60, clock=CLOCK).arun()
    assert isinstance(raised.value, TimeoutError)


@pytest.mark.anyio
async def test_of_nested_timeouts_the_one_that_ran_out_is_named() -> None:
    inner = Step("hang", executor=hang, timeout=60)
    with pytest.raises(StepTimeoutError) as raised:
        await Workflow(steps=[Steps(name="box", steps=[inner], timeout=90)], run_timeout=120, clock=CLOCK).arun()
    assert (raised.value.path, raised.value.timeout) == ("0.box/0.hang", 60)


@pytest.mark.anyio
async def test_a_timeout_is_a_failure_like_any_other_to_the_steps_policy() -> None:
    step = Step("hang", executor=hang, timeout=60, on_error="skip")
    output = await Workflow(steps=[step, after], clock=CLOCK).arun()
    assert not output.step_results[0].success
    assert output.content == "after"


@pytest.mark.anyio
async def test_a_timeout_error_that_a_step_raises_itself_is_its_own() -> None:
    async def slow_service(step_input: StepInput) -> None:
        raise TimeoutError("the service did not answer")

    with pytest.raises(TimeoutError, match="the service did not answer") as raised:
        await Workflow(steps=[Step("ask", executor=slow_service, timeout=30)]).arun()
    assert not isinstance(raised.value, StepTimeoutError)


@pytest.mark.anyio
async def test_the_timeout_of_an_attempt_leads_to_the_next_attempt() -> None:
    attempts: list[int] = []

    async def first_hangs(run_context: RunContext) -> str:
        attempts.append(run_context.attempt)
        if run_context.attempt == 1:
            CLOCK.advance(60)
            await anyio.sleep_forever()
        return "second"

    step = Step("work", executor=first_hangs, retry=Retry(attempts=2, delay=0, timeout=60))
    output = await Workflow(steps=[step], clock=CLOCK).arun()
    assert (output.content, attempts) == ("second", [1, 2])


@pytest.mark.anyio
async def test_the_timeout_of_a_step_counts_all_attempts_together_and_the_pauses_between_them() -> None:
    attempts: list[int] = []

    async def slow(run_context: RunContext) -> None:
        attempts.append(run_context.attempt)
        CLOCK.advance(10)
        raise PageMissing

    async def wait() -> None:
        for _ in range(3):
            await CLOCK.wait_sleeping()
            CLOCK.advance(15)

    step = Step("fail", executor=slow, retry=Retry(attempts=100, delay=15, backoff=1, jitter=0), timeout=60)
    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        with pytest.raises(StepTimeoutError):
            await Workflow(steps=[step], clock=CLOCK).arun()
        group.cancel_scope.cancel()
    assert attempts == [1, 2, 3]


@pytest.mark.anyio
async def test_a_thread_is_told_of_its_timeout_and_waited_for() -> None:
    told = threading.Event()

    def work(step_input: StepInput) -> None:
        CLOCK.advance(60)
        try:
            while True:
                anyio.from_thread.check_cancelled()
                threading.Event().wait(0.001)
        finally:
            told.set()

    with pytest.raises(StepTimeoutError):
        await Workflow(steps=[Step("work", executor=work, timeout=60)], clock=CLOCK).arun()
    assert told.is_set()


@pytest.mark.parametrize("value", [0, -5])
@pytest.mark.parametrize("make", [Steps, Loop, Condition], ids=lambda kind: kind.__name__)
def test_a_container_refuses_a_timeout_of_nothing(make: Any, value: float) -> None:
    with pytest.raises(BuildError, match="must be more than 0 seconds"):
        make(steps=[after], name="box", timeout=value)
